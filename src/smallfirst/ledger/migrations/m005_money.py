"""What providers' prompt caching saved, what frontier models cost by the hour, and the limits of keys beyond a day's budget."""

STATEMENTS: tuple[str, ...] = (
    # What the attempt's prompt had cost without the provider's prompt cache, less what it cost with it: below 0 where
    # writing to that cache cost more than reading from it saved.
    "ALTER TABLE attempts ADD COLUMN prompt_cache_saved_nusd INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE hourly_attempts ADD COLUMN prompt_cache_saved_nusd INTEGER NOT NULL DEFAULT 0",
    # Of calls that a budget of a key, tenant or task pays for: what of it was spent with frontier models.
    """CREATE TABLE hourly_frontier_spend (
        hour INTEGER, tenant INTEGER, key INTEGER, task INTEGER, cost_nusd INTEGER NOT NULL,
        PRIMARY KEY (hour, tenant, key, task)) WITHOUT ROWID""",
    """INSERT INTO hourly_frontier_spend
        SELECT calls.at_ms / 3600000, calls.tenant, calls.key, calls.task, sum(attempts.cost_nusd)
        FROM calls JOIN attempts ON attempts.call = calls.n
        WHERE attempts.frontier AND attempts.cost_nusd IS NOT NULL AND calls.origin NOT IN
            (SELECT id FROM names WHERE name IN ('eval', 'replay', 'explore', 'shadow', 'spot-check'))
        GROUP BY 1, 2, 3, 4""",
    "ALTER TABLE keys ADD COLUMN budget_nusd_per_month INTEGER",
    "ALTER TABLE keys ADD COLUMN budget_nusd_total INTEGER",
    "ALTER TABLE keys ADD COLUMN requests_per_minute INTEGER",
    "ALTER TABLE keys ADD COLUMN tokens_per_minute INTEGER",
)
