"""OpenAI's usage and costs, from the dashboard (CSV) or the organization API (JSON).

Usage: `/v1/organization/usage/completions` (and `embeddings`) answer pages of buckets of results; the dashboard's `completions_usage_….csv` has the
same fields a row, in buckets of a minute. `input_tokens` include cached ones, `output_tokens` include reasoning; a result that is not grouped by
model has none. Costs: `/v1/organization/costs` and `cost_….csv`; `line_item` is "MODEL, input" and the like. Buckets are UTC's.
Sources: platform.openai.com/docs/api-reference/usage and the OpenAI Cookbook, "How to use the Usage API and Cost API".
"""

from __future__ import annotations

from smallfirst.planning.reconcile.formats.format import Format
from smallfirst.planning.reconcile.line import COMPLETION, Line
from smallfirst.planning.reconcile.row import Row

_MS_PER_DAY = 86_400_000
_REFERENCE = "platform.openai.com/docs/api-reference/usage"
_CLASSES = {
    "input": ("input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens"),
    "cache_read": ("cache_read_tokens",),
    "output": COMPLETION,
}


def _times(row: Row) -> tuple[int, int]:
    start_ms = row.moment_ms("start_time")
    return start_ms, row.moment_ms("end_time") if row.text("end_time") else start_ms + _MS_PER_DAY


def _group(row: Row) -> str:
    return " ".join(
        filter(None, (row.text("project_name") or row.text("project_id"), row.text("api_key_id")))
    )


def _usage(row: Row) -> Line | None:
    if not row.text("num_model_requests"):
        return None  # a bucket in which nothing was used
    start_ms, until_ms = _times(row)
    read, cached = row.count("input_tokens"), row.count("input_cached_tokens")
    if cached > read:
        raise row.wrong("input_cached_tokens", f"at most the {read} input tokens, of which these are a part")
    tier = "batch" if row.text("batch").lower() == "true" else row.text("service_tier")
    return Line(
        where=row.where,
        at_ms=start_ms,
        until_ms=until_ms,
        model=row.text("model"),
        group=_group(row),
        requests=row.count("num_model_requests"),
        tokens={"input": read - cached, "cache_read": cached, "output": row.count("output_tokens")},
        note="" if tier in ("default", "standard") else tier,
    )


def _cost(row: Row) -> Line | None:
    usd = row.amount("amount_value")
    if usd is None:
        return None
    row.dollars_only("amount_currency")
    start_ms, until_ms = _times(row)
    model, _, part = row.text("line_item").partition(",")
    return Line(
        where=row.where,
        at_ms=start_ms,
        until_ms=until_ms,
        model=model.strip(),
        part=part.strip(),
        group=_group(row),
        usd=usd,
    )


OPENAI_USAGE = Format(
    name="openai-usage",
    title="OpenAI's usage",
    source=_REFERENCE,
    needs=frozenset({"start_time", "num_model_requests", "input_tokens"}),
    line=_usage,
    classes=_CLASSES,
    kind="openai",
)
OPENAI_COSTS = Format(
    name="openai-costs",
    title="OpenAI's costs",
    source=_REFERENCE,
    needs=frozenset({"start_time", "amount_value", "amount_currency"}),
    line=_cost,
    kind="openai",
)
