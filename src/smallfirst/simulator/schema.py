"""Values that obey a JSON Schema, made from a prompt's own words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

_DEPTH_MAX = 12
_VALUES_MAX = 2_000
_ITEMS_MAX = 100
_LENGTH_MAX = 10_000
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:30:00Z",
    "time": "09:30:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


class SchemaWriter:
    """Writes one value for a schema: deterministic for the same words and ``rng`` state.

    Obeys type, enum, const, properties, required, items, nullable, anyOf, oneOf, allOf, local $ref, bounds of
    numbers and lengths, and the common formats; not ``pattern``, ``not``, conditionals or vast sizes.
    """

    def __init__(self, root: Mapping[str, Any], words: Sequence[str], rng: Random) -> None:
        self._root = root
        self._words = words or ["sample"]
        self._rng = rng
        self._values = 0

    def value(self) -> Any:
        """A value of the root schema."""
        return self._value(self._root, 0)

    def _value(self, schema: object, depth: int) -> Any:
        self._values += 1
        if self._values > _VALUES_MAX:
            return None
        if not isinstance(schema, Mapping):  # the schemas true and {}: anything goes
            return self._word()
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(list(schema["enum"]))
        kind = self._kind(schema, depth)
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, kind)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._word()

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """``schema`` with its references, unions and intersections worked in."""
        for _ in range(_DEPTH_MAX):
            if "$ref" in schema:
                rest = {name: part for name, part in schema.items() if name != "$ref"}
                schema = {**self._target(str(schema["$ref"])), **rest}
            elif schema.get("anyOf") or schema.get("oneOf"):
                options = schema.get("anyOf") or schema.get("oneOf") or []
                concrete = [option for option in options if not _is_null(option)] or options
                rest = {name: part for name, part in schema.items() if name not in ("anyOf", "oneOf")}
                schema = {**rest, **concrete[0]} if isinstance(concrete[0], Mapping) else rest
            elif schema.get("allOf"):
                schema = _intersection(schema)
            else:
                break
        return schema

    def _target(self, reference: str) -> Mapping[str, Any]:
        place: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if name:
                place = place.get(name, {}) if isinstance(place, Mapping) else {}
        return place if isinstance(place, Mapping) else {}

    def _kind(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            concrete = [option for option in kind if option != "null"]
            kind = concrete[0] if concrete and (depth < _DEPTH_MAX or "null" not in kind) else "null"
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "any"
        return str(kind)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        names = [name for name in properties if depth < 3 or name in required]
        names += [name for name in required if name not in properties]
        if depth >= _DEPTH_MAX * 2:
            return {}
        return {name: self._value(properties.get(name, True), depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = min(_ITEMS_MAX, int(schema.get("minItems", 0)))
        most = int(schema.get("maxItems", max(least, 3)))
        length = least if depth >= 3 else self._rng.randint(least, max(least, min(most, least + 3)))
        values = [self._value(schema.get("items", True), depth + 1) for _ in range(length)]
        if schema.get("uniqueItems"):
            distinct = {repr(value): value for value in values}
            return list(distinct.values())
        return values

    def _string(self, schema: Mapping[str, Any]) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[str(schema["format"])]
        text = " ".join(self._word() for _ in range(self._rng.randint(1, 3)))
        least, most = min(_LENGTH_MAX, int(schema.get("minLength", 0))), schema.get("maxLength")
        while len(text) < least:
            text += " " + self._word()
        return text[: int(most)] if most is not None else text

    def _number(self, schema: Mapping[str, Any], kind: str) -> int | float:
        step = schema.get("multipleOf") or (1 if kind == "integer" else 0.25)
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        low = low if low is not None else (high - 100 * step if high is not None else 0)
        first, last = (
            math.ceil(low / step),
            math.floor((high if high is not None else low + 100 * step) / step),
        )
        if schema.get("exclusiveMinimum") is not None and first * step <= schema["exclusiveMinimum"]:
            first += 1
        if schema.get("exclusiveMaximum") is not None and last * step >= schema["exclusiveMaximum"]:
            last -= 1
        number = self._rng.randint(first, last) * step if first <= last else low
        return int(number) if kind == "integer" else number

    def _word(self) -> str:
        return self._rng.choice(self._words)


def _is_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _intersection(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    merged: dict[str, Any] = {name: part for name, part in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        if isinstance(part, Mapping):
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged = {**merged, **part, "properties": properties, "required": required}
    return merged
