"""What the learning loop asks of the ledger: a call by its client's own name, the calls that answered another
one again, whether a call may be trained on, events by their kind.
"""

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE calls ADD COLUMN trainable INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX calls_client_key ON calls (client_key, tenant) WHERE client_key IS NOT NULL",
    # Of origin explore, shadow or spot-check: decision.of is the id of the client's call.
    """CREATE INDEX calls_of ON calls (json_extract(decision, '$.of'))
        WHERE json_extract(decision, '$.of') IS NOT NULL""",
    "CREATE INDEX events_kind ON events (kind)",
)
