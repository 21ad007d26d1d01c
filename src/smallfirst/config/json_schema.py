"""The JSON Schema of `smallfirst.toml`, for editors that complete and check as one types.

`#:schema smallfirst.schema.json` in the first line of the file tells Taplo and the editors that use it where
it is.
"""

from __future__ import annotations

import inspect
import io
import re
import tokenize
from functools import lru_cache
from typing import Any

import msgspec

from smallfirst.config import schema

_CLASS = re.compile(r"class (\w+)\(")
_FIELD = re.compile(r"    (\w+):")


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the whole file.

    Descriptions are the docstrings of the tables and the comments of their fields.
    """
    whole = msgspec.json.schema(schema.Config)
    definitions = {name: _definition(name, table) for name, table in whole["$defs"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "smallfirst.toml",
        "$ref": whole["$ref"],
        "$defs": definitions,
    }


def _definition(name: str, table: dict[str, Any]) -> dict[str, Any]:
    comments = _comments().get(name, {})
    properties = {}
    for field, said in table.get("properties", {}).items():
        comment = {"description": comments[field]} if field in comments else {}
        properties[field] = {**comment, **_toml(said)}
    out = _toml(_without(table, "properties"))
    if "description" in out:
        out["description"] = inspect.cleandoc(out["description"])
    return {**out, "properties": properties}


def _toml(value: Any) -> Any:
    """As TOML has it: a decimal may be written as a number, and nothing is ever null."""
    if isinstance(value, list):
        return [_toml(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("format") == "decimal":
        return {**{key: item for key, item in value.items() if key != "format"}, "type": ["number", "string"]}
    out = {key: _toml(item) for key, item in value.items() if not (key == "default" and item is None)}
    if "anyOf" in out:
        options = [option for option in out["anyOf"] if option != {"type": "null"}]
        out = {**out, "anyOf": options} if len(options) > 1 else {**options[0], **_without(out, "anyOf")}
    return out


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: item for name, item in table.items() if name != key}


@lru_cache(maxsize=1)
def _comments() -> dict[str, dict[str, str]]:
    """The comment of each field of each table in `schema.py`.

    At the end of its line, or on the lines above it.

    The comments are what a reader of the source sees, so an editor shows the same; where the source is not
    installed there are none.
    """
    try:
        source = inspect.getsource(schema)
    except OSError:
        return {}
    by_line = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, dict[str, str]] = {}
    table, above = "", []
    for number, line in enumerate(source.splitlines(), 1):
        if opened := _CLASS.match(line):
            table = opened[1]
        if line.strip().startswith("#"):
            above.append(by_line[number])
            continue
        if table and (field := _FIELD.match(line)):
            text = " ".join(above) or by_line.get(number, "")
            if text:
                found.setdefault(table, {})[field[1]] = text
        above = []
    return found
