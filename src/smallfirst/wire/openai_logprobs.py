"""What the first token of a chat completion might have been, where the server was asked for it and tells.

Shape: `choices[].logprobs.content[].top_logprobs[]` of `openai.types.chat.ChatCompletion`; vLLM and llama.cpp send the same.
"""

from __future__ import annotations

import msgspec

from smallfirst.wire.decode import NOT_JSON


class _Alternative(msgspec.Struct):
    token: str
    logprob: float


class _Token(_Alternative):
    top_logprobs: list[_Alternative] = []


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    logprobs: _Logprobs | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] = []


_reply = msgspec.json.Decoder(_Reply)


def first_token(data: bytes) -> tuple[tuple[str, float], ...]:
    """Tokens and their log-probabilities, the chosen one among them; none where they are not told, or in another way."""
    try:
        reply = _reply.decode(data)
    except NOT_JSON:
        return ()
    told = reply.choices[0].logprobs if reply.choices else None
    if told is None or not told.content:
        return ()
    chosen = told.content[0]
    found = {one.token: one.logprob for one in chosen.top_logprobs}
    found.setdefault(chosen.token, chosen.logprob)
    return tuple(found.items())
