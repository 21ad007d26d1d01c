"""Any other table: the user says which of its columns is what (`--map cost_usd="Amount (USD)"`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smallfirst.errors import ConfigError
from smallfirst.planning.reconcile.formats.format import Format
from smallfirst.planning.reconcile.line import COMPLETION, PROMPT, Line
from smallfirst.planning.reconcile.row import Row

_MS_PER_DAY = 86_400_000
_TOKENS: dict[str, tuple[str, ...]] = {
    "prompt_tokens": PROMPT,
    "completion_tokens": COMPLETION,
} | {name: (name,) for name in (*PROMPT, *COMPLETION)}
_OTHER = ("at", "model", "request_id", "group", "requests", "cost_usd", "currency")
FIELDS = (*_OTHER, *_TOKENS)


def parse_map(options: Sequence[str]) -> dict[str, str]:
    """Fields to columns, from `field=column` each. Raises `ConfigError` where a field is unknown, doubled or misses what it needs."""
    found: dict[str, str] = {}
    for option in options:
        field, equals, column = option.partition("=")
        if not equals or not column or field not in FIELDS:
            raise ConfigError(
                f"expected FIELD=COLUMN with a field of {', '.join(FIELDS)}, not {option!r}", path="--map"
            )
        if field in found:
            raise ConfigError(f"{field} is given twice", path="--map")
        found[field] = column
    if "at" not in found:
        raise ConfigError("say which column has the time or the day: --map at=COLUMN", path="--map")
    if "cost_usd" not in found and not any(field in found for field in _TOKENS):
        raise ConfigError(
            "say which column has the money, or which have the tokens: --map cost_usd=COLUMN", path="--map"
        )
    for whole, parts in (("prompt_tokens", PROMPT), ("completion_tokens", COMPLETION)):
        if whole in found and any(part in found for part in parts):
            raise ConfigError(
                f"{whole} are all of them: leave its parts out, or give only these", path="--map"
            )
    return found


def generic(columns: Mapping[str, str]) -> Format:
    """The format that `parse_map` describes: by request where it has a `request_id`, else by day."""
    classes = {field.removesuffix("_tokens"): _TOKENS[field] for field in columns if field in _TOKENS}

    def line(row: Row) -> Line:
        at_ms = row.moment_ms(columns["at"])
        by_request = "request_id" in columns
        told = {name: row.count(columns[f"{name}_tokens"]) for name in classes}
        if "currency" in columns:
            row.dollars_only(columns["currency"])
        return Line(
            where=row.where,
            at_ms=at_ms,
            until_ms=at_ms if by_request else at_ms + _MS_PER_DAY,
            model=row.text(columns["model"]) if "model" in columns else "",
            request_id=row.text(columns["request_id"]) if by_request else "",
            group=row.text(columns["group"]) if "group" in columns else "",
            requests=row.count(columns["requests"]) if "requests" in columns else None,
            tokens=told or None,
            usd=row.amount(columns["cost_usd"]) if "cost_usd" in columns else None,
        )

    return Format(
        name="mapped",
        title="a table of your own",
        source="--map",
        needs=frozenset(columns.values()),
        line=line,
        classes=classes,
        by_request="request_id" in columns,
    )
