"""The first schema.

Names (of tenants, tasks, models, …) are numbers into `names`, times are milliseconds of Unix time or
microseconds of duration, money is nano-dollars with NULL for unknown. `hour` is hours since 1970 in UTC. The
view `readable_calls` is for people with a SQL prompt.
"""

STATEMENTS: tuple[str, ...] = (
    "CREATE TABLE migrations (number INTEGER PRIMARY KEY, at TEXT NOT NULL)",
    # journal_segment and journal_offset: up to where the journal is imported; calls_n: the last row of calls;
    # keys_version.
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE calls (
        n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at_ms INTEGER NOT NULL,
        tenant INTEGER NOT NULL, key INTEGER NOT NULL, task INTEGER NOT NULL, model INTEGER NOT NULL,
        status INTEGER NOT NULL,
        origin INTEGER NOT NULL, dialect INTEGER NOT NULL, release INTEGER NOT NULL,
        policy INTEGER NOT NULL, rung INTEGER NOT NULL,
        http_status INTEGER NOT NULL, stream INTEGER NOT NULL, unproven INTEGER NOT NULL,
        outside_bound INTEGER NOT NULL,
        latency_us INTEGER NOT NULL, ttft_us INTEGER, overhead_us INTEGER NOT NULL, cost_nusd INTEGER,
        prompt_bytes INTEGER NOT NULL, answer_chars INTEGER NOT NULL,
        route TEXT, asked_model TEXT, error TEXT, client_key TEXT, conversation TEXT, decision TEXT)""",
    "CREATE INDEX calls_at ON calls (at_ms)",
    """CREATE TABLE attempts (
        call INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL, rung INTEGER NOT NULL,
        model INTEGER NOT NULL,
        provider INTEGER NOT NULL, status INTEGER NOT NULL, endpoint INTEGER NOT NULL,
        upstream_model INTEGER NOT NULL,
        stop INTEGER NOT NULL, usage_source INTEGER NOT NULL, price_version INTEGER NOT NULL,
        http_status INTEGER NOT NULL,
        started_us INTEGER NOT NULL, latency_us INTEGER NOT NULL, ttft_us INTEGER,
        input_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        cache_write_1h_tokens INTEGER NOT NULL, input_audio_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL, output_audio_tokens INTEGER NOT NULL,
        cost_nusd INTEGER, simulated INTEGER NOT NULL, frontier INTEGER NOT NULL, upstream_id TEXT,
        reason TEXT,
        PRIMARY KEY (call, seq)) WITHOUT ROWID""",
    # Intents that are not settled yet, as the journal carried them.
    """CREATE TABLE intents_open (call TEXT NOT NULL, seq INTEGER NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (call, seq)) WITHOUT ROWID""",
    # zlib-compressed.
    """CREATE TABLE bodies (
        call TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, tenant INTEGER NOT NULL,
        task INTEGER NOT NULL,
        request BLOB NOT NULL, answer BLOB NOT NULL)""",
    "CREATE INDEX bodies_expires ON bodies (expires_ms)",
    """CREATE TABLE outcomes (
        n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, call TEXT NOT NULL, kind TEXT NOT NULL,
        value TEXT NOT NULL, source TEXT NOT NULL)""",
    "CREATE INDEX outcomes_call ON outcomes (call)",
    """CREATE TABLE events (n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,
        detail TEXT NOT NULL)""",
    # What was erased: the SHA-256 of the call's id, so that what was derived from it can be found and
    # dropped.
    """CREATE TABLE tombstones (call_sha256 BLOB PRIMARY KEY, at_ms INTEGER NOT NULL,
        bodies_only INTEGER NOT NULL) WITHOUT ROWID""",
    # What was asked to be erased, kept until the journal of that time is imported.
    """CREATE TABLE erasures (
        n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, tenant TEXT, call TEXT, before_ms INTEGER,
        bodies_only INTEGER NOT NULL)""",
    """CREATE TABLE keys (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, tenant TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,
        prefix TEXT NOT NULL,
        models TEXT NOT NULL, budget_nusd_per_day INTEGER, expires TEXT, created_ms INTEGER NOT NULL,
        revoked_ms INTEGER)""",
    "CREATE UNIQUE INDEX keys_in_force ON keys (name) WHERE revoked_ms IS NULL",
    """CREATE TABLE hourly_calls (
        hour INTEGER, tenant INTEGER, key INTEGER, task INTEGER, model INTEGER, origin INTEGER,
        status INTEGER,
        unproven INTEGER, outside_bound INTEGER, calls INTEGER NOT NULL,
        PRIMARY KEY (hour, tenant, key, task, model, origin, status, unproven,
        outside_bound)) WITHOUT ROWID""",
    """CREATE TABLE hourly_attempts (
        hour INTEGER, tenant INTEGER, key INTEGER, task INTEGER, model INTEGER, provider INTEGER,
        origin INTEGER, status INTEGER,
        simulated INTEGER, attempts INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        cache_write_1h_tokens INTEGER NOT NULL, input_audio_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL, output_audio_tokens INTEGER NOT NULL,
        cost_nusd INTEGER NOT NULL, unknown_attempts INTEGER NOT NULL, estimated_attempts INTEGER NOT NULL,
        estimated_nusd INTEGER NOT NULL,
        PRIMARY KEY (hour, tenant, key, task, model, provider, origin, status, simulated)) WITHOUT ROWID""",
    # Of answered calls; `measure` is 0 for the whole call, 1 for the time to the first token, 2 for the
    # gateway's own time.
    """CREATE TABLE hourly_latency (
        hour INTEGER, tenant INTEGER, task INTEGER, model INTEGER, origin INTEGER, measure INTEGER,
        bucket INTEGER, calls INTEGER NOT NULL,
        PRIMARY KEY (hour, tenant, task, model, origin, measure, bucket)) WITHOUT ROWID""",
    # Reported completion tokens of attempts that answered.
    """CREATE TABLE hourly_output (
        task INTEGER, model INTEGER, hour INTEGER, bucket INTEGER, attempts INTEGER NOT NULL,
        PRIMARY KEY (task, model, hour, bucket)) WITHOUT ROWID""",
    # Answered calls of clients, by the frontier model that answered (the empty name: none did). Sums for a
    # ratio estimator of its cost on bytes.
    """CREATE TABLE hourly_frontier (
        hour INTEGER, tenant INTEGER, task INTEGER, model INTEGER, simulated INTEGER,
        calls INTEGER NOT NULL, unknown_calls INTEGER NOT NULL, paid_nusd INTEGER NOT NULL,
        frontier_nusd INTEGER NOT NULL,
        bytes INTEGER NOT NULL, bytes2 REAL NOT NULL, nusd2 REAL NOT NULL, cross REAL NOT NULL,
        PRIMARY KEY (hour, tenant, task, model, simulated)) WITHOUT ROWID""",
    """CREATE TABLE hourly_models (
        hour INTEGER, model INTEGER, seconds REAL NOT NULL, cost_nusd INTEGER NOT NULL, PRIMARY KEY (hour,
        model)) WITHOUT ROWID""",
    """CREATE VIEW readable_calls AS SELECT
        n, id, datetime(at_ms / 1000, 'unixepoch') AS at,
        (SELECT name FROM names WHERE names.id = tenant) AS tenant, (SELECT name
        FROM names WHERE names.id = key) AS key,
        (SELECT name FROM names WHERE names.id = task) AS task, (SELECT name
        FROM names WHERE names.id = model) AS model,
        (SELECT name FROM names WHERE names.id = status) AS status, (SELECT name
        FROM names WHERE names.id = origin) AS origin,
        latency_us / 1000.0 AS latency_ms, cost_nusd / 1e9 AS cost_usd, error FROM calls""",
)
