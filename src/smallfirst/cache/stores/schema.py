"""The tables of `cache.sqlite`. Another `VERSION` begins the file anew: it is a cache, and the evidence beside it is earned again."""

from __future__ import annotations

VERSION = 2

# What entries have in common. `entries`, `bytes` and `hits` are kept by the triggers below: nothing is counted by reading the entries.
_SCOPES = """
CREATE TABLE scopes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    task TEXT NOT NULL,
    policy TEXT NOT NULL,
    release TEXT NOT NULL,
    entries INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    hits INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, task, policy, release)
)"""

# What is long stands last: SQLite reads a row only as far as it is asked. `text` is null where it stands, as a JSON string, in `answer`.
_ENTRIES = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    scope INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    "group" INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    refuted INTEGER NOT NULL,
    partition BLOB,
    call TEXT NOT NULL,
    model TEXT NOT NULL,
    rung INTEGER NOT NULL,
    dialect TEXT NOT NULL,
    cost_nusd INTEGER,
    frontier_nusd INTEGER,
    simulated INTEGER NOT NULL,
    vector BLOB NOT NULL,
    question TEXT NOT NULL,
    text_at INTEGER,
    text_bytes INTEGER,
    text TEXT,
    answer BLOB NOT NULL
)"""

ENTRIES = (
    _SCOPES,
    _ENTRIES,
    "CREATE INDEX entries_by_end ON entries (expires_ms)",
    "CREATE INDEX entries_by_use ON entries (hits > 0, used_ms)",
    'CREATE INDEX entries_by_scope ON entries (scope, at_ms, "group")',
    "CREATE INDEX entries_by_call ON entries (call)",
    "CREATE INDEX entries_by_partition ON entries (partition) WHERE partition IS NOT NULL",
    # one row: all entries together; `again` are those that were given again
    "CREATE TABLE totals (entries INTEGER NOT NULL, bytes INTEGER NOT NULL, again INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0, 0, 0)",
    # what became of entries with a partition, for those who hold partitions in memory; "group" 0: it is gone
    """CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, partition BLOB NOT NULL, entry INTEGER NOT NULL,
        "group" INTEGER NOT NULL, confirmed INTEGER NOT NULL, refuted INTEGER NOT NULL
    )""",
    # what was evicted by whom it was of, for a gateway whose answers wait to be written meanwhile
    "CREATE TABLE purges (seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, which TEXT NOT NULL)",
    """CREATE TRIGGER entry_in AFTER INSERT ON entries BEGIN
        UPDATE scopes SET entries = entries + 1, bytes = bytes + NEW.bytes, hits = hits + NEW.hits WHERE id = NEW.scope;
        UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.bytes, again = again + (NEW.hits > 0);
    END""",
    """CREATE TRIGGER entry_out AFTER DELETE ON entries BEGIN
        UPDATE scopes SET entries = entries - 1, bytes = bytes - OLD.bytes, hits = hits - OLD.hits WHERE id = OLD.scope;
        UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.bytes, again = again - (OLD.hits > 0);
    END""",
    """CREATE TRIGGER entry_used AFTER UPDATE OF hits ON entries BEGIN
        UPDATE scopes SET hits = hits + NEW.hits - OLD.hits WHERE id = NEW.scope;
        UPDATE totals SET again = again + (NEW.hits > 0) - (OLD.hits > 0);
    END""",
    """CREATE TRIGGER entry_gone AFTER DELETE ON entries WHEN OLD.partition IS NOT NULL BEGIN
        INSERT INTO changes (partition, entry, "group", confirmed, refuted) VALUES (OLD.partition, OLD.id, 0, 0, 0);
    END""",
    """CREATE TRIGGER entry_changed AFTER UPDATE OF "group", confirmed, refuted ON entries WHEN NEW.partition IS NOT NULL BEGIN
        INSERT INTO changes (partition, entry, "group", confirmed, refuted)
        VALUES (NEW.partition, NEW.id, NEW."group", NEW.confirmed, NEW.refuted);
    END""",
)

# The evidence of semantic answers: `observed.py` reads and writes it. It holds no texts.
OBSERVED: tuple[str, ...] = (
    # by this a reader knows that the file was begun anew, and that numbers mean other rows now
    "CREATE TABLE born (name TEXT NOT NULL)",
    "INSERT INTO born VALUES (lower(hex(randomblob(8))))",
    """CREATE TABLE observed (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, policy TEXT NOT NULL, call TEXT NOT NULL, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
        probability REAL NOT NULL, threshold REAL, chance REAL NOT NULL, drawn INTEGER NOT NULL, right INTEGER,
        entry INTEGER NOT NULL, guard TEXT NOT NULL, features BLOB NOT NULL, UNIQUE (call, kind)
    )""",
    "CREATE INDEX observed_by_policy ON observed (policy, seq)",
    "CREATE INDEX observed_by_kind ON observed (policy, kind, seq)",
)

ABOUT = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "INSERT INTO about VALUES ('born', lower(hex(randomblob(8))))",  # another file has another past
)

TABLES = (*ABOUT, *ENTRIES, *OBSERVED)
