"""Anthropic's usage and costs, from the Console (CSV) or the Admin API (JSON).

Input tokens exclude both cache classes; a result that is not grouped by model has none. The cost report's `amount` is in cents, as a decimal string.
The Console's cost export names models as people do ("Claude Haiku 4.5") and has a row for each token class. Days are UTC's.
Sources: platform.claude.com/docs/en/api/admin (`usage_report/messages`, `cost_report`); the Console's own exports.
"""

from __future__ import annotations

from decimal import Decimal

from smallfirst.planning.reconcile.formats.format import Format
from smallfirst.planning.reconcile.line import COMPLETION, Line
from smallfirst.planning.reconcile.row import Row

_MS_PER_DAY = 86_400_000
_REFERENCE = "platform.claude.com/docs/en/api/admin"
_CLASSES = {
    "input": ("input_tokens", "input_audio_tokens"),
    "cache_read": ("cache_read_tokens",),
    "cache_write": ("cache_write_tokens",),
    "cache_write_1h": ("cache_write_1h_tokens",),
    "output": COMPLETION,
}
_CONSOLE = {
    "input": "usage_input_tokens_no_cache",
    "cache_read": "usage_input_tokens_cache_read",
    "cache_write": "usage_input_tokens_cache_write_5m",
    "cache_write_1h": "usage_input_tokens_cache_write_1h",
    "output": "usage_output_tokens",
}
_API = {
    "input": "uncached_input_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_ephemeral_5m_input_tokens",
    "cache_write_1h": "cache_creation_ephemeral_1h_input_tokens",
    "output": "output_tokens",
}
_CENTS_PLACES = -2


def _group(row: Row, workspace: str, key: str) -> str:
    return " ".join(filter(None, (row.text(workspace), row.text(key))))


def _note(tier: str) -> str:
    return "" if tier in ("standard", "message") else tier


def _console_usage(row: Row) -> Line:
    at_ms = row.moment_ms("usage_date_utc")
    return Line(
        where=row.where,
        at_ms=at_ms,
        until_ms=at_ms + _MS_PER_DAY,
        model=row.text("model_version"),
        group=_group(row, "workspace", "api_key"),
        tokens={name: row.count(column) for name, column in _CONSOLE.items()},
        note=_note(row.text("usage_type")),
    )


def _console_cost(row: Row) -> Line | None:
    usd = row.amount("cost_usd")
    if usd is None:
        return None
    at_ms = row.moment_ms("usage_date_utc")
    return Line(
        where=row.where,
        at_ms=at_ms,
        until_ms=at_ms + _MS_PER_DAY,
        model=row.text("model"),
        group=_group(row, "workspace", "api_key"),
        part=row.text("token_type"),
        usd=usd,
        note=_note(row.text("usage_type")),
    )


def _api_usage(row: Row) -> Line:
    return Line(
        where=row.where,
        at_ms=row.moment_ms("starting_at"),
        until_ms=row.moment_ms("ending_at"),
        model=row.text("model"),
        group=_group(row, "workspace_id", "api_key_id"),
        tokens={name: row.count(column) for name, column in _API.items()},
        note=_note(row.text("service_tier")),
    )


def _api_cost(row: Row) -> Line | None:
    cents: Decimal | None = row.amount("amount")
    if cents is None:
        return None
    row.dollars_only("currency")
    return Line(
        where=row.where,
        at_ms=row.moment_ms("starting_at"),
        until_ms=row.moment_ms("ending_at"),
        model=row.text("model"),
        group=row.text("workspace_id"),
        part=row.text("token_type") or row.text("description"),
        usd=cents.scaleb(_CENTS_PLACES),
        note=_note(row.text("service_tier")),
    )


ANTHROPIC_FORMATS = (
    Format(
        name="anthropic-console-usage",
        title="the Anthropic Console's usage",
        source=_REFERENCE,
        needs=frozenset({"usage_date_utc", "model_version", *_CONSOLE.values()}),
        line=_console_usage,
        classes=_CLASSES,
        kind="anthropic",
    ),
    Format(
        name="anthropic-console-cost",
        title="the Anthropic Console's costs",
        source=_REFERENCE,
        needs=frozenset({"usage_date_utc", "model", "token_type", "cost_usd"}),
        line=_console_cost,
        kind="anthropic",
    ),
    Format(
        name="anthropic-usage",
        title="Anthropic's usage report",
        source=_REFERENCE,
        needs=frozenset(
            {"starting_at", "ending_at", "uncached_input_tokens", "cache_read_input_tokens", "output_tokens"}
        ),
        line=_api_usage,
        classes=_CLASSES,
        kind="anthropic",
    ),
    Format(
        name="anthropic-cost",
        title="Anthropic's cost report",
        source=_REFERENCE,
        needs=frozenset({"starting_at", "ending_at", "amount", "currency"}),
        line=_api_cost,
        kind="anthropic",
    ),
)
