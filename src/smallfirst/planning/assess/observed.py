"""One call as it was seen: from the ledger, or from somebody else's log."""

from __future__ import annotations

from typing import Any

import msgspec


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One call. What a source does not say is None, "" or 0 (`at_ms`: Unix time): it is unknown, and counts as nothing else."""

    messages: list[dict[str, Any]]  # as OpenAI's API writes them, the system prompt among them
    answer: str = ""
    at_ms: int = 0
    tenant: str = ""
    task: str = ""  # where it was declared
    model: str = ""
    provider: str = ""
    conversation: str = ""
    tools: tuple[str, ...] = ()  # names of what was offered
    calls_tools: bool = False  # the answer asks for some
    schema: str = ""  # of the answer, as the request names or gives it: "json", a schema's name or its hash
    failed: bool = False
    stream: bool | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    input_tokens: int | None = None  # of the prompt, cached ones included
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None  # of the output
    cost_nusd: int | None = None
