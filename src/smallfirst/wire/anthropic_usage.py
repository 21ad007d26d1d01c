"""Token usage as Anthropic writes it, to disjoint classes and back.

`input_tokens` exclude both cache classes; `output_tokens` include thinking. Source: `anthropic.types.Usage`, `MessageDeltaUsage`.
"""

from __future__ import annotations

from typing import Any

from smallfirst.chat import Usage
from smallfirst.wire.decode import count, obj


def read_usage(value: Any) -> Usage | None:
    """Usage from a decoded object; None where neither input nor output is told.

    What is absent, null, negative or no number counts as 0.
    """
    usage = obj(value)
    if not _is_number(usage.get("input_tokens")) and not _is_number(usage.get("output_tokens")):
        return None
    split = obj(usage.get("cache_creation"))
    hour = count(split.get("ephemeral_1h_input_tokens"))
    written = usage.get("cache_creation_input_tokens")
    if written is None:
        five_minutes = count(split.get("ephemeral_5m_input_tokens"))
    else:  # the total counts, whatever its parts add up to
        hour = min(hour, count(written))
        five_minutes = count(written) - hour
    output = count(usage.get("output_tokens"))
    thinking = min(count(obj(usage.get("output_tokens_details")).get("thinking_tokens")), output)
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        cache_read_tokens=count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=five_minutes,
        cache_write_1h_tokens=hour,
        output_tokens=output - thinking,
        reasoning_tokens=thinking,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def write_usage(usage: Usage) -> dict[str, Any]:
    """The classes in Anthropic's way, which has none for audio: it counts as text."""
    return {
        "input_tokens": usage.input_tokens + usage.input_audio_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
