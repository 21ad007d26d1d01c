"""What a client says about caching: the `Cache-Control` of its request (RFC 9111, section 5.2.1).

    no-store          neither looked up nor kept
    no-cache          not looked up; the answer is kept. So is `max-age=0`, and `Pragma: no-cache` where there is no `Cache-Control`
    max-age=N         answers not older than N seconds
    min-fresh=N       answers that stay fresh for N seconds more
    only-if-cached    an answer from the cache or none

What is malformed counts in its strictest reading: towards asking the model. `max-stale` is not used, since nothing stale is ever given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

_MOST_S = 2**31  # RFC 9111, 1.2.2: what is larger counts as this
_MOST_CHARS = 4096  # of all its lines together; a longer header is not read, and nothing is given or kept
_DIRECTIVE = re.compile(
    r"""[\s,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s",]*))?\s*(?=,|$)"""
)


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What a client allows of the cache. Nothing said: everything."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: int | None = None
    min_fresh_s: int = 0

    @property
    def looks_up(self) -> bool:
        """Whether any entry, however new, may answer."""
        return not (self.no_store or self.no_cache or self.max_age_s == 0)

    def allows(self, *, age_s: float, left_s: float) -> bool:
        """Whether an entry of this age, which stays fresh for `left_s` more, may answer."""
        if not self.looks_up:
            return False
        return (self.max_age_s is None or age_s <= self.max_age_s) and left_s >= self.min_fresh_s


NOTHING_SAID = Control()


def control_of(headers: Iterable[tuple[bytes, bytes]]) -> Control:
    """What a request's headers say, as ASGI gives them: names in lower case, and each line by itself."""
    lines: list[bytes] = []
    pragma: list[bytes] = []
    for name, value in headers:
        if name == b"cache-control":
            lines.append(value)
        elif name == b"pragma":
            pragma.append(value)
    if lines:
        return read_control(b",".join(lines).decode("latin-1"))
    if pragma and b"no-cache" in b",".join(pragma).lower():
        return Control(no_cache=True)
    return NOTHING_SAID


def read_control(value: str) -> Control:
    """The control of a `Cache-Control` header, its lines joined by commas."""
    if len(value) > _MOST_CHARS:
        return Control(no_store=True)
    found = list(_directives(value))
    names = {name for name, _ in found}
    ages = [_seconds(argument, 0) for name, argument in found if name == "max-age"]
    fresh = [_seconds(argument, _MOST_S) for name, argument in found if name == "min-fresh"]
    return Control(
        no_store="no-store" in names,
        no_cache="no-cache" in names,
        only_if_cached="only-if-cached" in names,
        max_age_s=min(ages, default=None),
        min_fresh_s=max(fresh, default=0),
    )


def _directives(value: str) -> Iterator[tuple[str, str]]:
    """Names in lower case, each with its argument. Where the value is not well formed, what stands between its commas counts too."""
    at = 0
    while found := _DIRECTIVE.match(value, at):
        argument = found[2] or ""
        if argument.startswith('"'):
            argument = re.sub(r"\\(.)", r"\1", argument[1:-1])
        yield found[1].lower(), argument
        at = found.end()
    if value[at:].strip(" \t,"):
        for piece in value.split(","):
            name, _, argument = piece.replace('"', "").partition("=")
            yield name.strip().lower(), argument.strip()


def _seconds(argument: str, otherwise: int) -> int:
    """Whole seconds; `otherwise` for what is no number of them."""
    if not argument.isascii() or not argument.isdigit():
        return otherwise
    return min(int(argument[:20]), _MOST_S)
