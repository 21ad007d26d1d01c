"""How often the cache's bound is broken, and what it costs: `python -m benchmarks.cache_bound`.

Replays streams whose scores and rightness are made, under the rule that serves (`training/cache/threshold.py`). The rule knows of a hit only what a
spot check tells it; this knows all. At most one stream in twenty may ever have had more wrong hits than δ of its requests.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.cache_traffic import POPULATIONS, Outcome, replay


def outcome(seed: int, *, name: str, delta: float, requests: int, warm: int) -> Outcome:
    """One stream of a population: the same for the same seed, whatever δ."""
    stream = POPULATIONS[name](np.random.default_rng([seed, 1]), warm + requests)
    return replay(
        stream,
        delta=delta,
        chance=np.random.default_rng([seed, 2]),
        warm=warm,
        hostile=name == "adversary",
    )


def summary(name: str, delta: float, outcomes: list[Outcome]) -> dict[str, Any]:
    """One row of the table."""
    opened = [one.opened for one in outcomes if one.opened is not None]
    return {
        "population": name,
        "delta": delta,
        "streams": len(outcomes),
        "hits": float(np.mean([one.hits for one in outcomes])),
        "wrong": float(np.mean([one.wrong for one in outcomes])),
        "checked": float(np.mean([one.checked for one in outcomes])),
        "saved": float(np.mean([one.hits - one.checked for one in outcomes])),
        "opened": float(np.median(opened)) if opened else None,
        "broken_at_the_end": sum(one.broken_at_the_end for one in outcomes),
        "broken_ever": sum(one.broken_ever for one in outcomes),
        "bound_broken_ever": sum(one.bound_broken_ever for one in outcomes),
    }


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    with ProcessPoolExecutor(options.jobs) as pool, Progress(console=Console(stderr=True)) as progress:
        names = options.populations.split(",") if options.populations else list(POPULATIONS)
        deltas = [float(delta) for delta in options.delta.split(",")]
        told = progress.add_task("streams", total=len(names) * len(deltas) * options.streams)
        for name in names:
            for delta in deltas:
                one = partial(outcome, name=name, delta=delta, requests=options.requests, warm=options.warm)
                outcomes = []
                for found in pool.map(one, range(options.streams), chunksize=4):
                    outcomes.append(found)
                    progress.advance(told)
                yield summary(name, delta, outcomes)


def shown(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title)
    for head in ("population", "δ", "hits", "wrong", "checked", "calls saved", "opened at", "broken"):
        table.add_column(head, justify="left" if head == "population" else "right")
    for row in rows:
        table.add_row(
            row["population"],
            f"{row['delta']:g}",
            *(f"{row[name]:.1%}" if name != "wrong" else f"{row[name]:.2%}" for name in ("hits", "wrong")),
            f"{row['checked']:.1%}",
            f"{row['saved']:.1%}",
            "never" if row["opened"] is None else f"{row['opened']:,.0f}",
            f"{row['broken_ever']} of {row['streams']}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=200, help="of each population and δ (default: 200)")
    parser.add_argument("--requests", type=int, default=10_000, help="in a stream (default: 10,000)")
    parser.add_argument("--warm", type=int, default=0, help="rows that come labelled before it (default: 0)")
    parser.add_argument("--delta", default="0.005,0.01,0.02,0.05")
    parser.add_argument("--populations", default="", help="by name, with commas (default: all)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = list(measured(options))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    title = f"{options.requests:,} requests" + (
        f" after {options.warm:,} labelled rows" if options.warm else ""
    )
    Console(width=120).print(shown(rows, title))


if __name__ == "__main__":
    main()
