"""What the gateway reads of a reply that it passes on without rebuilding it."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.chat import Usage


class Peek(msgspec.Struct):
    """A whole reply at a glance. `stop` is the dialect's own word; `text` the first choice's visible text."""

    id: str = ""
    model: str = ""
    fingerprint: str = ""  # OpenAI's `system_fingerprint`
    usage: Usage | None = None
    stop: str | None = None
    text: str = ""
    tool_calls: int = 0
    refused: bool = False
    confidence: float | None = (
        None  # the geometric mean of the first choice's tokens' probabilities, where they were told
    )


def visible(content: str | list[Any] | None) -> str:
    """The text of a reply's content. Mistral's reasoning models answer with a list of parts, all others with a string."""
    if not isinstance(content, list):
        return content or ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))
