"""An assessment's features as CSV, for spreadsheets and scripts: one row a feature."""

from __future__ import annotations

import csv
import io
from typing import Any

from smallfirst.planning.assess.judging.assessment import Assessed, Report
from smallfirst.planning.assess.told import printable
from smallfirst.planning.spreadsheet import as_text

_SMALL = ("low", "middle", "high")
_WITH_SMALL = ("usd_per_year_low", "usd_per_year_high")
_HEAD = (
    "feature", "decision", "what_to_do", "calls", "share", "failed_calls", "calls_per_day", "peak_factor",
    "input_tokens", "cached_tokens", "output_tokens", "usd_per_call", "usd_per_year", "unknown_cost_calls",
    *(f"small_share_{name}" for name in _SMALL), *(f"with_small_{name}" for name in _WITH_SMALL),
)  # fmt: skip


def features_csv(report: Report) -> str:
    """One row a feature, in the order of the report. Money is in dollars, shares between 0 and 1; what is not known is empty. Lines end as RFC 4180
    has it. A name that a spreadsheet would take for a formula has a `'` before it.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_HEAD)
    writer.writerows(_row(one) for one in report.features)
    return out.getvalue()


def _row(one: Assessed) -> list[Any]:
    tokens, money, small = one.tokens, one.money, one.small
    lengths = ["", "", ""] if tokens is None else [tokens.input, tokens.cached, tokens.output]
    return [
        as_text(printable(one.name)), one.verdict.decision, one.verdict.words, one.calls, one.share, one.failed_calls,
        one.volume.calls_per_day, one.volume.peak_factor, *lengths,
        money.usd_per_call, money.usd_per_year, money.unknown_calls,
        *(getattr(small, name) for name in _SMALL),
        *(getattr(money.with_small, name, None) for name in _WITH_SMALL),
    ]  # fmt: skip
