"""How deeply JSON is nested, without decoding it."""

from __future__ import annotations

import re
from itertools import accumulate

_OTHER_BYTES = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one down, one up
_STRING = re.compile(rb'"[^"]*"')


def deeper_than(data: bytes, levels: int) -> bool:
    """Whether valid JSON has an array or object more than `levels` deep. Nearly free for bodies with few brackets."""
    if data.count(b"[") + data.count(b"{") <= levels:
        return False
    if (
        b'\\"' in data
    ):  # an escaped quote is no end of a string, but a quote after an escaped backslash is one
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Only brackets and quotes are left. Two quotes side by side hold no bracket between them, so dropping both leaves every bracket
    # inside or outside of a string as it was.
    marks = data.translate(None, _OTHER_BYTES).replace(b'""', b"")
    brackets = _STRING.sub(b"", marks) if b'"' in marks else marks
    steps = memoryview(brackets.translate(_STEPS)).cast("b")
    return max(accumulate(steps), default=0) > levels
