"""How fast the watch over a canary finds a drop, and how often it finds one that is not there: `python -m benchmarks.canary`.

Streams of pairs are drawn, each a small model's answer that is the frontier's or is not, and given to the watch's quality process as the controller
gives them. The truth is 15 % disagreement and a drop beyond it; what the watch expects is known exactly, or measured on so many held-out examples
first, as a gate does. `--quick` draws a tenth as many. Figures and picture: docs/rollout.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from smallfirst.gate.watch import Expected, Rule, TaskWatch
from smallfirst.gate.watch_expected import expectation, measured
from smallfirst.statistics.sequences import _PRIOR_ROWS as PRIOR_ROWS
from smallfirst.statistics.sequences import EProcessState, mixed, stakes_for

_SEED = 20261125
USUAL = 0.15  # of pairs: the disagreement of a candidate that is as its verdict says
PAIRS = 10_000
RULE = Rule(alpha=0.01, drop=0.05, margin=0.05)
DROPS = (0.0, 0.05, 0.08, 0.2)
HELD_OUT = (500, 1000, 2000, 5000)


class Found(NamedTuple):
    """Of one kind of stream: after how many pairs each was ended; `PAIRS` + 1 where it was not."""

    expected: str
    drop: float
    ended: NDArray[np.int64]

    @property
    def median(self) -> float:
        return float(np.median(self.ended))

    @property
    def share(self) -> float:
        return float(np.mean(self.ended <= PAIRS))


def expected_of(examples: int, rng: np.random.Generator) -> Expected:
    """What a verdict says after so many held-out examples; after none, the truth."""
    if examples < 0:  # what must not be done: the measured mean taken for the truth
        mean = float(np.mean(rng.random(-examples) < USUAL))
        return Expected(mean=mean, bounds=((1.0, mean),), examples=-examples, by="verdict")
    if not examples:
        return Expected(mean=USUAL, bounds=((1.0, USUAL),), examples=0, by="margin")
    return expectation(measured((rng.random(examples) >= USUAL).astype(float)), RULE.margin)


def ended_at(
    expected: Sequence[Expected], share: float, *, seed: int, pairs: int = PAIRS
) -> NDArray[np.int64]:
    """After how many pairs each of these watches ends its canary, all of whose pairs disagree in that share: when the last of its tests rejects."""
    rng = np.random.default_rng([_SEED, seed])
    stream = rng.random((pairs, len(expected))) < share
    kinds = [TaskWatch("t", RULE, each).state.quality for each in expected]
    ends = [_rejected_at([tests[at] for tests in kinds], stream) for at in range(len(kinds[0]))]
    return np.max(ends, axis=0)


def _rejected_at(tests: Sequence[EProcessState], stream: NDArray[np.bool_]) -> NDArray[np.int64]:
    """After how many observations each test of a stream rejects: `EProcess.add`, for all streams at once."""
    null = np.array([test.null for test in tests])
    scatter = np.array([test.scatter for test in tests])
    target, drop = -math.log(tests[0].alpha), tests[0].drop
    squares, ended = np.zeros(null.size), np.full(null.size, len(stream) + 1)
    wealth = np.zeros_like(stakes_for(null, 0.0, drop=drop, scatter=scatter))
    left = np.arange(null.size)
    for number, row in enumerate(stream):
        x, at = row[left].astype(float), null[left]
        seen = (PRIOR_ROWS * scatter[left] + squares[left]) / (PRIOR_ROWS + number)
        wealth[left] += np.log1p(stakes_for(at, 0.0, drop=drop, scatter=seen) * (x - at)[:, None])
        squares[left] += (x - at) ** 2
        over = mixed(wealth[left]) >= target
        ended[left[over]] = number + 1
        left = left[~over]
        if not left.size:
            break
    return ended


def simulate(streams: int) -> list[Found]:
    """Every kind: what is expected, times how far the truth is beyond it."""
    found = []
    kinds: list[tuple[str, int]] = [
        ("known exactly", 0),
        ("500 examples' mean as if it were the truth", -500),
        *((f"{rows:,} held-out examples", rows) for rows in HELD_OUT),
    ]
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("streams", total=len(kinds) * len(DROPS))
        for seed, (name, rows) in enumerate(kinds):
            rng = np.random.default_rng([_SEED, 1, seed])
            expected = [expected_of(rows, rng) for _ in range(streams)]
            for drop in DROPS:
                found.append(Found(name, drop, ended_at(expected, USUAL + drop, seed=seed)))
                progress.advance(bar)
    return found


def table_of(found: Sequence[Found], streams: int) -> Table:
    """As docs/rollout.md has it."""
    table = Table(
        "what the watch expects is",
        "false alarms in 10,000 pairs",
        *(
            f"{drop * 100:.0f} points worse: median pairs, nine in ten, found at all"
            for drop in DROPS
            if drop
        ),
        title=f"15 % disagreement as usual, {RULE.alpha:.0%} α for the whole watch, {streams:,} streams each",
    )
    for name in dict.fromkeys(each.expected for each in found):
        mine = {each.drop: each for each in found if each.expected == name}
        cells = [_caught(mine[drop]) for drop in DROPS if drop]
        table.add_row(name, f"{mine[0.0].share:.2%}", *cells)
    return table


def _caught(found: Found) -> str:
    def shown(pairs: float) -> str:
        return f"{pairs:,.0f}" if pairs <= PAIRS else "–"

    return f"{shown(found.median)}, {shown(float(np.quantile(found.ended, 0.9)))}, {found.share:.0%}"


def draw(found: Sequence[Found], path: Path) -> None:
    """The share of canaries that have ended by each pair."""
    import altair as alt

    rows = []
    grid = np.unique(np.geomspace(10, PAIRS, 200).astype(int))
    for each in found:
        if each.expected in ("known exactly", "2,000 held-out examples"):
            what = "no drop" if not each.drop else f"{each.drop * 100:.0f} points worse"
            rows += [
                {
                    "pairs": int(at),
                    "ended": float(np.mean(each.ended <= at)),
                    "truth": what,
                    "expected": each.expected,
                }
                for at in grid
            ]
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("pairs:Q", scale=alt.Scale(type="log"), title="pairs"),
            y=alt.Y("ended:Q", axis=alt.Axis(format="%"), title="canaries that were rolled back"),
            color=alt.Color("truth:N", title=None, scale=alt.Scale(range=["#0a7d5a", "#c2410c", "#6b7785"])),
            strokeDash=alt.StrokeDash("expected:N", title="what is expected is"),
        )
        .properties(width=560, height=300, background="white", padding=16)
    )
    chart.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=2000, help="of each kind (default: 2000)")
    parser.add_argument("--quick", action="store_true", help="a tenth as many")
    parser.add_argument(
        "--picture", type=Path, help="an SVG or PNG to write, such as docs/pictures/canary.svg"
    )
    options = parser.parse_args()
    streams = options.streams // 10 if options.quick else options.streams
    found = simulate(streams)
    Console(width=150).print(table_of(found, streams))
    if options.picture is not None:
        draw(found, options.picture)


if __name__ == "__main__":
    main()
