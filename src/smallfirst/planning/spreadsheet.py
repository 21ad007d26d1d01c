"""Names that callers gave, in CSV files that people open in spreadsheets."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_text(name: str) -> str:
    """The name as a spreadsheet shows it: one that it would run as a formula has a `'` before it."""
    return f"'{name}" if name.startswith(_FORMULA) else name
