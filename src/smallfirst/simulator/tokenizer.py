"""The simulator's own sub-word scheme: deterministic, lossless, and unlike any estimate by characters."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"[\u2e80-\U0010ffff]"  # CJK, emoji and all above: one character, one token
    r"| ?[^\W\d_\u2e80-\U0010ffff]{1,7}"  # a word with the space before it; longer ones split every 7
    r"|[0-9]{1,3}"  # digits in groups of three
    r"|[ \t]{2,8}"  # indentation
    r"|\n{1,4}"
    r"|[\s\S]"  # punctuation and all else, one by one
)


def tokens(text: str) -> list[str]:
    """The tokens of ``text``, in order; joined they are ``text`` again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens ``text`` has."""
    return len(_TOKEN.findall(text))
