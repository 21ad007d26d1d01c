"""What a recorded call asked, for commands that show it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smallfirst.ledger.ledger import LedgerView


def last_question(name: str, ledger: LedgerView, tenant: str) -> str:
    """The last user message of the call of exactly this id; empty where it is no call, another tenant's, or was not kept so that it can be read."""
    from smallfirst.errors import BadRequest, StateError
    from smallfirst.wire.incoming import Incoming

    with contextlib.suppress(StateError, BadRequest):
        call = ledger.queries.call(name, tenant=tenant)
        bodies = ledger.queries.bodies(call.id, tenant=tenant) if call.id == name else None
        if bodies is not None:
            incoming = Incoming("messages" if call.route == "messages" else "chat", bodies.request)
            asked = [turn.text for turn in incoming.conversation.turns if turn.role == "user"]
            return asked[-1] if asked else ""
    return ""
