"""The invoice of `python -m smallfirst.simulator`: a line for each request, money in nano-dollars (`smallfirst/simulator/invoice.py`)."""

from __future__ import annotations

from decimal import Decimal

from smallfirst.planning.reconcile.formats.format import Format
from smallfirst.planning.reconcile.line import Line
from smallfirst.planning.reconcile.row import Row

_CLASSES = {
    name: (f"{name}_tokens",)
    for name in ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
}
_NUSD_PLACES = -9


def _line(row: Row) -> Line:
    at_ms = row.moment_ms("at")
    nusd = Decimal(row.count("cost_nusd"))
    outcome = row.text("outcome")
    told = row.text("usage_reported").lower() == "true"
    return Line(
        where=row.where,
        at_ms=at_ms,
        until_ms=at_ms,
        model=row.text("model"),
        request_id=row.text("request_id"),
        requests=1,
        tokens={name: row.count(fields[0]) for name, fields in _CLASSES.items()},
        usd=nusd.scaleb(_NUSD_PLACES),
        note=outcome if told else f"{outcome}, usage not reported",
    )


SIMULATOR = Format(
    name="simulator",
    title="the simulator's invoice",
    source="smallfirst/simulator/invoice.py",
    needs=frozenset(
        {
            "request_id",
            "model",
            "at",
            "outcome",
            "usage_reported",
            "cost_nusd",
            *(f[0] for f in _CLASSES.values()),
        }
    ),
    line=_line,
    classes=_CLASSES,
    by_request=True,
    exact=True,
)
