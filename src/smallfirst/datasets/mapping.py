"""Where a row's facts lie, and how single facts are read: by dotted paths, from the types that files use for them."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from smallfirst.datasets.example import Split

_MS_PER_S = 1000
_MS_FROM = 100_000_000_000  # larger numbers are milliseconds: in seconds they would be past the year 5000
SPLIT_BY_NAME: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "calibration": "calibration",
    "validation": "calibration",
    "valid": "calibration",
    "val": "calibration",
    "dev": "calibration",
    "heldout": "heldout",
    "held-out": "heldout",
    "test": "heldout",
}


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """Names of fields, each a path with dots (`answers.triage`); empty: the usual name."""

    input: str = ""
    reference: str = ""
    id: str = ""
    group: str = ""
    split: str = ""
    at: str = ""
    slices: tuple[str, ...] = ()
    provider: str = ""  # not a field: whose model answered, where the file does not say it


def field(value: dict[str, Any], path: str) -> Any:
    """What stands at a path; UNSET where nothing does. A key that has dots in it is found before a path is."""
    if path in value:
        return value[path]
    found: Any = value
    for step in path.split("."):
        if not isinstance(found, dict) or step not in found:
            return UNSET
        found = found[step]
    return found


def text_of(value: Any) -> str:
    """A string, number or boolean as text; empty for everything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def slices_of(value: dict[str, Any], paths: tuple[str, ...]) -> dict[str, str]:
    """The fields by which results are to be told apart; those that a row lacks are left out."""
    found = {path: text_of(field(value, path)) for path in paths}
    return {path: text for path, text in found.items() if text}


def moment_ms(value: Any) -> int:
    """Unix milliseconds of a date in ISO 8601 or of a number; 0 where there is none. Raises `ValueError`. Without an offset it is UTC."""
    if value is UNSET or value is None or value == "":
        return 0
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value if value >= _MS_FROM else value * _MS_PER_S)
    if not isinstance(value, str):
        raise ValueError("expected a date, or Unix time as a number")  # noqa: TRY004 (its caller tells of a wrong value, not type)
    found = datetime.datetime.fromisoformat(value)
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.UTC)
    return int(found.timestamp() * _MS_PER_S)
