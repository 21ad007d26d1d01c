"""As what an attempt was answered, and the outcomes that stand, found without reading all others of their call."""

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE attempts ADD COLUMN system_fingerprint TEXT",
    "DROP INDEX outcomes_call",
    "CREATE INDEX outcomes_standing ON outcomes (call, kind, source, at_ms)",
)
