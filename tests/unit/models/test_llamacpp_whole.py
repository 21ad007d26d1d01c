"""Answers put together from chunks are the answers that were cut into them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.models.llamacpp_whole import Whole

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "m", "system_fingerprint": "b1"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
TOKENS = st.lists(st.text(max_size=4), max_size=6)


def chunk(index: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": None} | more
    return HEAD | {"object": "chat.completion.chunk", "choices": [choice]}


def whole(chunks: list[dict[str, Any]], *, chat: bool = True) -> dict[str, Any]:
    made = Whole(chat=chat)
    for one in chunks:
        made.add(one)
    assert made.ended
    return made.completion()


@given(st.lists(TOKENS, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_choices_come_back_in_order_however_they_are_interleaved(texts: list[list[str]], random: Any) -> None:
    queues = [[chunk(index, {"content": token}) for token in tokens] for index, tokens in enumerate(texts)]
    for index, queue in enumerate(queues):
        queue.insert(0, chunk(index, {"role": "assistant", "content": None}))
        queue.append(chunk(index, {}, finish_reason="stop"))
    chunks = []
    while waiting := [queue for queue in queues if queue]:
        chunks.append(random.choice(waiting).pop(0))
    chunks.append(HEAD | {"object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    completion = whole(chunks)
    assert [choice["message"]["content"] for choice in completion["choices"]] == ["".join(t) for t in texts]
    assert [choice["index"] for choice in completion["choices"]] == list(range(len(texts)))
    assert completion["usage"] == USAGE
    assert completion["object"] == "chat.completion"
    assert {name: completion[name] for name in HEAD} == HEAD


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), TOKENS), min_size=1, max_size=3))
def test_tool_calls_are_put_together_from_fragments(calls: list[tuple[str, list[str]]]) -> None:
    chunks = []
    for index, (name, fragments) in enumerate(calls):
        begun = {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name}}
        chunks.append(chunk(0, {"tool_calls": [begun]}))
        chunks += [
            chunk(0, {"tool_calls": [{"index": index, "function": {"arguments": f}}]}) for f in fragments
        ]
    chunks.append(chunk(0, {}, finish_reason="tool_calls"))
    message = whole(chunks)["choices"][0]["message"]
    expected = [
        {"type": "function", "id": f"c{index}", "function": {"name": name, "arguments": "".join(fragments)}}
        for index, (name, fragments) in enumerate(calls)
    ]
    assert message == {"role": "assistant", "content": None, "tool_calls": expected}


def test_logprobs_and_reasoning_are_joined() -> None:
    first, second = {"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -2.0}
    chunks = [
        chunk(0, {"reasoning_content": "so"}),
        chunk(0, {"reasoning_content": " it is"}),
        chunk(0, {"content": "a"}, logprobs={"content": [first]}),
        chunk(0, {"content": "b"}, logprobs={"content": [second]}),
        chunk(0, {}, finish_reason="length", logprobs=None),
    ]
    choice = whole(chunks)["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "ab", "reasoning_content": "so it is"}
    assert choice["logprobs"] == {"content": [first, second]}
    assert choice["finish_reason"] == "length"


def test_plain_completions_keep_their_shape() -> None:
    chunks = [
        HEAD | {"object": "text_completion", "choices": [{"text": text, "index": 0, "finish_reason": end}]}
        for text, end in (("a", None), ("b", None), ("", "stop"))
    ]
    completion = whole(chunks, chat=False)
    assert completion["object"] == "text_completion"
    assert completion["choices"] == [{"text": "ab", "index": 0, "logprobs": None, "finish_reason": "stop"}]


def test_an_answer_that_did_not_end_is_not_called_whole() -> None:
    made = Whole(chat=True)
    assert not made.ended
    made.add(chunk(0, {"content": "a"}))
    made.add(chunk(1, {"content": "b"}, finish_reason="stop"))
    assert not made.ended
