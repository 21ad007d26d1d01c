"""Files of the right shape that make no sense, and the exact sentences of the check (notes left out)."""

from __future__ import annotations

GOOD = """
[providers.p]
base_url = "https://p.example/v1"
[providers.q]
base_url = "https://q.example/v1"
[models.m]
provider = "p"
[models.n]
provider = "q"
[tenants.acme]
"""
LABELS = "[tasks.t]\nladder = ['m']\ncontract = {{type = 'label', labels = {}}}"
SCHEMA = "[tasks.t]\nladder = ['m']\ncontract = {{type = 'json', schema = {}}}"
PRICE = "[[models.m.prices]]\nsince = 2026-01-01\noutput = 1\n"
HEAD = "[providers.h]\nkind = 'head'\n[models.x]\nprovider = 'h'\n"
TUNED = "[providers.e]\nkind = 'embedded'\n[models.x]\nprovider = 'e'\n"
VLLM = "[providers.v]\nbase_url = 'http://127.0.0.1:1/v1'\nengine = 'vllm'\n[models.x]\nprovider = 'v'\n"
EXACT = "[tasks.t]\nladder = ['m']\n[tasks.t.cache]\nexact = true\n"
SEMANTIC = EXACT + "[tasks.t.cache.semantic]\n{}"
MAY_BE_IGNORED = (
    "changes what is answered; what may be ignored: metadata, prompt_cache_key, prompt_cache_retention, safety_identifier, service_tier, "
    "store, user, and fields of your own"
)
NOT_SHOWN = 'looks like a secret; write "env:NAME" and set the variable. The value is not shown'

