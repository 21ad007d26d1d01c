"""What the frontier alone had cost at plain prices, what the cache gave again of its answers, and sums of whole days: a
bill of months reads days.

A day of `days_folded` whose `tables` are all (`ledger/days.py` has the list) has its sums in the tables `daily_…`, and they
hold; of any other day the hours are read.
"""

_CALL = "origin, status, unproven, outside_bound"
_ATTEMPT = "origin, status, simulated"
_CALLS = "calls INTEGER NOT NULL"
_ATTEMPTS = """attempts INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
        cache_write_1h_tokens INTEGER NOT NULL, input_audio_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL, output_audio_tokens INTEGER NOT NULL,
        cost_nusd INTEGER NOT NULL, unknown_attempts INTEGER NOT NULL, estimated_attempts INTEGER NOT NULL,
        estimated_nusd INTEGER NOT NULL, prompt_cache_saved_nusd INTEGER NOT NULL"""
_FRONTIER = """calls INTEGER NOT NULL, unknown_calls INTEGER NOT NULL, paid_nusd INTEGER NOT NULL,
        frontier_nusd INTEGER NOT NULL, bytes INTEGER NOT NULL, bytes2 REAL NOT NULL, nusd2 REAL NOT NULL,
        cross REAL NOT NULL, prompt_cache_saved_nusd INTEGER NOT NULL, full_nusd INTEGER NOT NULL,
        full2 REAL NOT NULL, full_cross REAL NOT NULL, hit_calls INTEGER NOT NULL, hit_nusd INTEGER NOT NULL,
        cache_saved_nusd INTEGER NOT NULL, unknown_hits INTEGER NOT NULL"""


def _table(name: str, key: str, sums: str) -> str:
    columns = ", ".join(f"{column} INTEGER" for column in key.split(", "))
    return f"CREATE TABLE {name} ({columns}, {sums}, PRIMARY KEY ({key})) WITHOUT ROWID"


STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE calls ADD COLUMN saved_frontier_nusd INTEGER",
    # `full`: the frontier's attempts with every token of their prompts at its plain price. `hit`: answers of the
    # frontier that the cache gave again, at what they had cost; their bytes are in no other sum.
    *(
        f"ALTER TABLE hourly_frontier ADD COLUMN {name} {kind} NOT NULL DEFAULT 0"
        for name, kind in (
            ("prompt_cache_saved_nusd", "INTEGER"),
            ("full_nusd", "INTEGER"),
            ("full2", "REAL"),
            ("full_cross", "REAL"),
            ("hit_calls", "INTEGER"),
            ("hit_nusd", "INTEGER"),
            ("cache_saved_nusd", "INTEGER"),
            ("unknown_hits", "INTEGER"),
        )
    ),
    # of before: what providers' caches saved was not kept, so that the plain price is what was paid
    "UPDATE hourly_frontier SET full_nusd = frontier_nusd, full2 = nusd2, full_cross = cross",
    """UPDATE hourly_frontier SET cache_saved_nusd = found.saved, unknown_hits = found.unknown FROM
        (SELECT at_ms / 3600000 AS hour, tenant, task, coalesce(sum(saved_nusd), 0) AS saved,
            sum(saved_nusd IS NULL) AS unknown
            FROM calls WHERE cost_nusd IS NOT NULL AND cache IN ('exact', 'semantic', 'flight')
            AND status = (SELECT id FROM names WHERE name = 'ok') AND origin = (SELECT id FROM names WHERE name = 'client')
            GROUP BY 1, 2, 3) AS found
        WHERE hourly_frontier.hour = found.hour AND hourly_frontier.tenant = found.tenant
            AND hourly_frontier.task = found.task AND hourly_frontier.simulated = 0
            AND hourly_frontier.model = (SELECT id FROM names WHERE name = '')""",
    "CREATE TABLE days_folded (day INTEGER PRIMARY KEY, tables INTEGER NOT NULL)",
    _table("daily_task_calls", f"day, task, model, {_CALL}", _CALLS),
    _table("daily_tenant_calls", f"day, tenant, {_CALL}", _CALLS),
    _table("daily_calls", f"day, tenant, task, model, {_CALL}", _CALLS),
    _table("daily_key_calls", f"day, tenant, key, {_CALL}", _CALLS),
    _table("daily_task_attempts", f"day, task, model, provider, {_ATTEMPT}", _ATTEMPTS),
    _table("daily_tenant_attempts", f"day, tenant, {_ATTEMPT}", _ATTEMPTS),
    _table("daily_attempts", f"day, tenant, task, model, provider, {_ATTEMPT}", _ATTEMPTS),
    _table("daily_key_attempts", f"day, tenant, key, {_ATTEMPT}", _ATTEMPTS),
    # what was spent in each hour of a day: how much of this one is still to come
    _table("daily_hours", "day, tenant, hour", "cost_nusd INTEGER NOT NULL"),
    _table("daily_task_frontier", "day, task, model, simulated", _FRONTIER),
    _table("daily_frontier", "day, tenant, task, model, simulated", _FRONTIER),
    _table(
        "daily_cache",
        "day, tenant, task, result",
        "calls INTEGER NOT NULL, unknown_calls INTEGER NOT NULL, saved_nusd INTEGER NOT NULL",
    ),
    _table("daily_latency", "day, origin, task, measure, bucket", _CALLS),
    _table("daily_tenant_latency", "tenant, day, origin, task, measure, bucket", _CALLS),
)
