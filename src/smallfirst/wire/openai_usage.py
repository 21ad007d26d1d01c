"""Token usage as OpenAI and those who imitate it write it, to disjoint classes and back.

`prompt_tokens` include what was read from the cache, written to it, and audio; `completion_tokens` include reasoning and audio. Source:
`openai.types.CompletionUsage`; DeepSeek's `prompt_cache_hit_tokens`; vLLM's null details.
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.chat import Usage
from smallfirst.wire.decode import NOT_JSON, count, obj


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None


_NO_DETAILS = _Details()
_usage = msgspec.json.Decoder(_Usage)


def read_usage(value: Any) -> Usage | None:
    """Usage from a decoded object; None where there is none.

    What is absent, null, negative or no number counts as 0, and details never exceed the total that they are part of.
    """
    usage = obj(value)
    prompt = usage.get("prompt_tokens")
    if isinstance(prompt, bool) or not isinstance(prompt, int | float) or not 0 <= prompt < float("inf"):
        return None
    before, after = obj(usage.get("prompt_tokens_details")), obj(usage.get("completion_tokens_details"))
    cached = before.get("cached_tokens")
    return _disjoint(
        int(prompt),
        count(usage.get("completion_tokens")),
        _Details(
            count(usage.get("prompt_cache_hit_tokens") if cached is None else cached),
            count(before.get("cache_write_tokens")),
            count(before.get("audio_tokens")),
        ),
        _Details(
            reasoning_tokens=count(after.get("reasoning_tokens")),
            audio_tokens=count(after.get("audio_tokens")),
        ),
    )


def read_raw_usage(raw: msgspec.Raw) -> Usage | None:
    """Like `read_usage`, from undecoded JSON: typed, since every reply pays for it."""
    data = bytes(raw)
    if not data or data == b"null":
        return None
    try:
        usage = _usage.decode(data)
    except NOT_JSON:  # odd numbers or shapes: read what can be read
        return _read_odd(data)
    if usage.prompt_tokens < 0:
        return None
    before = usage.prompt_tokens_details or _NO_DETAILS
    if before.cached_tokens is None and usage.prompt_cache_hit_tokens is not None:
        before = msgspec.structs.replace(before, cached_tokens=usage.prompt_cache_hit_tokens)
    return _disjoint(
        usage.prompt_tokens,
        usage.completion_tokens or 0,
        before,
        usage.completion_tokens_details or _NO_DETAILS,
    )


def _read_odd(data: bytes) -> Usage | None:
    try:
        return read_usage(msgspec.json.decode(data))
    except NOT_JSON:
        return None


def _disjoint(prompt: int, completion: int, before: _Details, after: _Details) -> Usage:
    """Classes that add up to what was said in all, even where a provider's details say more than its totals."""
    left = prompt
    left -= (cached := _at_most(before.cached_tokens, left))
    left -= (written := _at_most(before.cache_write_tokens, left))
    left -= (audio_in := _at_most(before.audio_tokens, left))
    output = completion = max(0, completion)
    output -= (reasoning := _at_most(after.reasoning_tokens, completion))
    output -= (audio_out := _at_most(after.audio_tokens, output))
    return Usage(
        input_tokens=left,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        input_audio_tokens=audio_in,
        output_tokens=output,
        reasoning_tokens=reasoning,
        output_audio_tokens=audio_out,
    )


def _at_most(tokens: int | None, bound: int) -> int:
    return max(0, min(tokens, bound)) if tokens else 0


def write_usage(usage: Usage) -> dict[str, Any]:
    """The classes put together again in OpenAI's way."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    before = {"cached_tokens": usage.cache_read_tokens, "audio_tokens": usage.input_audio_tokens}
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    if written:  # only providers that charge for it say it
        before["cache_write_tokens"] = written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": before,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }
