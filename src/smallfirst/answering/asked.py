"""What a rung tells a model to do: the same for a call, an evaluation, and an example that a model is trained on."""

from __future__ import annotations

from smallfirst.wire.incoming import Incoming


def instructions_for(rung: str | None, default: str | None, incoming: Incoming) -> str | None:
    """The system prompt that replaces the client's; None where the client's own stays.

    `rung`: the rung's instructions, which hold for every call. `default`: the task's, for clients that send none.
    """
    if rung is None and default is not None and not incoming.has_system:
        return default
    return rung
