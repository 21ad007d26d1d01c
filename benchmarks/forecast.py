"""How often a month ends within its forecast's 80 % band, on seeded series of days.

    python -m benchmarks.forecast [--series 400] [--seed 0] [--picture FILE] [--json]

A series has a weekday pattern and, around it, errors of 10 % of a weekday's sum that follow on one another with
correlation ρ; the last column also grows by 1 % a day. `--picture` draws one
month of one series, simulated, half of it known.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np

from smallfirst.planning.bill.daily_model import CONFIDENCE, cumulated
from smallfirst.planning.bill.forecast import DayAhead, Forecast
from smallfirst.planning.bill.picture import draw_forecast

_WEEK = np.array([1.0, 1.1, 1.05, 1.0, 0.9, 0.4, 0.3])
_KNOWN_DAYS = (7, 10, 14, 21, 28, 56)
_COMING_DAYS = 15
_LEVEL_NUSD = 40 * 10**9


def measure_forecast(series: int, seed: int) -> list[dict[str, Any]]:
    """The share of series whose sum of the coming days lies within the band, by days known and ρ."""
    found = []
    for known in _KNOWN_DAYS:
        draw = np.random.default_rng([seed, known])
        held = {f"rho {rho:g}": _held(draw, series, known, rho=rho) for rho in (0.0, 0.3, 0.6, 0.9)}
        held["rho drawn from 0 to 0.95"] = _held(draw, series, known, rho=None)
        held["rho 0.3, growing"] = _held(draw, series, known, rho=0.3, growth=0.01)
        found.append({"days known": known} | held)
    return found


def _held(
    draw: np.random.Generator, series: int, known: int, *, rho: float | None, growth: float = 0.0
) -> float:
    held = 0
    for _ in range(series):
        days = _days(draw, known + _COMING_DAYS, draw.uniform(0, 0.95) if rho is None else rho)
        days *= (1 + growth) ** np.arange(len(days))
        band = cumulated(days[:known].tolist(), 0, [1.0] * _COMING_DAYS)[-1]
        held += bool(band.low <= days[known:].sum() <= band.high)
    return round(held / series, 3)


def _days(draw: np.random.Generator, days: int, rho: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    errors = draw.normal(size=days)
    for day in range(1, days):
        errors[day] = rho * errors[day - 1] + np.sqrt(1 - rho * rho) * errors[day]
    return _LEVEL_NUSD * (_WEEK[np.arange(days) % 7] + 0.1 * errors)


def _picture(path: Path) -> None:
    """November 2026, known up to the 15th, from a history of 56 days."""
    days = _days(np.random.default_rng(5), 71, 0.6)
    known, first = [int(nusd) for nusd in days[:56]], datetime.date(2026, 11, 1)
    bands = cumulated(known, (first - datetime.timedelta(days=41)).weekday(), [1.0] * 15)
    so_far = sum(known[-15:])
    ahead = tuple(
        DayAhead(
            day=first + datetime.timedelta(days=15 + at),
            total_nusd=so_far + round(band.mean),
            low_nusd=so_far + round(band.low),
            high_nusd=so_far + round(band.high),
        )
        for at, band in enumerate(bands)
    )
    last = ahead[-1]
    forecast = Forecast(
        month="2026-11",
        at=datetime.datetime(2026, 11, 16, tzinfo=datetime.UTC),
        so_far_nusd=so_far,
        total_nusd=last.total_nusd,
        low_nusd=last.low_nusd,
        high_nusd=last.high_nusd,
        history_days=56,
        missing_days=0,
        weekdays=True,
        spent=tuple((first + datetime.timedelta(days=at), nusd) for at, nusd in enumerate(known[-15:])),
        days=ahead,
        own_models_so_far_nusd=0,
        own_models_total_nusd=0,
        unknown_attempts=0,
        simulated=True,
    )
    draw_forecast(path, forecast)


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.forecast", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.picture is not None:
        _picture(options.picture)
        return
    found = measure_forecast(options.series, options.seed)
    if options.json:
        print(json.dumps(found))
        return
    print(f"within the {CONFIDENCE:.0%} band, {options.series} series each, {_COMING_DAYS} days to come")
    print("  ".join(found[0]))
    for row in found:
        print("  ".join(f"{value:>{len(name)}}" for name, value in row.items()))


if __name__ == "__main__":
    main()
