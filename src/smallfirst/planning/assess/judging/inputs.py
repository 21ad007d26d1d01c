"""What the users of a feature gave: the last message of each call, without the frame that all of them share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from smallfirst.planning.assess.observed import Observed

MAX_CHARS = 20_000  # that are looked at of one message: its beginning and its end
_COMMON = 0.8  # of the messages have a line, a beginning or an end: it is the frame's
_COMMON_LINE = 0.1  # of them have a long line: prompts come in versions
_LINE_CHARS = 20
_LEAST_MESSAGES = 8
_LEAST_CHARS = 6  # of a beginning or an end; shorter ones are chance
_TRIED = 12
_DIGITS = re.compile(r"\d+")


def asked_of(call: Observed) -> str:
    """The text of the last message of the user's; "" where there is none."""
    for message in reversed(call.messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: Any) -> str:
    """The text of a message: its text, or those of its parts that are text."""
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):
        parts = (part.get("text") if isinstance(part, dict) else part for part in content)
        text = "\n".join(part for part in parts if isinstance(part, str))
    else:
        text = ""
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS // 2] + "\n" + text[-MAX_CHARS // 2 :]


def inputs_of(calls: Sequence[Observed]) -> list[str]:
    """One text a call. Lines that nearly all have, but for their digits, and a common beginning and end are taken out: a prompt that is written into
    the user's message is the application's, not its user's. A text of nothing but frame stays whole.
    """
    texts = [asked_of(call) for call in calls]
    distinct = list(dict.fromkeys(texts))  # what comes again is no frame for that
    if len(distinct) < _LEAST_MESSAGES:
        return [text.strip() for text in texts]
    frame = _frame_lines(distinct)
    bare = [_without(text, frame) for text in texts]
    others = list(dict.fromkeys(bare))
    start, end = _shared(others), _shared([text[::-1] for text in others])
    pairs = zip(texts, bare, strict=True)
    return [left.removeprefix(start).removesuffix(end[::-1]).strip() or text for text, left in pairs]


def _frame_lines(texts: Sequence[str]) -> set[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({_masked(line) for line in text.splitlines() if line.strip()})
    return {
        line
        for line, count in counts.items()
        if count >= (_COMMON_LINE if len(line) >= _LINE_CHARS else _COMMON) * len(texts) and count > 1
    }


def _without(text: str, frame: set[str]) -> str:
    if not frame:
        return text
    return "\n".join(line for line in text.splitlines() if _masked(line) not in frame).strip() or text


def _masked(line: str) -> str:
    return _DIGITS.sub("0", line.strip())


def _shared(texts: Sequence[str]) -> str:
    """The longest beginning that nearly all have, to the end of a word."""
    best = ""
    for text in texts[:: max(1, len(texts) // _TRIED)][:_TRIED]:
        low, high = len(best), len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if sum(one.startswith(text[:middle]) for one in texts) >= _COMMON * len(texts):
                low = middle
            else:
                high = middle - 1
        if low > len(best):
            best = text[:low]
    cut = max((best.rfind(mark) for mark in (" ", "\n", ":", '"')), default=-1) + 1
    return best[:cut] if cut >= _LEAST_CHARS else ""
