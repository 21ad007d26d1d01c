"""Personal data taken out of an example before it is stored: `<EMAIL_1>` stands for the same address wherever it occurs in the example.

The reference is written in the same placeholders, so that a task whose answer *is* such a value can still be learned and judged. What a
message has in one spelling is found in another (a telephone number in a JSON reference, without its blanks).
"""

from __future__ import annotations

import importlib.metadata
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from smallfirst.datasets.personal_data import Finder, Found, finders
from smallfirst.datasets.row import Row
from smallfirst.errors import ConfigError

_OWN = "REDACTED"  # what a task's own patterns take out
_LIBRARIES = ("phonenumbers", "python-stdnum")
_SAME_DIGITS = r"[\s().\-/]*"
_LEAST_KNOWN_DIGITS = 7
_FIXED = frozenset({"role", "type"})  # of messages: their values are the API's own words


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """How it was done, as a dataset's manifest tells: kinds, a task's own patterns, libraries with their versions."""

    kinds: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    libraries: dict[str, str] = {}


class Redactor:
    """Takes `kinds` of personal data and matches of `patterns` out of rows, and counts what it has found.

    Raises `ConfigError` for an unknown kind, a wrong pattern, or where the libraries are not installed.
    """

    def __init__(self, kinds: tuple[str, ...], patterns: tuple[str, ...] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.rows = 0
        self._patterns = [_compiled(pattern) for pattern in patterns]
        try:
            versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
            self._finders: list[Finder] = finders(kinds)
        except (ImportError, importlib.metadata.PackageNotFoundError) as error:
            raise ConfigError("finding personal data needs: pip install 'smallfirst[learn]'") from error
        self.done = Redaction(kinds=kinds, patterns=patterns, libraries=versions if self._finders else {})

    def redact(self, row: Row) -> Row:
        """The row with placeholders; the same row where there is nothing to take out."""
        if not self._finders and not self._patterns:
            return row
        found = _Example(self._finders, self._patterns)
        name = "" if row.call else row.id  # a call's id is ours, and may by chance look like a card's number
        for text in itertools.chain(
            _texts((row.messages, row.tools), fixed=_FIXED),
            _texts((row.reference, row.answer, row.slices, name)),
        ):
            found.look(text)
        if not found.placeholders:
            return row
        self.rows += 1
        self.counts.update(found.kinds.values())
        return msgspec.structs.replace(
            row,
            messages=found.rewrite(row.messages, fixed=_FIXED),
            tools=found.rewrite(row.tools, fixed=_FIXED),
            reference=found.rewrite(row.reference),
            answer=found.rewrite(row.answer),
            slices=found.rewrite(row.slices),
            id="" if found.rewrite(name) != name else row.id,
        )


class _Example:
    """The placeholders of one example."""

    def __init__(self, finders: list[Finder], patterns: list[re.Pattern[str]]) -> None:
        self.placeholders: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self._finders = finders
        self._patterns = patterns
        self._numbers: Counter[str] = Counter()
        self._digits: dict[str, str] = {}  # by which a number is known in other spellings, to its placeholder
        self._known: re.Pattern[str] | None = None

    def look(self, text: str) -> None:
        """Gives what is found in a text its placeholder."""
        for found in self._find(text):
            if found.value not in self.placeholders:
                self._numbers[found.kind] += 1
                self.placeholders[found.value] = f"<{found.kind}_{self._numbers[found.kind]}>"
                self.kinds[found.value] = found.kind
                if len(found.digits) >= _LEAST_KNOWN_DIGITS:
                    self._digits[found.digits.upper()] = self.placeholders[found.value]
                    self._known = None

    def rewrite(self, value: Any, *, fixed: frozenset[str] | None = None) -> Any:
        """The value with placeholders, in texts at any depth, and in whole numbers that are one of the findings.

        Keys are rewritten too, unless they are an API's own: then `fixed` are those whose values are its own as well.
        """
        if isinstance(value, str):
            return self._rewrite_text(value)
        if isinstance(value, list | tuple):
            return [self.rewrite(item, fixed=fixed) for item in value]
        if isinstance(value, dict):
            if fixed is None:
                return {self.rewrite(key): self.rewrite(item) for key, item in value.items()}
            return {
                key: item if key in fixed else self.rewrite(item, fixed=fixed) for key, item in value.items()
            }
        if isinstance(value, int) and not isinstance(value, bool):
            known = self._known_digits()
            match = known.fullmatch(str(value)) if known is not None else None
            return value if match is None else self._respelled(match)
        return value

    def _rewrite_text(self, text: str) -> str:
        if text.startswith("data:"):
            return text
        pieces, last = [], 0
        for found in self._find(text):
            pieces += [text[last : found.start], self.placeholders[found.value]]
            last = found.end
        text = "".join([*pieces, text[last:]])
        known = self._known_digits()
        return text if known is None else known.sub(self._respelled, text)

    def _respelled(self, match: re.Match[str]) -> str:
        bare = re.sub(r"[^0-9A-Za-z]", "", match[0]).upper()
        return next(placeholder for digits, placeholder in self._digits.items() if bare.endswith(digits))

    def _known_digits(self) -> re.Pattern[str] | None:
        """What finds the example's numbers in other spellings: with or without the country's code, in groups or in one row."""
        if self._known is None and self._digits:
            longest = sorted(self._digits, key=len, reverse=True)
            forms = (_SAME_DIGITS.join(re.escape(digit) for digit in digits) for digits in longest)
            self._known = re.compile(
                rf"(?<![0-9A-Za-z_<])\+?(?:\d{{1,3}}{_SAME_DIGITS})??(?:{'|'.join(forms)})(?![0-9A-Za-z])",
                re.IGNORECASE,
            )
        return self._known

    def _find(self, text: str) -> Iterator[Found]:
        """What is found, from left to right; of two that overlap, the one whose finder comes first."""
        if text.startswith("data:"):  # an inline image
            return
        taken: list[Found] = []
        own = (
            Found(match.start(), match.end(), _OWN, match[0])
            for pattern in self._patterns
            for match in pattern.finditer(text)
            if match[0]
        )
        for found in (*own, *(found for finder in self._finders for found in finder(text))):
            if all(found.end <= other.start or found.start >= other.end for other in taken):
                taken.append(found)
        yield from sorted(taken)


def _texts(value: Any, *, fixed: frozenset[str] | None = None) -> Iterator[str]:
    """Every text that `rewrite` may change, in the order in which it stands."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list | tuple):
            stack.extend(reversed(item))
        elif isinstance(item, dict) and fixed is None:
            stack.extend(part for pair in reversed(item.items()) for part in reversed(pair))
        elif isinstance(item, dict):
            stack.extend(part for key, part in reversed(item.items()) if key not in fixed)
        elif isinstance(item, int) and not isinstance(item, bool) and abs(item) >= 10**_LEAST_KNOWN_DIGITS:
            yield str(item)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{pattern!r} is not a regular expression: {error}", path="redact") from error
