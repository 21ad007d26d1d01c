"""What the cache had for a call, what that saved, and both by the hour."""

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE calls ADD COLUMN cache TEXT",
    "ALTER TABLE calls ADD COLUMN saved_nusd INTEGER DEFAULT 0",
    # `result`: miss, exact, semantic or flight. Calls that the cache was not asked for are not in it.
    """CREATE TABLE hourly_cache (
        hour INTEGER, tenant INTEGER, task INTEGER, result INTEGER,
        calls INTEGER NOT NULL, unknown_calls INTEGER NOT NULL, saved_nusd INTEGER NOT NULL,
        PRIMARY KEY (hour, tenant, task, result)) WITHOUT ROWID""",
    "DROP VIEW readable_calls",
    """CREATE VIEW readable_calls AS SELECT
        n, id, datetime(at_ms / 1000, 'unixepoch') AS at,
        (SELECT name FROM names WHERE names.id = tenant) AS tenant, (SELECT name
        FROM names WHERE names.id = key) AS key,
        (SELECT name FROM names WHERE names.id = task) AS task, (SELECT name
        FROM names WHERE names.id = model) AS model,
        (SELECT name FROM names WHERE names.id = status) AS status, (SELECT name
        FROM names WHERE names.id = origin) AS origin,
        latency_us / 1000.0 AS latency_ms, cost_nusd / 1e9 AS cost_usd, cache, saved_nusd / 1e9 AS saved_usd,
        error FROM calls""",
)
