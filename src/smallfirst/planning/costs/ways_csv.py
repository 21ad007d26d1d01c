"""A plan's ways as CSV, for spreadsheets and scripts: one row a way."""

from __future__ import annotations

import csv
import io

from smallfirst.planning.costs.plan import Plan

_MONEY = ("call_usd", "million_calls_usd", "day_usd", "month_usd", "year_usd")
_PARTS = ("frontier", "small", "hosted", "hours", "gpus", "overflow")


def ways_csv(plan: Plan) -> str:
    """One row a way, in the order of the table: dollars, its parts a day, and its GPUs. What a way has not is empty; `chosen` and `served` are 0 or
    1. Lines end as RFC 4180 has it.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    parts = [f"{part}_usd_per_day" for part in _PARTS]
    writer.writerow(["way", "title", "chosen", "served", *_MONEY, "left", *parts, "gpus", "peak_rps"])
    for way in plan.ways:
        money = [f"{getattr(way, name):.15g}" for name in _MONEY]
        of_day = [way.parts_usd_per_day.get(part, "") for part in _PARTS]
        use = [way.use.gpus, way.use.peak_rps] if way.use is not None else ["", ""]
        flags = [int(way.name == plan.way), int(way.served)]
        writer.writerow([way.name, way.title, *flags, *money, way.left, *of_day, *use])
    return out.getvalue()
