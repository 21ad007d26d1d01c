"""A bill's lines as CSV, for spreadsheets and scripts: names as machines have them, money whole and in dollars."""

from __future__ import annotations

import csv
import io

from smallfirst.chat import Usage
from smallfirst.money import usd_from_nusd
from smallfirst.planning.bill.bill import Bill
from smallfirst.planning.bill.lines import Line
from smallfirst.planning.spreadsheet import as_text

_MONEY = ("cost", "wasted", "estimated", "simulated", "prompt_cache_saved")
_COUNTS = (
    "calls",
    "failed_calls",
    "attempts",
    "unknown_attempts",
    "wasted_attempts",
    "estimated_attempts",
    "unproven_calls",
    "outside_bound_calls",
)


def bill_csv(made: Bill) -> str:
    """One row a line, the origin and the names it is grouped by first; then own models' hours, as origin `own-models`
    under the first group. Totals are left to who adds up: so every figure is in it once.

    `…_nusd` are nano-dollars, `…_usd` the same in dollars, to the last digit. An attempt of unknown price is in
    `unknown_attempts` and in no sum. Lines end as RFC 4180 has it. A name that a spreadsheet would take for a formula has a `'` before it.
    """
    groups = [made.by, *([made.then] if made.then else [])]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    money = [name for field in _MONEY for name in (f"{field}_nusd", f"{field}_usd")]
    writer.writerow(["origin", *groups, *_COUNTS, *Usage.__struct_fields__, *money])
    for section in made.sections:
        for line in section.lines:
            writer.writerow([section.origin, *_names(line, len(groups)), *_figures(line)])
    for own in made.own_models:
        line = Line(name=own.model, cost_nusd=own.cost_nusd)
        writer.writerow(["own-models", *_names(line, len(groups)), *_figures(line)])
    return out.getvalue()


def _names(line: Line, groups: int) -> list[str]:
    return [as_text(name) for name in (line.name, line.then)[:groups]]


def _figures(line: Line) -> list[object]:
    counts = [getattr(line, name) for name in _COUNTS]
    tokens = [getattr(line.usage, name) for name in Usage.__struct_fields__]
    nusd = [getattr(line, f"{name}_nusd") for name in _MONEY]
    return [*counts, *tokens, *(figure for one in nusd for figure in (one, f"{usd_from_nusd(one):.9f}"))]
