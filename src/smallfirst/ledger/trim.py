"""A settlement without its texts, for a disk that has no room for them: every figure stays."""

from __future__ import annotations

import msgspec

from smallfirst.ledger.records import Attempt, Call, Intent, Settlement

_SHORT_CHARS = 64


def trimmed(settlement: Settlement) -> Settlement:
    """The settlement without decision and reasons, other texts cut to 64 characters."""
    call = settlement.call
    texts = ("asked_model", "client_key", "conversation", "error", "route")
    attempts = tuple(_trimmed_attempt(attempt) for attempt in call.attempts)
    return Settlement(call=msgspec.structs.replace(call, attempts=attempts, decision={}, **_cut(call, texts)))


def trimmed_intent(intent: Intent) -> Intent:
    """The intent with what the client asked for cut to 64 characters."""
    return msgspec.structs.replace(intent, **_cut(intent, ("asked_model", "route")))


def _trimmed_attempt(attempt: Attempt) -> Attempt:
    texts = ("endpoint", "upstream_model", "upstream_id", "stop")
    return msgspec.structs.replace(attempt, reason="", **_cut(attempt, texts))


def _cut(record: Call | Attempt | Intent, fields: tuple[str, ...]) -> dict[str, str]:
    return {field: getattr(record, field)[:_SHORT_CHARS] for field in fields}
