"""How often a judge's corrected interval covers what people would say: `python -m benchmarks.judge`.

Draws answers that people and a judge scored from populations whose mean is known, and counts how often the 95 % interval holds it:
of the judge alone, of people's labels alone, corrected by smallfirst, and by Rogan and Gladen's estimator where all is yes or no.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.judges import DIFFERENCES, JUDGES, Judges

from smallfirst.scoring.correction import Corrected, corrected_difference, corrected_mean, rogan_gladen

_SEED = 20260701


class Covered(NamedTuple):
    """Of one population: how often each interval covers the mean, and how wide it is on average; NaN where there is none."""

    judge: float
    people: float
    corrected: float
    rogan_gladen: float
    width_people: float
    width_corrected: float
    width_rogan_gladen: float


def covered(
    name: str, found: Judges, correct: Callable[..., Corrected], options: argparse.Namespace
) -> Covered:
    rows = []
    for seed in range(options.draws):
        rng = np.random.default_rng([_SEED, *name.encode(), seed])
        human, judge = found.draw(rng, options.labels)
        _, others = found.draw(rng, options.unlabelled)
        told = correct(human, judge, others)
        sides = [_normal(others), _normal(human), (told.low, told.high), (math.nan, math.nan)]
        if found.binary:
            _, *second = rogan_gladen(human > 0, judge > 0, others > 0)
            sides[3] = (second[0], second[1])
        rows.append([low <= found.mean <= high for low, high in sides] + [high - low for low, high in sides])
    means = np.mean(np.asarray(rows, dtype=float), axis=0)
    if not found.binary:
        means[3] = math.nan
    return Covered(*means[:4], *means[5:])


def _normal(scores: np.ndarray) -> tuple[float, float]:
    half = 1.96 * float(scores.std(ddof=1)) / math.sqrt(len(scores))
    return float(scores.mean()) - half, float(scores.mean()) + half


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1000, help="of each population (default: 1000)")
    parser.add_argument("--labels", type=int, default=300, help="answers that people scored (default: 300)")
    parser.add_argument("--unlabelled", type=int, default=2000, help="answers that the judge alone scored")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    kinds = [(name, found, corrected_mean) for name, found in JUDGES.items()]
    kinds += [(name, found, corrected_difference) for name, found in DIFFERENCES.items()]
    rows = {
        name: covered(name, found, correct, options)
        for name, found, correct in track(kinds, console=Console(stderr=True), transient=True)
    }
    if options.json:
        figures = {
            name: {key: None if math.isnan(value) else value for key, value in row._asdict().items()}
            for name, row in rows.items()
        }
        print(json.dumps(figures))
        return
    table = Table(
        Column("judge", no_wrap=True),
        "judge alone",
        "people alone",
        "corrected",
        "Rogan–Gladen",
        "width",
        title=_title(options),
    )
    for name, row in rows.items():
        table.add_row(
            name,
            *(_percent(value) for value in row[:4]),
            f"{row.width_corrected / row.width_people:.2f}",
        )
    Console().print(table)
    print("width: the corrected interval's, people's alone being 1")


def _title(options: argparse.Namespace) -> str:
    return f"share of 95 % intervals that cover: {options.draws:,} draws, {options.labels} labels, {options.unlabelled:,} unlabelled"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.1%}"


if __name__ == "__main__":
    main()
