"""The one call that every entrant is asked, and the one answer that every upstream gives."""

import json

CHUNKS = 60
LABEL = "billing"
PLACE = "NUMBER-GOES-HERE"  # as long as a ticket number

_SYSTEM = "You sort the tickets of a help desk. Answer with one word: billing, delivery, refund or other."
_TICKET = f"Ticket {PLACE}: my card was charged twice for one order. Please look into it."
_ANSWER = {
    "id": "chatcmpl-benchmark",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "small",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": LABEL},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 61, "completion_tokens": 1, "total_tokens": 62},
    "system_fingerprint": "fp_benchmark",
}


def request_body(model: str, *, stream: bool) -> str:
    """The chat request, about 300 bytes, with PLACE where each call's own number goes."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _TICKET}],
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body, separators=(",", ":"))


def answer_body() -> str:
    """A chat completion of about 330 bytes, usage included; its text is a valid label."""
    return json.dumps(_ANSWER, separators=(",", ":"))


def stream_events() -> list[bytes]:
    """CHUNKS content chunks, then finish, usage and [DONE], each one server-sent event."""
    deltas = [{"delta": {"content": f" word{number:02}"}, "finish_reason": None} for number in range(CHUNKS)]
    deltas[0]["delta"]["role"] = "assistant"
    payloads = [_chunk(choices=[{"index": 0, **delta}]) for delta in deltas]
    payloads.append(_chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    usage = {"prompt_tokens": 61, "completion_tokens": CHUNKS, "total_tokens": 61 + CHUNKS}
    payloads.append(_chunk(choices=[], usage=usage))
    return [f"data: {payload}\n\n".encode() for payload in [*payloads, "[DONE]"]]


def check_answer(body: bytes) -> str | None:
    """None when the answer is the upstream's, else what is wrong with it."""
    content = json.loads(body)["choices"][0]["message"]["content"]
    return None if content == LABEL else f"expected the answer {LABEL!r}, got {content!r}"


def check_stream(body: bytes) -> str | None:
    """None when all chunks came through, else what is wrong."""
    payloads = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
    if payloads[-1:] != [b"[DONE]"]:
        return "the stream does not end in [DONE]"
    choices = [choice for payload in payloads[:-1] for choice in json.loads(payload)["choices"]]
    content = sum(bool(choice["delta"].get("content")) for choice in choices)
    return None if content == CHUNKS else f"expected {CHUNKS} content chunks, got {content}"


def _chunk(**fields: object) -> str:
    head = {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "small",
    }
    return json.dumps(head | fields, separators=(",", ":"))
