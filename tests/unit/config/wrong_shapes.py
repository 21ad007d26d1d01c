"""Files of a wrong shape, and the exact sentences that answer them (a line for each problem)."""

from __future__ import annotations

DOLLARS = 'a sum in dollars, such as 2.50 or "2.50"'
NAME = "a name of at most 128 letters, digits and . _ - : / @, beginning with a letter or digit"
SECRET = 'a reference to an environment variable such as "env:OPENAI_API_KEY"'
MODEL = "models.m.provider: missing: expected text in quotes"

WRONG = [
    # unknown fields, with the nearest known one or all of them
    ("[tasks.t]\nladder = ['m']\nladders = ['m']", 'tasks.t.ladders: unknown field; did you mean "ladder"?'),
    ("[task.t]\nladder = ['m']", 'task: unknown field; did you mean "tasks"?'),
    ("[server]\nprot = 1", 'server.prot: unknown field; did you mean "port"?'),
    ("[providers.p]\nbaseurl = 'https://x'", 'providers.p.baseurl: unknown field; did you mean "base_url"?'),
    ("[providers.p]\napikey = 'sk-canary'", 'providers.p.apikey: unknown field; did you mean "api_key"?'),
    (
        "[providers.p.timeouts]\nconnect = 1",
        'providers.p.timeouts.connect: unknown field; did you mean "connect_s"?',
    ),
    (
        "[tenants.t]\nbudget.usd_a_day = 1",
        'tenants.t.budget.usd_a_day: unknown field; did you mean "usd_per_day"?',
    ),
    (
        "[[relay]]\nprefix = '/a'\nprovider = 'p'\nx = 1",
        "relay[0].x: unknown field; known: prefix, provider, free",
    ),
    ("[storage]\nfolder = 'x'", "storage.folder: unknown field; known: path, bodies_days, calls_days"),
    (
        "[tasks.t]\nladder = [{model = 'm', smaple = 1}]",
        'tasks.t.ladder[0].smaple: unknown field; did you mean "sample"?',
    ),
    (
        "[tasks.t]\nladder = ['m']\ncontract = {type = 'label', label = ['a', 'b']}",
        (
            'tasks.t.contract.label: unknown field; did you mean "labels"?\n'
            "tasks.t.contract.labels: missing: expected a list of texts"
        ),
    ),
    ("[models.'a b']\nprovider = 'p'", f'models."a b": expected {NAME}'),
    (
        "[models.'openai/gpt-5']\nprovider = 'p'\nprice = 1",
        'models."openai/gpt-5".price: unknown field; did you mean "prices"?',
    ),
    ("[aliases]\n'-x' = 'm'", f"aliases.-x: expected {NAME}"),
    ("[keys.'']\nsecret = 'env:A'", f'keys."": expected {NAME}'),
    (
        "[tasks.t]\nladder = [{model = 'm', retrieve = {k = 0}}]",
        "tasks.t.ladder[0].retrieve.k: expected a whole number in [1, 64], got 0",
    ),
    (
        "[tasks.t]\nladder = [{model = 'm', retrieve = {k = 65, order = 'random'}}]",
        (
            "tasks.t.ladder[0].retrieve.k: expected a whole number in [1, 64], got 65\n"
            'tasks.t.ladder[0].retrieve.order: expected one of "nearest-first", "nearest-last", got "random"'
        ),
    ),
    # missing
    ("[models.m]\nid = 'x'", MODEL),
    ("[tasks.t]", "tasks.t.ladder: missing: expected a list of texts or tables"),
    ("[keys.k]", f"keys.k.secret: missing: expected {SECRET}"),
    ("[[relay]]\nprefix = '/x'", "relay[0].provider: missing: expected text in quotes"),
    (
        "[[models.m.prices]]\noutput = 1\ninput = 1",
        f"models.m.prices[0].since: missing: expected a day, as 2026-07-01\n{MODEL}",
    ),
    (
        "[tasks.t]\nladder = ['m']\ncontract = {}",
        'tasks.t.contract.type: missing: expected one of "label", "json", "text"',
    ),
    ("[tasks.t]\nladder = [{}]", "tasks.t.ladder[0].model: missing: expected text in quotes"),
    (
        "[tasks.t]\nladder = ['m']\ncontract.type = 'json'",
        "tasks.t.contract.schema: missing: expected a table",
    ),
    # numbers
    ("[tasks.t]\nladder = ['m']\nmargin = 'high'", 'tasks.t.margin: expected a number in [0, 1], got "high"'),
    ("[tasks.t]\nladder = ['m']\nmargin = 1.5", "tasks.t.margin: expected a number in [0, 1], got 1.5"),
    ("[tasks.t]\nladder = ['m']\nmargin = -1", "tasks.t.margin: expected a number in [0, 1], got -1"),
    ("[tasks.t]\nladder = ['m']\nmargin = nan", "tasks.t.margin: expected a number in [0, 1], got NaN"),
    ("[tasks.t]\nladder = ['m']\nmargin = true", "tasks.t.margin: expected a number in [0, 1], got true"),
    ("[tasks.t]\nladder = ['m']\nlatency_ms = 0", "tasks.t.latency_ms: expected a number above 0, got 0"),
    (
        "[tasks.t]\nladder = ['m']\nlatency_ms = inf",
        "tasks.t.latency_ms: expected a number above 0, got Infinity",
    ),
    (
        "[tasks.t]\nladder = ['m']\nlatency_ms = 1e999",
        "tasks.t.latency_ms: expected a number above 0, got 1E+999",
    ),
    ("[server]\nport = 70000", "server.port: expected a whole number in [0, 65535], got 70000"),
    ("[server]\nport = 80.5", "server.port: expected a whole number in [0, 65535], got 80.5"),
    ("[server]\nport = 8080.0", "server.port: expected a whole number in [0, 65535], got 8080.0"),
    ("[server]\nport = '8080'", 'server.port: expected a whole number in [0, 65535], got "8080"'),
    ("[server]\nport = true", "server.port: expected a whole number in [0, 65535], got true"),
    (
        "[server]\nmax_body_bytes = 10",
        "server.max_body_bytes: expected a whole number of at least 1024, got 10",
    ),
    ("[server]\ndrain_s = -3", "server.drain_s: expected a number above 0, got -3"),
    ("[storage]\ncalls_days = 0", "storage.calls_days: expected a whole number of at least 1, got 0"),
    (
        "[providers.p]\nmax_attempts = 11",
        "providers.p.max_attempts: expected a whole number in [1, 10], got 11",
    ),
    (
        "[tasks.t]\nladder = [{model = 'm', temperature = 3}]",
        "tasks.t.ladder[0].temperature: expected a number in [0, 2], got 3",
    ),
    (
        "[tasks.t]\nladder = ['m', {model = 'n', sample = 2}]",
        "tasks.t.ladder[1].sample: expected a number in [0, 1], got 2",
    ),
    # sums
    (
        "[tenants.t.budget]\nusd_per_day = 'much'",
        f'tenants.t.budget.usd_per_day: expected {DOLLARS}, got "much"',
    ),
    ("[tenants.t.budget]\nusd_per_day = nan", f"tenants.t.budget.usd_per_day: expected {DOLLARS}, got NaN"),
    (
        "[tenants.t.budget]\nusd_per_day = '1,000'",
        f'tenants.t.budget.usd_per_day: expected {DOLLARS}, got "1,000"',
    ),
    ("[tenants.t.budget]\nusd_per_day = '$5'", f'tenants.t.budget.usd_per_day: expected {DOLLARS}, got "$5"'),
    ("[tenants.t.budget]\nusd_per_day = true", f"tenants.t.budget.usd_per_day: expected {DOLLARS}, got true"),
    (
        "[tenants.t.budget]\nusd_per_day = 1e99",
        f"tenants.t.budget.usd_per_day: expected {DOLLARS}, got 1E+99",
    ),
    (
        "[tenants.t.budget]\nusd_per_day = [5]",
        f"tenants.t.budget.usd_per_day: expected {DOLLARS}, got a list",
    ),
    # texts, choices, lists, tables, days
    ("[server]\nhost = 5", "server.host: expected text in quotes, got 5"),
    ("[server]\nrequire_key = 'no'", 'server.require_key: expected true or false, got "no"'),
    ("[server]\nrequire_key = 0", "server.require_key: expected true or false, got 0"),
    ("server = 'x'", 'server: expected a table, got "x"'),
    ("providers = ['p']", "providers: expected a table, got a list"),
    ("[providers]\np = 'https://x'", 'providers.p: expected a table, got "https://x"'),
    ("[providers.p]\naccepts = 'gpt-*'", 'providers.p.accepts: expected a list of texts, got "gpt-*"'),
    ("[providers.p]\naccepts = ['a', 1]", "providers.p.accepts[1]: expected text in quotes, got 1"),
    ("[providers.p]\nheaders = {a = 1}", "providers.p.headers.a: expected text in quotes, got 1"),
    (
        "[providers.p]\nkind = 'openia'",
        'providers.p.kind: expected one of "anthropic", "azure", "embedded", "head", "openai", got "openia"; did you mean "openai"?',
    ),
    ("[providers.p]\nengine = 7", 'providers.p.engine: expected one of "hosted", "llamacpp", "vllm", got 7'),
    ("[tasks.t]\nladder = 'm'", 'tasks.t.ladder: expected a list of texts or tables, got "m"'),
    ("[tasks.t]\nladder = [3]", "tasks.t.ladder[0]: expected text in quotes or a table, got 3"),
    (
        "[tasks.t]\nladder = ['m']\ncontract = 'label'",
        'tasks.t.contract: expected a table whose type is one of "label", "json", "text", got "label"',
    ),
    (
        "[tasks.t]\nladder = ['m']\ncontract = {type = 'labels'}",
        'tasks.t.contract.type: expected one of "label", "json", "text", got "labels"; did you mean "label"?',
    ),
    (
        "[tasks.t]\nladder = ['m']\ncontract = {type = 'json', schema = {default = 2026-01-01}}",
        "tasks.t.contract.schema.default: expected a value that JSON has, got the date 2026-01-01",
    ),
    (
        "[tasks.t]\nladder = ['m']\ncontract = {type = 'json', schema = {enum = [1, nan]}}",
        "tasks.t.contract.schema.enum[1]: expected a value that JSON has, got NaN",
    ),
    (
        "[keys.k]\nsecret = 'env:A'\nexpires = '2026-02-30'",
        'keys.k.expires: expected a day, as 2026-07-01, got "2026-02-30"',
    ),
    (
        "[keys.k]\nsecret = 'env:A'\nexpires = 'soon'",
        'keys.k.expires: expected a day, as 2026-07-01, got "soon"',
    ),
    (
        "[keys.k]\nsecret = 'env:A'\nexpires = 2026-07-01T00:00:00",
        "keys.k.expires: expected a day, as 2026-07-01, got the datetime 2026-07-01 00:00:00",
    ),
    ("[keys.k]\nsecret = 'env:A'\ntenant = 'a b'", f'keys.k.tenant: expected {NAME}, got "a b"'),
    ("frontier = ['m']", "frontier: expected text in quotes, got a list"),
    ("relay = {prefix = '/x'}", "relay: expected a list of tables, got a table"),
    (
        "[server]\nhost = '" + "x-" * 60 + "'\nport = '" + "x " * 60 + "'",
        'server.port: expected a whole number in [0, 65535], got "' + ("x " * 60)[:39] + '…"',
    ),
    # secrets: named, never shown
    (
        "[providers.p]\napi_key = 'hunter2'",
        f"providers.p.api_key: expected {SECRET}; what stands there is not shown",
    ),
    (
        "[providers.p]\napi_key = 'env:MY-KEY'",
        f"providers.p.api_key: expected {SECRET}; what stands there is not shown",
    ),
    (
        '[providers.p]\napi_key = "env:A\\n"',
        f"providers.p.api_key: expected {SECRET}; what stands there is not shown",
    ),
    ("[providers.p]\napi_key = 5", f"providers.p.api_key: expected {SECRET}; got 5"),
    ("[keys.k]\nsecret = 'hunter2'", f"keys.k.secret: expected {SECRET}; what stands there is not shown"),
    (
        "[providers.p]\naccepts = 'sk-canary-1234567890abcd'",
        "providers.p.accepts: expected a list of texts, got a value that looks like a secret and is not shown",
    ),
]