# A piece of a file, and what is found when it is added to GOOD (without notes).
FINDINGS = [
    # references
    (
        "[models.x]\nprovider = 'pp'",
        'error models.x.provider: provider "pp" is not declared; did you mean "p"?',
    ),
    ("[models.x]\nprovider = 'zz'", 'error models.x.provider: provider "zz" is not declared; known: p, q'),
    (
        "[models.'task/x']\nprovider = 'p'",
        'error models."task/x": a model cannot be called "task/…": that asks for a task',
    ),
    ("[tasks.t]\nladder = ['mm']", 'error tasks.t.ladder[0]: model "mm" is not declared; did you mean "m"?'),
    (
        "[tasks.t]\nladder = [{model = 'x'}, 'm']",
        'error tasks.t.ladder[0]: model "x" is not declared; known: m, n',
    ),
    (
        "[aliases]\na = 'm'\n[tasks.t]\nladder = ['a']",
        'error tasks.t.ladder[0]: "a" is an alias; a ladder names models: "m"',
    ),
    (
        "[providers.o]\nbase_url = 'https://o.example/v1'\naccepts = ['gpt-*']\n[tasks.t]\nladder = ['gpt-5']",
        'error tasks.t.ladder[0]: model "gpt-5" is only accepted by pattern; declare it in [models.gpt-5]',
    ),
    (
        "[routing]\nauto = ['m']",
        'warning routing.auto[0]: "m" is also a model, which callers of that name get',
    ),
    (
        "[routing]\nauto = ['task/x']",
        'error routing.auto[0]: expected a name that a model could have, got "task/x"',
    ),
    (
        "[routing]\nunclassified = 'mm'",
        'error routing.unclassified: model "mm" is not declared; did you mean "m"?',
    ),
    (
        HEAD + "id = '0123456789ab'\n[routing]\nunclassified = 'x'",
        'error routing.unclassified: "x" is a label head, which cannot answer every call',
    ),
    (
        "[routing]\nintents = 'newst'",
        'error routing.intents: expected "newest", "none" or a classifier\'s hash (12 hex digits at least), got "newst"',
    ),
    ("[aliases]\na = 'x'", 'error aliases.a: model "x" is not declared; known: m, n'),
    ("[aliases]\na = 'task/t'", 'error aliases.a: task "t" is not declared; none is declared'),
    ("[aliases]\nm = 'n'", 'error aliases.m: "m" is also a model; callers could not tell which they get'),
    (
        "[aliases]\n'task/t' = 'n'",
        'error aliases."task/t": an alias cannot be called "task/…": that asks for a task',
    ),
    (
        "[aliases]\na = 'b'\nb = 'm'",
        'error aliases.a: "b" is an alias itself; name what it stands for: "m"',
    ),
    (
        "[aliases]\na = 'b'\nb = 'a'",
        "error aliases.a: aliases go in a circle: a → b → a\nerror aliases.b: aliases go in a circle: b → a → b",
    ),
    ("[aliases]\na = 'a'", "error aliases.a: aliases go in a circle: a → a"),
    (
        "[keys.k]\nsecret = 'env:SET'\ntenant = 'acne'",
        'error keys.k.tenant: tenant "acne" is not declared; did you mean "acme"?',
    ),
    (
        "[[relay]]\nprefix = '/v1/files'\nprovider = 'x'",
        'error relay[0].provider: provider "x" is not declared; known: p, q',
    ),
    (
        "[[relay]]\nprefix = 'v1'\nprovider = 'p'",
        'error relay[0].prefix: expected a path such as "/v1/responses", got "v1"',
    ),
    (
        "[[relay]]\nprefix = '/a/../b'\nprovider = 'p'",
        'error relay[0].prefix: expected a path such as "/v1/responses", got "/a/../b"',
    ),
    (
        "[[relay]]\nprefix = '/a'\nprovider = 'p'\n[[relay]]\nprefix = '/a/'\nprovider = 'q'",
        'error relay[1].prefix: "/a" is relayed twice',
    ),
    (
        "[[relay]]\nprefix = '/v1/chat/completions'\nprovider = 'p'",
        'warning relay[0].prefix: "/v1/chat/completions" is answered by smallfirst itself and never relayed',
    ),
    (
        (
            "[providers.r]\nbase_url = 'https://r.example/v1'\naccepts = ['*']\n"
            "[providers.s]\nbase_url = 'https://s.example/v1'\naccepts = ['gpt-*']"
        ),
        'warning providers.s.accepts[0]: "gpt-*" is never reached: "*" of provider "r" comes before it',
    ),
    # addresses
    (
        "[providers.a]\nkind = 'azure'",
        (
            "error providers.a.base_url: missing: an azure provider needs its resource's address, "
            '"https://NAME.openai.azure.com"'
        ),
    ),
    (
        "[providers.a]\nengine = 'vllm'",
        'error providers.a.base_url: missing: engine "vllm" is yours; say where it listens',
    ),
    (
        "[providers.a]",
        "warning providers.a.api_key: absent, and the provider's own host refuses calls without one",
    ),
    (
        "[providers.a]\nbase_url = 'a.example/v1'",
        'error providers.a.base_url: expected an address that begins with https:// or http://, got "a.example/v1"',
    ),
    (
        "[providers.a]\nbase_url = 'ftp://a.example/v1'",
        (
            "error providers.a.base_url: expected an address that begins with https:// or http://, "
            'got "ftp://a.example/v1"'
        ),
    ),
    (
        "[providers.a]\nbase_url = 'https://a:x/v1'",
        'error providers.a.base_url: "https://a:x/v1" is not an address',
    ),
    (
        "[providers.a]\nbase_url = 'https://[a/v1'",
        'error providers.a.base_url: "https://[a/v1" is not an address',
    ),
    (
        "[providers.a]\nbase_url = 'https://u:canary@a.example/v1'",
        "error providers.a.base_url: holds a user or password; give it as `api_key` or in `headers`, as env:NAME",
    ),
    (
        "[providers.a]\nbase_url = 'https://a.example/v1?key=canary'",
        "error providers.a.base_url: holds a query or fragment; paths are appended to it",
    ),
    (
        "[providers.a]\nbase_url = 'https://a.example/v1/chat/completions'",
        (
            'error providers.a.base_url: "https://a.example/v1/chat/completions" is one route\'s address; '
            "leave out its end, smallfirst appends it"
        ),
    ),
    (
        "[providers.a]\nbase_url = 'http://a.example/v1'",
        (
            'error providers.a.base_url: "http://a.example/v1" is not encrypted; https:// is required outside '
            "the machine and private networks"
        ),
    ),
    (
        "[providers.a]\nbase_url = 'http://10.0.0.1/v1'\napi_key = 'env:SET'",
        'warning providers.a.base_url: "http://10.0.0.1/v1" is not encrypted, and the key is sent to it',
    ),
    ("[providers.a]\nbase_url = 'http://10.0.0.1/v1'", ""),
    ("[providers.a]\nbase_url = 'http://gpu.internal/v1'", ""),
    ("[providers.a]\nbase_url = 'http://127.0.0.1:8081/v1'\napi_key = 'env:SET'", ""),
    (
        "[providers.a]\nbase_url = 'https://a.example'",
        (
            "warning providers.a.base_url: OpenAI-compatible addresses end in /v1; "
            'did you mean "https://a.example/v1"?'
        ),
    ),
    (
        "[providers.a]\nkind = 'anthropic'\nbase_url = 'https://a.example/v1'",
        "error providers.a.base_url: an anthropic address stands without /v1; smallfirst appends it",
    ),
    (
        "[providers.a]\nkind = 'azure'\nbase_url = 'https://a.example/openai'",
        (
            "error providers.a.base_url: an azure address is the resource's own, without /openai; "
            "smallfirst appends it"
        ),
    ),
    (
        "[providers.a]\nkind = 'embedded'\nbase_url = 'http://x'\naccepts = ['*']",
        (
            "error providers.a.base_url: an embedded provider has none: it runs beside the gateway\n"
            "error providers.a.accepts: an embedded provider has none: it runs beside the gateway"
        ),
    ),
    (
        "[providers.a]\nkind = 'embedded'\n[models.x]\nprovider = 'a'\nendpoints = ['http://x']",
        "error models.x.endpoints: an embedded model has none: it runs beside the gateway",
    ),
    (
        "[providers.h]\nkind = 'head'\nbase_url = 'http://x'\naccepts = ['*']\nengine = 'vllm'",
        (
            "error providers.h.base_url: a provider of heads has none: they answer in the gateway itself\n"
            "error providers.h.accepts: a provider of heads has none: they answer in the gateway itself\n"
            "error providers.h.engine: a provider of heads has none: a head is held to its labels anyway"
        ),
    ),
    (
        HEAD + "endpoints = ['http://x']\nid = '0123456789ab'",
        "error models.x.endpoints: a label head has none: it answers in the gateway itself",
    ),
    (
        HEAD,
        'warning models.x.id: "x" is no task of this file and no head\'s hash (12 hex digits at least)',
    ),
    (HEAD + f"weights_sha256 = '{'a' * 64}'", ""),
    (
        HEAD + "weights_sha256 = 'abc'",
        "error models.x.weights_sha256: expected the 64 hex digits of a head's hash",
    ),
    (
        HEAD + f"id = '0123456789ab'\nweights_sha256 = '{'a' * 64}'",
        'error models.x.weights_sha256: is another head than the one that id names, "0123456789ab"',
    ),
    (
        HEAD + "id = 't'\n" + LABELS.format("['a', 'b']").replace("['m']", "['x', 'm']"),
        "",
    ),
    (
        HEAD + "id = 't'\n" + LABELS.format("['a', 'b']").replace("['m']", "['x']"),
        (
            "warning tasks.t.ladder[0]: the last rung is the frontier, where baseline sends every call, "
            'and "x" is a label head'
        ),
    ),
    (
        HEAD + "id = 't'\n[tasks.t]\nladder = [{model = 'x', timeout_s = 1}, 'm']",
        'error tasks.t.ladder[0]: "x" is a label head, which says one label; this contract asks for something else',
    ),
    (
        HEAD + "id = 't'\n" + LABELS.format("['a', 'b'], pick = 'several'").replace("['m']", "['x', 'm']"),
        'error tasks.t.ladder[0]: "x" is a label head, which says one label; this contract asks for something else',
    ),
    (
        "[providers.h]\nkind = 'head'\n[[relay]]\nprefix = '/v1/files'\nprovider = 'h'",
        'error relay[0].provider: "h" is for label heads, and nothing can be relayed to it',
    ),
    (
        "[models.x]\nprovider = 'p'\nendpoints = ['https://a.example/v1', 'https://a.example/v1/', 'x']",
        (
            'error models.x.endpoints[2]: expected an address that begins with https:// or http://, got "x"\n'
            "warning models.x.endpoints[1]: is listed twice"
        ),
    ),
    (
        "[providers.a]\nbase_url = 'https://a.example/v1'\ntimeouts = {total_s = 5}",
        "warning providers.a.timeouts: total_s is less than first_byte_s, so first_byte_s never applies",
    ),
    (
        "[server]\nhost = '0.0.0.0'\nrequire_key = false",
        (
            'error server.require_key: false is for loopback only, and "0.0.0.0" lets others in, who could spend your '
            "money; set it to true, and make keys with `smallfirst keys create`"
        ),
    ),
    ("[server]\nhost = '::1'\nrequire_key = false", ""),
    ("[server]\nhost = '0.0.0.0'", ""),
    (
        "[server]\nallowed_hosts = ['https://x']",
        'error server.allowed_hosts[0]: expected a host such as "ai.example.com", got "https://x"',
    ),
    # secrets
    (
        "[providers.a]\napi_key = 'env:UNSET'",
        "error providers.a.api_key: the environment variable UNSET is not set",
    ),
    (
        "[providers.a]\napi_key = 'env:EMPTY'",
        "error providers.a.api_key: the environment variable EMPTY is empty",
    ),
    (
        "[providers.a]\napi_key = 'env:SET'\nheaders = {Authorization = 'Bearer canary'}",
        f"error providers.a.headers.Authorization: {NOT_SHOWN}",
    ),
    (
        "[providers.a]\napi_key = 'env:SET'\nheaders = {X-Note = 'sk-canary-1234567890'}",
        f"error providers.a.headers.X-Note: {NOT_SHOWN}",
    ),
    (
        "[providers.a]\napi_key = 'env:SET'\nheaders = {X-Note = 'canary1a2b3c4d5e6f7a8b9c0d'}",
        'warning providers.a.headers.X-Note: may be a secret; if it is, write "env:NAME" and set the variable',
    ),
    (
        "[providers.a]\napi_key = 'env:SET'\nheaders = {OpenAI-Organization = 'org-a1b2c3d4e5f6a7b8c9d0e1f2'}",
        "",
    ),
    (
        "[providers.a]\nheaders = {Authorization = 'env:UNSET'}",
        "error providers.a.headers.Authorization: the environment variable UNSET is not set",
    ),
    (
        "[providers.a]\napi_key = 'env:SET'\nheaders = {'a b' = 'x'}",
        'error providers.a.headers."a b": not a name that an HTTP header can have',
    ),
    (
        "[providers.a]\napi_key = 'env:SET'\nheaders = {a = \"x\\ny\"}",
        "error providers.a.headers.a: holds a character that no HTTP header can carry",
    ),
    (
        "[keys.k]\nsecret = 'env:UNSET'",
        "error keys.k.secret: the environment variable UNSET is not set",
    ),
    (
        "[keys.k]\nsecret = 'env:SET'\n[keys.l]\nsecret = 'env:SET'",
        'error keys.l.secret: env:SET is already the secret of key "k"',
    ),
    (
        "[keys.k]\nsecret = 'env:SET'\nexpires = 2026-06-30",
        "warning keys.k.expires: the key ended on 2026-06-30, and is refused",
    ),
    ("[keys.k]\nsecret = 'env:SET'\nexpires = 2026-07-01", ""),
    # sums
    (
        f"{PRICE}input = -1",
        "error models.m.prices[0].input: a price must be a finite number of at least 0, not -1",
    ),
    (
        f"{PRICE}input = '0.0000000001'",
        "error models.m.prices[0].input: a price per million tokens may have nine decimal places, 1E-10 has more",
    ),
    (
        f"{PRICE}input = 1\nper_call = '0.0000000001'",
        "error models.m.prices[0].per_call: 1E-10 USD is not a whole number of nano-dollars",
    ),
    (
        f"{PRICE}input = 1\n{PRICE}input = 2",
        "error models.m.prices[1]: a second price since 2026-01-01 for tier standard",
    ),
    (
        f"{PRICE}input = 1\ntier = 'batch'",
        'warning models.m.prices[0]: is for tier "batch" and never applies: the model\'s tier is "standard"',
    ),
    (
        "[models.x]\nprovider = 'p'\nhourly_usd = -1",
        "error models.x.hourly_usd: a sum of at least 0 is expected, not -1",
    ),
    (
        "[tasks.t]\nladder = ['m']\ncontract.type = 'text'\nrollout.explore_usd_per_day = -1",
        "error tasks.t.rollout.explore_usd_per_day: a sum of at least 0 is expected, not -1",
    ),
    (
        "[tenants.t]\nbudget.usd_per_day = -5",
        "error tenants.t.budget.usd_per_day: a sum of at least 0 is expected, not -5",
    ),
    (
        "[tenants.t]\nbudget.usd_per_day = 0",
        "warning tenants.t.budget.usd_per_day: 0 refuses every call that costs anything; leave it out for no limit",
    ),
    (
        "[tenants.t.budget]\nusd_per_day = 9\nusd_per_month = 5\nusd_total = 5",
        (
            "warning tenants.t.budget.usd_per_day: is more than usd_per_month, which ends first: it never applies\n"
            "warning tenants.t.budget.usd_per_day: is more than usd_total, which ends first: it never applies"
        ),
    ),
    (
        "[tenants.t]\nbudget.at_limit = 'small'",
        "warning tenants.t.budget.at_limit: there is no limit here that it could apply to",
    ),
    (
        "[tasks.t]\nladder = ['m']\nbudget = {usd_per_day = 1, at_limit = 'small'}",
        'warning tasks.t.budget.at_limit: "small" never applies: the ladder has one rung, so calls at the limit are refused',
    ),
    (
        "[budget.alarms]\nat = [0.8, 0.5]",
        "error budget.alarms.at: the shares must rise, as in [0.5, 0.8, 1.0]",
    ),
    (
        "[budget.alarms]\nwebhook = 'env:UNSET'",
        "error budget.alarms.webhook: the environment variable UNSET is not set",
    ),
    (
        "[budget.alarms]\nwebhook = 'env:SET'",
        "error budget.alarms.webhook: env:SET holds no address that begins with https://",
    ),
    (
        "[budget.alarms]\nsecret = 'env:EMPTY'",
        "error budget.alarms.secret: the environment variable EMPTY is empty",
    ),
    # tasks
    ("[tasks.t]\nladder = []", "error tasks.t.ladder: is empty: name at least the frontier model"),
    (
        "[tasks.t]\nladder = ['m', 'n', 'm']",
        'warning tasks.t.ladder[2]: asks "m" a second time in the same way',
    ),
    ("[tasks.t]\nladder = ['m', {model = 'm', temperature = 0}]", ""),
    (
        "[tasks.t]\nladder = [{model = 'm', sample = 0.5}]",
        "warning tasks.t.ladder[0].sample: has no effect on the last rung: it takes all that is left",
    ),
    (
        "[providers.a]\nkind = 'embedded'\n[models.x]\nprovider = 'a'\n[tasks.t]\nladder = ['x']",
        (
            "warning tasks.t.ladder[0]: the last rung is the frontier, where baseline sends every call, "
            'and "x" is embedded'
        ),
    ),
    (LABELS.format("['a']"), "error tasks.t.contract.labels: needs at least two different labels, has 1"),
    (LABELS.format("[]"), "error tasks.t.contract.labels: needs at least two different labels, has 0"),
    (LABELS.format("['a', 'b', 'a']"), 'error tasks.t.contract.labels[2]: "a" is listed twice'),
    (
        LABELS.format("['a', ' b']"),
        'error tasks.t.contract.labels[1]: " b" can never match: blank space around answers is ignored',
    ),
    (
        LABELS.format("['a', 'b, c'], pick = 'several'"),
        'warning tasks.t.contract.labels[1]: "b, c" holds a separator, so only a JSON array of labels can say it',
    ),
    (
        LABELS.format("['a', 'b'], allow_empty = true"),
        'warning tasks.t.contract.allow_empty: has no effect with pick = "one"',
    ),
    (
        SCHEMA.format("{properties = {a = {type = 'strng'}}}"),
        (
            'error tasks.t.contract.schema.properties.a.type: not valid JSON Schema: "strng" is not valid under any of '
            "the schemas listed in the 'anyOf' keyword"
        ),
    ),
    (
        SCHEMA.format("{items = {'$ref' = 'https://x.example/s.json'}}"),
        (
            'error tasks.t.contract.schema: "https://x.example/s.json" is a remote reference, which is not followed; '
            "put it under $defs"
        ),
    ),
    (
        SCHEMA.format("{'$ref' = '#/$defs/x'}"),
        "error tasks.t.contract.schema: not valid JSON Schema: Pointer '/$defs/x' does not exist",
    ),
    (SCHEMA.format("{'$ref' = '#/$defs/x', '$defs' = {x = {type = 'object'}}}"), ""),
    (
        "[tasks.t]\nladder = ['m']\ncontract = {type = 'text', max_chars = 0}",
        "error tasks.t.contract.max_chars: expected a whole number of at least 1, got 0",
    ),
    (
        "[tasks.t]\nladder = ['m']\nkeep_bodies = true\nredact = ['ok', '(']",
        "error tasks.t.redact[1]: not a regular expression: missing ), unterminated subpattern at position 0",
    ),
    (
        "[tasks.t]\nladder = ['m']\nkeep_bodies = true\nredact = ['x*']",
        "warning tasks.t.redact[0]: matches the empty text, so it marks every place",
    ),
    # scorers
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'label'}",
        'error tasks.t.scorer.kind: "label" scores label contracts, and this task\'s is another',
    ),
    (
        SCHEMA.format("{properties = {name = {}}}") + "\nscorer = {kind = 'chrf'}",
        'error tasks.t.scorer.kind: "chrf" scores text contracts, and this task\'s is another',
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {normalise = true, scale = 'yes-no'}",
        (
            'warning tasks.t.scorer.normalise: has no effect with kind = "rouge-l"\n'
            'warning tasks.t.scorer.scale: has no effect with kind = "rouge-l"'
        ),
    ),
    (
        SCHEMA.format("{properties = {name = {}}}")
        + "\nscorer = {weights = {name = -1, 'items[].x' = 2}, compare = {nme = 'text'}}",
        (
            "error tasks.t.scorer.weights.name: expected a number of at least 0, got -1\n"
            'warning tasks.t.scorer.weights."items[].x": "items" is not a property of the contract\'s schema; known: name\n'
            'warning tasks.t.scorer.compare.nme: "nme" is not a property of the contract\'s schema; did you mean "name"?'
        ),
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'regex'}",
        'error tasks.t.scorer.pattern: required, such as "Answer: (.*)"',
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'regex', pattern = '('}",
        "error tasks.t.scorer.pattern: not a regular expression: missing ), unterminated subpattern at position 0",
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'python'}",
        "error tasks.t.scorer.entry_point: required: the name of an entry point in the group smallfirst.scorers",
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'judge'}",
        (
            "error tasks.t.scorer.rubric: required: says what a good answer is\n"
            "error tasks.t.scorer.model: required: the model that judges"
        ),
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'judge', model = 'mm', rubric = 'r'}",
        'error tasks.t.scorer.model: model "mm" is not declared; did you mean "m"?',
    ),
    (
        HEAD
        + "id = '0123456789ab'\n[tasks.t]\nladder = ['m']\nscorer = {kind = 'judge', model = 'x', rubric = 'r'}",
        'error tasks.t.scorer.model: "x" is a label head, which cannot judge',
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'judge', model = 'm', rubric = 'r'}",
        'warning tasks.t.scorer.model: "m" judges its own answers: it stands on this task\'s ladder',
    ),
    (
        (
            "[models.j]\nprovider = 'q'\nid = 'openai/gpt-5'\n[models.k]\nprovider = 'q'\nid = 'o3-mini'\n"
            "[tasks.t]\nladder = ['k']\nscorer = {kind = 'judge', model = 'j', rubric = 'r', mode = 'pairwise', scale = 'yes-no'}"
        ),
        (
            'warning tasks.t.scorer.scale: has no effect with mode = "pairwise"\n'
            'warning tasks.t.scorer.model: "j" judges its own family: "k" is on this task\'s ladder'
        ),
    ),
    (
        "[tasks.t]\nladder = ['m']\nscorer = {kind = 'judge', model = 'n', rubric = 'r'}",
        "",
    ),
    # learning
    (
        "[learning]\nnever_train_on = ['p', 'qq']\nredact = ['email', 'phone:FR', 'emial', 'none']",
        (
            'error learning.never_train_on[1]: provider "qq" is not declared; did you mean "q"?\n'
            'error learning.redact[2]: "emial" is not known; did you mean "email"?\n'
            'error learning.redact[3]: "none" stands alone: it means that nothing is taken out'
        ),
    ),
    ("[learning]\nredact = ['none']", ""),
    # cache
    (EXACT, ""),
    (EXACT + "ignore = ['user', 'metadata']", ""),
    (
        "[tasks.t]\nladder = ['m']\n[tasks.t.cache]\nttl_s = 60\nsampled = true\nsemantic = {}",
        (
            "error tasks.t.cache.semantic: needs exact = true: what is semantic stands on what is exact\n"
            "warning tasks.t.cache.ttl_s: has no effect without exact = true\n"
            "warning tasks.t.cache.sampled: has no effect without exact = true"
        ),
    ),
    (
        EXACT + "ignore = ['temperature', 'system', 'x_trace', 'stream', 'metadata.user_id', 'x_trace']",
        (
            f'error tasks.t.cache.ignore[0]: "temperature" {MAY_BE_IGNORED}\n'
            f'error tasks.t.cache.ignore[1]: "system" {MAY_BE_IGNORED}\n'
            'error tasks.t.cache.ignore[4]: expected the name of a top-level field, such as "user", got "metadata.user_id"\n'
            'warning tasks.t.cache.ignore[2]: "x_trace" is known to no provider here: be sure that it changes no answer\n'
            'warning tasks.t.cache.ignore[3]: has no effect: "stream" is not compared as it stands anyway\n'
            'warning tasks.t.cache.ignore[5]: "x_trace" is known to no provider here: be sure that it changes no answer\n'
            'warning tasks.t.cache.ignore[5]: "x_trace" is listed twice'
        ),
    ),
    (
        EXACT.replace("['m']", "['n', {model = 'm', temperature = 0.7}]"),
        'warning tasks.t.cache.sampled: no call is looked up: rung "m" samples, and sampled is false',
    ),
    (
        SEMANTIC.format("") + "[tasks.t.scorer]\nkind = 'judge'\nmodel = 'n'\nrubric = 'r'",
        (
            "error tasks.t.cache.semantic: this task's scorer is a judge, which would have to be asked about every pair of answers and is "
            "not; name another scorer, or leave semantic out"
        ),
    ),
    (
        SEMANTIC.format("delta = 0.02\n") + "[tasks.t.gate]\ncache_error_max = 0.01",
        (
            "warning tasks.t.cache.semantic.delta: the gate fails it: gate.cache_error_max is 0.01\n"
            "warning tasks.t.cache.semantic.delta: the gate takes it off the margin of 0.02, and nothing is left for the models: "
            "it must be smaller"
        ),
    ),
    (
        SEMANTIC.format("same = 0.9\n").replace(
            "['m']", "['m']\ncontract = {type = 'label', labels = ['a', 'b']}"
        ),
        "warning tasks.t.cache.semantic.same: has no effect: two labels are the same or they are not",
    ),
    (
        SEMANTIC.format("embedder = 'wordlama'\n"),
        (
            'error tasks.t.cache.semantic.embedder: embedder "wordlama" is not known; known: wordllama, minilm, model2vec:…, onnx:…, '
            "model:…"
        ),
    ),
    (
        SEMANTIC.format("embedder = 'model:mm'\n"),
        'error tasks.t.cache.semantic.embedder: model "mm" is not declared; did you mean "m"?',
    ),
    (
        "[cache]\nmax_bytes = 2048\nmax_entry_bytes = 4096",
        "error cache.max_entry_bytes: 4,096 is more than cache.max_bytes, 2,048",
    ),
    ("[cache]\nurl = 'env:UNSET'", "error cache.url: the environment variable UNSET is not set"),
    (
        "[cache]\nurl = 'env:SET'",
        (
            "error cache.url: the variable SET holds no address such as redis://host:6379/0 (or rediss://, valkey://, unix://); "
            "what stands there is not shown"
        ),
    ),
    (
        EXACT + "[storage]\nbodies_days = 0",
        "warning storage.bodies_days: with 0 no text may be kept, and so no answer is cached",
    ),
    # adapters
    (TUNED + "adapter = 't'\nid = 'base'\n[tasks.t]\nladder = ['x', 'm']", ""),
    (TUNED + "adapter = 'abcdef012345'\nid = 'base'\nform = 'q8_0'", ""),
    (
        "[models.x]\nprovider = 'p'\nadapter = 'abcdef012345'",
        'error models.x.adapter: provider "p" serves no adapters; embedded models and engine = "vllm" can have one',
    ),
    (TUNED + "form = 'lora'", "error models.x.form: says how an adapter is served, and `adapter` names none"),
    (
        TUNED + "adapter = 'abcdef012345'",
        "error models.x.id: is the base that the adapter is over, and must be named",
    ),
    (
        TUNED + "adapter = 'abcdef012345'\nid = 'base'\nform = 'peft'",
        "error models.x.form: the embedded server serves lora, q8_0, f16, q4_1; peft is vLLM's",
    ),
    (
        VLLM + "adapter = 'abcdef012345'\nid = 'base'\nform = 'lora'",
        'error models.x.form: vLLM serves an adapter as PEFT wrote it: leave `form` out, or "peft"; lora is for the embedded server',
    ),
    (
        VLLM + "adapter = 'abcdef012345'\nid = 'base'\nweights_sha256 = 'aa'",
        "error models.x.weights_sha256: pins weights of this machine; an adapter's hash is pinned by each release",
    ),
    (
        TUNED + "adapter = 'abcdef012345'\nid = 'base'\nform = 'q4_1'",
        "warning models.x.form: a merge that is written back with 4 bits can lose what was tuned; lora and q8_0 keep it",
    ),
    (
        TUNED + "adapter = 'tt'\nid = 'base'",
        'warning models.x.adapter: "tt" is no task of this file and no adapter\'s hash (12 hex digits at least)',
    ),
    (
        VLLM + "adapter = 't'\nid = 'base'\n[tasks.t]\nladder = ['m', 'x']",
        'error tasks.t.ladder[1]: "x" has an adapter, and is compared with the last rung, the frontier model: add one, or set `frontier`',
    ),
    # examples that a rung shows
    ("[tasks.t]\nladder = [{model = 'n', retrieve = {k = 4, index = 'abcdef012345'}}, 'm']", ""),
    (
        "[tasks.t]\nladder = [{model = 'n', retrieve = {index = 'latest'}}, 'm']",
        'error tasks.t.ladder[0].retrieve.index: expected "newest" or the hash of an index (12 hex digits at least), not "latest"',
    ),
    (
        HEAD
        + "id = '0123456789ab'\n[tasks.t]\nladder = [{model = 'x', retrieve = {}}, 'm']\ncontract = {type = 'label', labels = ['a', 'b']}",
        'error tasks.t.ladder[0].retrieve: "x" is a label head, which reads the question alone; leave `retrieve` out',
    ),
    (
        TUNED + "adapter = 't'\nid = 'base'\n[tasks.t]\nladder = [{model = 'x', retrieve = {}}, 'm']",
        'error tasks.t.ladder[0].retrieve: "x" has an adapter, which was tuned without examples in the prompt; leave `retrieve` or `adapter` out',
    ),
]
