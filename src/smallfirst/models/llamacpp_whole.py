"""A streamed answer of llama.cpp's, put together as the answer that it sends when it is not asked to
stream.
"""

from __future__ import annotations

from typing import Any

Fields = dict[str, Any]
_TEXTS = ("content", "reasoning_content", "refusal")


class Whole:
    """Add every chunk in order; then `completion` is the body. `chat` tells chat completions from plain
    ones.
    """

    def __init__(self, *, chat: bool) -> None:
        self._chat = chat
        self._head: Fields = {}
        self._choices: dict[int, Fields] = {}

    @property
    def ended(self) -> bool:
        """Whether every choice that began has ended, and at least one has."""
        return bool(self._choices) and all(choice["finish_reason"] for choice in self._choices.values())

    def add(self, chunk: Fields) -> None:
        """Takes in one chunk. The usage comes in the last one, which has no choices."""
        self._head |= {name: value for name, value in chunk.items() if name not in ("choices", "object")}
        for said in chunk.get("choices", ()):
            choice = self._choices.setdefault(said["index"], self._begun(said["index"]))
            if self._chat:
                _extend_message(choice["message"], said.get("delta") or {})
            else:
                choice["text"] += said.get("text") or ""
            if logprobs := said.get("logprobs"):
                _extend_logprobs(choice, logprobs)
            choice["finish_reason"] = said.get("finish_reason") or choice["finish_reason"]

    def completion(self) -> Fields:
        """The body: what each chunk said of the answer as a whole, and its choices in order."""
        kind = "chat.completion" if self._chat else "text_completion"
        choices = [self._choices[index] for index in sorted(self._choices)]
        for message in (choice["message"] for choice in choices if self._chat):
            if message["content"] is None and "tool_calls" not in message:
                message["content"] = ""  # an empty answer is still one
        return {"choices": choices, "object": kind} | self._head

    def _begun(self, index: int) -> Fields:
        if self._chat:
            return {"finish_reason": None, "index": index, "message": {"role": "assistant", "content": None}}
        return {"text": "", "index": index, "logprobs": None, "finish_reason": None}


def _extend_message(message: Fields, delta: Fields) -> None:
    for name in _TEXTS:
        if delta.get(name) is not None:
            message[name] = (message.get(name) or "") + delta[name]
    if role := delta.get("role"):
        message["role"] = role
    for call in delta.get("tool_calls") or ():
        _extend_call(message.setdefault("tool_calls", []), call)


def _extend_call(calls: list[Fields], delta: Fields) -> None:
    """Fragments of a call name its place; its id, type and name come once, its arguments in pieces."""
    index = delta.get("index", len(calls))
    while len(calls) <= index:
        calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
    call, said = calls[index], delta.get("function") or {}
    call |= {name: delta[name] for name in ("id", "type") if delta.get(name)}
    call["function"]["name"] += said.get("name") or ""
    call["function"]["arguments"] += said.get("arguments") or ""


def _extend_logprobs(choice: Fields, logprobs: Fields) -> None:
    kept = choice.get("logprobs") or {}
    for name, tokens in logprobs.items():
        kept[name] = [*(kept.get(name) or []), *tokens] if isinstance(tokens, list) else tokens
    choice["logprobs"] = kept
