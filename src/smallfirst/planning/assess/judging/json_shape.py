"""The shape that JSON answers share, and the JSON Schema that says it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from smallfirst import limits

_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\Z", re.DOTALL)
_CLOSED_VALUES = 30  # at most, of an enumeration
_SEEN_OFTEN = 8  # so many times as often as there are values, or they are no enumeration
_LEAST_FOR_PATTERN = 20
_MAX_FIELDS = 200  # of one object; more are names of data, and stay open
_NEVER_LONGER = 40  # characters, of a value of an enumeration
_PIECE = re.compile(r"[0-9]+|[A-Za-z]+|.", re.DOTALL)


class Shape(msgspec.Struct, kw_only=True):
    """What is seen at one place of many values. Counts are of values; `fields` and `items` are the places within."""

    seen: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    fields: dict[str, Shape] = msgspec.field(default_factory=dict)
    items: Shape | None = None
    texts: Counter[str] = msgspec.field(default_factory=Counter)

    @classmethod
    def of(cls, values: Iterable[Any]) -> Shape:
        made = cls()
        for value in values:
            made.add(value)
        return made

    def add(self, value: Any, depth: int = 0) -> None:
        """Counts one more value."""
        self.seen += 1
        kind = kind_of(value)
        self.kinds[kind] += 1
        if kind == "string":
            self.texts[value if len(value) <= 4 * _NEVER_LONGER else value[:_NEVER_LONGER] + "…"] += 1
        elif kind == "object" and depth < limits.MAX_JSON_DEPTH:
            for name, item in value.items():
                if name in self.fields or len(self.fields) < _MAX_FIELDS:
                    self.fields.setdefault(name, Shape()).add(item, depth + 1)
        elif kind == "array" and depth < limits.MAX_JSON_DEPTH:
            self.items = self.items or Shape()
            for item in value:
                self.items.add(item, depth + 1)

    def valid(self, values: Sequence[Any]) -> int:
        """How many of other values are valid against its schema."""
        import jsonschema_rs

        validator = jsonschema_rs.validator_for(self.schema())
        return sum(validator.is_valid(value) for value in values)

    @property
    def open(self) -> bool:
        """Whether the names of its fields are data."""
        return len(self.fields) >= _MAX_FIELDS

    @property
    def required(self) -> list[str]:
        return [name for name, field in self.fields.items() if field.seen == self.kinds["object"]]

    @property
    def closed(self) -> list[str]:
        """The values of an enumeration; none where the texts are open."""
        texts, total = self.texts, self.texts.total()
        few = 1 < len(texts) <= _CLOSED_VALUES and total >= _SEEN_OFTEN * len(texts)
        once = sum(count == 1 for count in texts.values())
        if not few or once > 0.01 * total or any(len(text) > _NEVER_LONGER for text in texts):
            return []
        return sorted(texts)

    @property
    def pattern(self) -> str:
        """What all texts look like where they are codes such as QS-10432, else ""."""
        if self.closed or self.texts.total() < _LEAST_FOR_PATTERN:
            return ""
        masks = {_mask(text) for text in self.texts}
        if len(masks) != 1:
            return ""
        mask = masks.pop()
        return f"^{mask}$" if "[0-9]" in mask else ""

    def schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12, without null values, so that TOML can say it."""
        nullable = "null" in self.kinds
        kinds = [kind for kind in _KINDS if kind in self.kinds and kind != "null"]
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        if kinds == ["string"] and self.closed:
            values: dict[str, Any] = {"enum": self.closed}
            return {"anyOf": [values, {"type": "null"}]} if nullable else values
        names = [*kinds, *(["null"] if nullable else [])]
        told: dict[str, Any] = {"type": names[0] if len(names) == 1 else names} if names else {}
        if kinds == ["string"] and self.pattern:
            told["pattern"] = self.pattern
        if "array" in kinds and self.items is not None and self.items.seen:
            told["items"] = self.items.schema()
        if "object" in kinds and not self.open:
            told |= {
                "additionalProperties": False,
                "required": self.required,
                "properties": {name: field.schema() for name, field in self.fields.items()},
            }
        return told


_KINDS = ("object", "array", "string", "number", "integer", "boolean", "null")


def kind_of(value: Any) -> str:
    """The name that JSON Schema has for it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


def read_value(text: str) -> tuple[Any, bool]:
    """The object or array of an answer, and whether it stands in a Markdown fence; None where there is none."""
    text = text.strip()
    fenced = _FENCE.match(text)
    text = fenced[1].strip() if fenced else text
    if not text.startswith(("{", "[")):
        return None, False
    try:
        return msgspec.json.decode(text.encode("utf-8", "replace")), fenced is not None
    except (msgspec.DecodeError, RecursionError):
        return None, False


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """What is stated in a value, with its path; null states nothing."""
    if isinstance(value, dict):
        return [
            leaf for name, item in value.items() for leaf in leaves(item, f"{path}.{name}" if path else name)
        ]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, f"{path}[]")]
    return [] if value is None else [(path, value)]


def _mask(text: str) -> str:
    """A regular expression of a code: its letters as they are, so many digits where digits are."""
    pieces = _PIECE.findall(text[:_NEVER_LONGER])
    return "".join(
        f"[0-9]{{{len(piece)}}}" if piece.isdigit() and piece.isascii() else _escaped(piece)
        for piece in pieces
    )


def _escaped(text: str) -> str:
    """For JSON Schema's regular expressions, which know fewer escapes than Python's."""
    return "".join(f"\\{char}" if char in r"\^$.|?*+()[]{}/" else char for char in text)


def values_by_path(values: Sequence[Any]) -> dict[str, Counter[str]]:
    """How often each stated value is at each path, as text."""
    found: dict[str, Counter[str]] = {}
    for value in values:
        for path, leaf in leaves(value):
            found.setdefault(path, Counter())[str(leaf)] += 1
    return found
