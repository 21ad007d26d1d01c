"""What of a call's messages is looked at to see which feature it is of: texts, bounded, as they were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from smallfirst.planning.assess.observed import Observed

_HEAD_CHARS, _TAIL_CHARS = 6000, 3000  # of a text that is looked at
_KEPT_CHARS = 20_000  # of each text in a sample: its beginning and its end
_SYSTEM = ("system", "developer")


class Prompt(NamedTuple):
    """`text` is the system prompt and all that was said, one after the other; both are cut where they are long."""

    system: str
    text: str
    chars: int  # of the whole
    user_turns: int
    first_user: int  # where the first message of the user's begins in `text`


def read_prompt(messages: Sequence[dict[str, Any]]) -> Prompt:
    """Roles are told apart only where they matter: instructions that move from the system prompt into the user's message stay the same text."""
    systems: list[str] = []
    others: list[str] = []
    users = chars = 0
    for message in messages:
        role, content = message.get("role"), message.get("content")
        text = content if isinstance(content, str) else _text_of(content)
        chars += len(text)
        if role in _SYSTEM:
            systems.append(text)
        else:
            users += role == "user"
            others.append(text)
    system = systems[0] if len(systems) == 1 else "\n".join(systems)
    system = _cut(system)
    said = others[0] if len(others) == 1 else "\n".join(others)
    text = f"{system}\n{_cut(said)}" if system else _cut(said)
    return Prompt(system, text, chars, users, len(system) + 1 if system else 0)


def said_to(messages: Sequence[dict[str, Any]]) -> str:
    """All that is no system prompt, whole: what makes one call's input another's."""
    return "\x00".join(
        content if isinstance(content, str) else str(content)
        for message in messages
        if message.get("role") not in _SYSTEM
        for content in (message.get("content"),)
    )


def clipped(observed: Observed) -> Observed:
    """The call with each of its texts cut to 20,000 characters, for keeping."""
    answer = _kept(observed.answer)
    messages = observed.messages
    if any(_is_long(message.get("content")) for message in messages):
        messages = [message | {"content": _kept_content(message.get("content"))} for message in messages]
    if answer is observed.answer and messages is observed.messages:
        return observed
    return msgspec.structs.replace(observed, messages=messages, answer=answer)


def _text_of(content: Any) -> str:
    if not isinstance(content, list):
        return ""
    return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))


def _cut(text: str) -> str:
    if len(text) <= _HEAD_CHARS + _TAIL_CHARS:
        return text
    return f"{text[:_HEAD_CHARS]}\n{text[-_TAIL_CHARS:]}"


def _is_long(content: Any) -> bool:
    return isinstance(content, list) or (isinstance(content, str) and len(content) > _KEPT_CHARS)


def _kept_content(content: Any) -> Any:
    """Parts that are no text are images and files: nothing here looks at them."""
    return _kept(content if isinstance(content, str) else _text_of(content))


def _kept(text: str) -> str:
    half = _KEPT_CHARS // 2
    return text if len(text) <= _KEPT_CHARS else f"{text[:half]}\n…\n{text[-half:]}"
