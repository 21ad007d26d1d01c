"""Plain tables and values as TOML text, for people to read and edit."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from typing import Any

from smallfirst.config import dotted

_MAX_LINE_CHARS = 110


def write(data: dict[str, Any]) -> str:
    """TOML 1.0 text that reads back as `data`.

    Tables as sections, lists of tables as `[[...]]`, all else inline.

    Takes text, numbers, `Decimal`, booleans, days, lists and tables. Raises `TypeError` for anything else:
    TOML has no null.
    """
    lines: list[str] = []
    _table(lines, "", data)
    return "\n".join(lines).strip() + "\n" if lines else ""


def value_text(value: Any) -> str:
    """One value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(item) for item in value)}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{dotted.key(name)} = {value_text(item)}" for name, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _table(lines: list[str], path: str, table: dict[str, Any]) -> None:
    sections = {name: item for name, item in table.items() if isinstance(item, dict) or _is_table_list(item)}
    for name, item in table.items():
        if name not in sections:
            lines.append(f"{dotted.key(name)} = {_value(item)}")
    for name, item in sections.items():
        where = dotted.join(path, name)
        for section in item if isinstance(item, list) else [item]:
            opening = f"[[{where}]]" if isinstance(item, list) else f"[{where}]"
            if isinstance(item, list) or not _only_sections(section):
                lines += ["", opening]
            _table(lines, where, section)


def _is_table_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _only_sections(table: dict[str, Any]) -> bool:
    """Whether a table needs no heading of its own, since those of its parts imply it."""
    return bool(table) and all(isinstance(item, dict) or _is_table_list(item) for item in table.values())


def _value(value: Any) -> str:
    text = value_text(value)
    if isinstance(value, list) and len(text) > _MAX_LINE_CHARS:
        return "[\n" + "".join(f"  {value_text(item)},\n" for item in value) + "]"
    return text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        text = str(value)
        return text if "." in text or "E" in text or not value.is_finite() else f"{text}.0"
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return repr(value)
