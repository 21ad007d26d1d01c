"""The shape of the file, checked against the structs of `schema.py`: every problem at once, each at its path.

msgspec stops at its first error and does not say which table it is in; so its own description of the types is
walked here beside the data. What passes is accepted by `msgspec.convert` (a test holds the two together).
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

from smallfirst.config import dotted, schema, strict
from smallfirst.config.nearest import did_you_mean
from smallfirst.config.secrets import looks_secret

_MAX_SHOWN_CHARS = 40
_MAX_DIGITS = 28  # of a decimal: more than any price has, and all that Decimal's arithmetic keeps
_MAX_MAGNITUDE = 15
_NAME_RULE = "a name of at most 128 letters, digits and . _ - : / @, beginning with a letter or digit"


class Problem(msgspec.Struct, frozen=True):
    """Something wrong at a path."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@lru_cache(maxsize=1)
def _config_type() -> inspect.Type:
    return inspect.type_info(schema.Config)


def read(data: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The data as `msgspec.convert` takes it for a `Config`, and all that is wrong with it.

    Use the first only if there is nothing.

    `data` comes from TOML with decimals as `Decimal`: where the schema wants a float they become one, where
    it wants a decimal they stay exact, and inside a JSON Schema they become JSON numbers.
    """
    reader = _Reader()
    return reader.read(data, _config_type(), ""), reader.problems


class _Reader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, value: Any, kind: inspect.Type, path: str) -> Any:
        kind = _plain(kind)
        if isinstance(kind, inspect.UnionType):
            return self._union(value, kind, path)
        if isinstance(kind, inspect.StructType):
            return self._struct(value, kind, path)
        if isinstance(kind, inspect.DictType):
            return self._table(value, kind, path)
        if isinstance(kind, inspect.VarTupleType):
            return self._list(value, kind, path)
        if isinstance(kind, inspect.AnyType):
            return self._json(value, path)
        return self._scalar(value, kind, path)

    def _wrong(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def _expected(self, path: str, what: str, value: Any) -> None:
        self._wrong(path, f"expected {what}, got {shown(value)}")

    def _union(self, value: Any, kind: inspect.UnionType, path: str) -> Any:
        options = [_plain(option) for option in kind.types if not isinstance(option, inspect.NoneType)]
        structs = [option for option in options if isinstance(option, inspect.StructType)]
        if isinstance(value, dict) and structs:
            chosen = structs[0] if len(structs) == 1 else self._tagged(value, structs, path)
            return self._struct(value, chosen, path) if chosen else value
        others = [option for option in options if option not in structs]
        if len(options) == 1 or (others and isinstance(value, str)):
            return self.read(value, (others or options)[0], path)
        if others:
            self._expected(path, " or ".join(_described(option) for option in (*others, *structs)), value)
        else:
            self._expected(path, f"a table whose {structs[0].tag_field} is {_one_of(_tags(structs))}", value)
        return value

    def _tagged(
        self, value: dict[str, Any], structs: list[inspect.StructType], path: str
    ) -> inspect.StructType | None:
        field = str(structs[0].tag_field)
        tag = value.get(field)
        for struct in structs:
            if struct.tag == tag:
                return struct
        where = dotted.join(path, field)
        if field not in value:
            self._wrong(where, f"missing: expected {_one_of(_tags(structs))}")
        else:
            self._wrong(
                where, f"expected {_one_of(_tags(structs))}, got {shown(tag)}{_nearest(tag, _tags(structs))}"
            )
        return None

    def _struct(self, value: Any, kind: inspect.StructType, path: str) -> Any:
        if not isinstance(value, dict):
            self._expected(path, "a table", value)
            return value
        fields = {field.encode_name: field for field in kind.fields}
        known = [*fields, *([kind.tag_field] if kind.tag_field else [])]
        out: dict[str, Any] = {}
        for name, item in value.items():
            where = dotted.join(path, name)
            if name in fields:
                out[name] = self.read(item, fields[name].type, where)
            elif name == kind.tag_field:
                out[name] = item
            else:
                hint = _nearest(name, known) or f"; known: {', '.join(known)}"
                self._wrong(where, f"unknown field{hint}")
        for name, field in fields.items():
            if field.required and name not in value:
                self._wrong(dotted.join(path, name), f"missing: expected {_described(_plain(field.type))}")
        return out

    def _table(self, value: Any, kind: inspect.DictType, path: str) -> Any:
        if not isinstance(value, dict):
            self._expected(path, "a table", value)
            return value
        key_type = _plain(kind.key_type)
        out: dict[str, Any] = {}
        for name, item in value.items():
            where = dotted.join(path, name)
            if isinstance(key_type, inspect.StrType) and not _matches(key_type, name):
                self._wrong(where, f"expected {_described(key_type)}")
            out[name] = self.read(item, kind.value_type, where)
        return out

    def _list(self, value: Any, kind: inspect.VarTupleType, path: str) -> Any:
        if not isinstance(value, list):
            self._expected(path, f"a list of {_plural(_plain(kind.item_type))}", value)
            return value
        return [self.read(item, kind.item_type, dotted.item(path, at)) for at, item in enumerate(value)]

    def _scalar(self, value: Any, kind: inspect.Type, path: str) -> Any:
        taken = _taken(value, kind)
        if taken is not None:
            return taken
        if isinstance(kind, inspect.StrType) and kind.pattern == strict.SECRET_PATTERN:
            got = "what stands there is not shown" if isinstance(value, str) else f"got {shown(value)}"
            self._wrong(
                path, f'expected a reference to an environment variable such as "env:OPENAI_API_KEY"; {got}'
            )
        else:
            hint = _nearest(value, kind.values) if isinstance(kind, inspect.LiteralType) else ""
            self._wrong(path, f"expected {_described(kind)}, got {shown(value)}{hint}")
        return value

    def _json(self, value: Any, path: str) -> Any:
        """A value inside a JSON Schema."""
        if isinstance(value, dict):
            return {name: self._json(item, dotted.join(path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self._json(item, dotted.item(path, at)) for at, item in enumerate(value)]
        if isinstance(value, Decimal) and math.isfinite(float(value)):
            return float(value)
        if not isinstance(value, str | int | bool):
            self._expected(path, "a value that JSON has", value)
        return value


def _plain(kind: inspect.Type) -> inspect.Type:
    """The type without its annotations for editors."""
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _taken(value: Any, kind: inspect.Type) -> Any:
    """The value as this type takes it; None if it does not."""
    if isinstance(kind, inspect.StrType):
        return _taken_text(value, kind)
    if isinstance(kind, inspect.BoolType):
        return value if isinstance(value, bool) else None
    if isinstance(kind, inspect.LiteralType):
        return value if isinstance(value, str) and value in kind.values else None
    if isinstance(kind, inspect.DecimalType):
        return _taken_decimal(value)
    if isinstance(kind, inspect.IntType):
        return (
            value
            if isinstance(value, int) and not isinstance(value, bool) and _in_range(value, kind)
            else None
        )
    if (
        isinstance(kind, inspect.FloatType)
        and isinstance(value, int | Decimal)
        and not isinstance(value, bool)
    ):
        number = _as_float(value)
        return number if math.isfinite(number) and _in_range(number, kind) else None
    return None


def _taken_text(value: Any, kind: inspect.StrType) -> str | None:
    if kind.pattern == strict.DAY_PATTERN:
        if type(value) is datetime.date:  # TOML has days of its own
            return value.isoformat()
        return value if isinstance(value, str) and _is_day(value) else None
    return value if isinstance(value, str) and _matches(kind, value) else None


def _taken_decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    if isinstance(value, int) and abs(value) >= 10**_MAX_DIGITS:
        return None
    if isinstance(value, str) and not re.fullmatch(
        r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", value, re.ASCII
    ):
        return None
    number = Decimal(value)
    if (
        not number.is_finite()
        or len(number.as_tuple().digits) > _MAX_DIGITS
        or abs(number.adjusted()) > _MAX_MAGNITUDE
    ):
        return None
    return number


def _as_float(value: int | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_day(text: str) -> bool:
    if not re.fullmatch(strict.DAY_PATTERN, text, re.ASCII):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _matches(kind: inspect.StrType, text: str) -> bool:
    return kind.pattern is None or (re.search(kind.pattern, text) is not None and "\n" not in text)


def _in_range(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


# What is expected, in words.


def _described(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.UnionType):
        options = [_plain(option) for option in kind.types if not isinstance(option, inspect.NoneType)]
        return " or ".join(_described(option) for option in options)
    if isinstance(kind, inspect.StrType):
        return _TEXTS.get(kind.pattern or "", "text in quotes")
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return ("a whole number" if isinstance(kind, inspect.IntType) else "a number") + _range(kind)
    if isinstance(kind, inspect.LiteralType):
        return _one_of(kind.values)
    if isinstance(kind, inspect.VarTupleType):
        return f"a list of {_plural(_plain(kind.item_type))}"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.DecimalType):
        return 'a sum in dollars, such as 2.50 or "2.50"'
    return "a table"


_TEXTS = {
    strict.NAME_PATTERN: _NAME_RULE,
    strict.SECRET_PATTERN: 'a reference to an environment variable such as "env:OPENAI_API_KEY"',
    strict.DAY_PATTERN: "a day, as 2026-07-01",
}


def _plural(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.StrType):
        return "texts"
    if isinstance(kind, inspect.UnionType):
        return "texts or tables"
    return "tables"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" in [{kind.ge:g}, {kind.le:g}]"
    if kind.gt is not None:
        return f" above {kind.gt:g}"
    if kind.ge is not None:
        return f" of at least {kind.ge:g}"
    return ""


def _tags(structs: list[inspect.StructType]) -> list[str]:
    return [str(struct.tag) for struct in structs]


def _one_of(values: Any) -> str:
    return "one of " + ", ".join(json.dumps(value) for value in values)


def _nearest(value: Any, known: Iterable[Any]) -> str:
    return did_you_mean(value, map(str, known)) if isinstance(value, str) else ""


def shown(value: Any) -> str:
    """A value as an error may show it: short, and not at all where it looks like a secret."""
    if isinstance(value, str):
        if looks_secret(value):
            return "a value that looks like a secret and is not shown"
        return json.dumps(
            value if len(value) <= _MAX_SHOWN_CHARS else value[: _MAX_SHOWN_CHARS - 1] + "…",
            ensure_ascii=False,
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        text = str(value) if not isinstance(value, int) or value.bit_length() < 200 else "a very large number"
        return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 1] + "…"
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else f"the {type(value).__name__} {value}"
