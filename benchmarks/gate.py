"""How often the gate errs: `python -m benchmarks.gate`.

Draws pairs of scores whose true loss is known, lets the gate's own code judge them, and counts. Beside it stand the rules that are used in its
place elsewhere: "not seen to be worse by more than the margin", "not significantly worse" and a z-test of non-inferiority. Then streams of a
canary, watched at every pair. Prints the tables of docs/gate.md and draws its pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small products: threads would only get in each other's way

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smallfirst.statistics import binomial, holm, noninferiority, power, sequences, spending
from smallfirst.statistics.noninferiority import Sample, aimed_stakes, sample_of

Losses = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], Sample]
MARGIN, ALPHA, DISAGREEMENT, CALIBRATION = 0.02, 0.05, 0.15, 300
FIRST_READ = spending.spent_at(1, ALPHA)
PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
OURS, INK, GREY, PALE = "#0a7d5a", "#1f2933", "#6b7785", "#b8c0c8"


def ternary(chance: np.random.Generator, examples: int, loss: float) -> Sample:
    """Right or wrong: the two disagree on 15 % of the examples."""
    return sample_of(ternary_losses(chance, examples, loss))


def ternary_losses(
    chance: np.random.Generator, examples: int, loss: float, part: float = DISAGREEMENT
) -> Losses:
    drawn = chance.random(examples)
    worse, better = (part + loss) / 2, (part - loss) / 2
    return np.where(drawn < worse, 1.0, np.where(drawn < worse + better, -1.0, 0.0))


def graded(chance: np.random.Generator, examples: int, loss: float) -> Sample:
    """Scores between: on three examples in ten they differ, by anything up to one."""
    size = chance.beta(1, 2, examples) * (chance.random(examples) < 0.3)
    lean = loss / (0.3 / 3)
    return sample_of(size * np.where(chance.random(examples) < (1 + lean) / 2, 1.0, -1.0))


def conversations(chance: np.random.Generator, examples: int, loss: float) -> Sample:
    """Right or wrong, in conversations of one to eight examples that mostly go wrong together."""
    sizes = chance.integers(1, 9, examples)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), examples)) + 1]
    groups = np.repeat(np.arange(sizes.size), sizes)
    common = ternary_losses(chance, sizes.size, loss)[groups]
    alone = ternary_losses(chance, groups.size, loss)
    return sample_of(np.where(chance.random(groups.size) < 0.7, common, alone), groups)


KINDS: dict[str, Draw] = {"right or wrong": ternary, "graded": graded, "conversations": conversations}


def passes(sample: Sample, expected: Sample, *, margin: float = MARGIN, alpha: float = ALPHA) -> bool:
    stakes = aimed_stakes(sample, margin, alpha=alpha, expected=expected)
    return noninferiority.p_value(sample, margin, stakes=stakes) <= alpha


def finding(sample: Sample, expected: Sample) -> str:
    """As `gate/judging.py` says it."""
    found = noninferiority.judge_sample(sample, MARGIN, alpha=ALPHA, expected=expected)
    return "pass" if found.shown else "fail" if found.refuted else "none"


def naive(losses: Losses) -> tuple[bool, bool, bool]:
    """Point estimate within the margin; not significantly worse at 5 %; z-test of non-inferiority at 5 %."""
    error = max(float(losses.std(ddof=1)) / math.sqrt(losses.size), 1e-12)
    mean = float(losses.mean())
    return mean <= MARGIN, mean / error < 1.645, (mean - MARGIN) / error < -1.645


def acceptance(loss: float, examples: int, times: int, seed: int) -> dict[str, float]:
    """How often each rule accepts a candidate of this true loss."""
    chance = np.random.default_rng(seed)
    expected = ternary(chance, CALIBRATION, 0.0)
    counts = np.zeros(5)
    for _ in range(times):
        losses = ternary_losses(chance, examples, loss)
        sample = sample_of(losses)
        ours = (passes(sample, expected), passes(sample, expected, alpha=FIRST_READ))
        counts += [*naive(losses), *ours]
    names = ("seen within the margin", "not significantly worse", "z-test", "gate at α", "gate, first read")
    return dict(zip(names, (counts / times).tolist(), strict=True))


def just_above(draw: Draw, times: int, seed: int) -> float:
    """How often a candidate a hair above the margin passes, at several sizes: the worst of them."""
    worst = 0.0
    for at, examples in enumerate((300, 1000, 4000)):
        chance = np.random.default_rng([seed, at])
        expected = draw(chance, CALIBRATION, 0.0)
        found = [passes(draw(chance, examples, MARGIN + 1e-6), expected) for _ in range(times)]
        worst = max(worst, sum(found) / times)
    return worst


def asked_for(draw: Draw, margin: float, times: int, seed: int) -> tuple[float, int]:
    """With no loss, on the sample that the plan asked for: how often it passes, and the median sample."""
    chance = np.random.default_rng(seed)
    passed, needed = 0, []
    for at in range(times):
        expected = draw(chance, CALIBRATION, 0.0)
        examples = power.examples_needed(expected, margin, alpha=FIRST_READ, power=0.9, seed=at)
        assert examples is not None
        needed.append(examples)
        passed += passes(draw(chance, examples, 0.0), expected, margin=margin, alpha=FIRST_READ)
    return passed / times, int(np.median(needed))


def flips(examples: int, times: int, seed: int) -> float:
    """Two gates of one candidate that is what it is compared with, on two samples: how often one passes and one fails."""
    chance = np.random.default_rng(seed)
    expected = ternary(chance, CALIBRATION, 0.0)
    found = 0
    for _ in range(times):
        both = {finding(ternary(chance, examples, 0.0), expected) for _ in range(2)}
        found += both == {"pass", "fail"}
    return found / times


def many_reads(candidates: int, times: int, seed: int) -> tuple[float, float]:
    """So many bad candidates in a row on one held-out part: how often any passes, at the spent α and at a full α each."""
    chance = np.random.default_rng(seed)
    expected = ternary(chance, CALIBRATION, 0.0)
    spent = full = 0
    for _ in range(times):
        samples = [ternary(chance, 1000, MARGIN + 1e-6) for _ in range(candidates)]
        spent += any(
            passes(one, expected, alpha=spending.spent_at(at, ALPHA)) for at, one in enumerate(samples, 1)
        )
        full += any(passes(one, expected) for one in samples)
    return spent / times, full / times


def slices(times: int, seed: int) -> tuple[float, float]:
    """Ten slices of 50 of a candidate as good: how often any looks 5 points worse, and how often any alerts."""
    chance = np.random.default_rng(seed)
    seen = alerted = 0
    for _ in range(times):
        parts = [ternary_losses(chance, 50, 0.0) for _ in range(10)]
        seen += any(part.mean() >= 0.05 for part in parts)
        tests = [noninferiority.p_value(sample_of(-part), 0.0) for part in parts]
        alerted += bool((holm.adjusted(tests) <= 0.05).any())
    return seen / times, alerted / times


def caught(drop: float, alpha: float, *, pairs: int, streams: int, seed: int) -> NDArray[np.int64]:
    """At which pair each of many streams is rolled back; `pairs` + 1 where it never is. All streams step together, by the same code."""
    chance = np.random.default_rng(seed)
    means, limit = np.zeros(streams), -math.log(alpha)
    wealth: NDArray[np.float64] | None = None
    squares, at = np.zeros(streams), np.full(streams, pairs + 1)
    for pair in range(pairs):
        x = ternary_losses(chance, streams, drop)
        scatter = sequences.scatter_so_far(DISAGREEMENT, squares, pair)
        stakes = sequences.stakes_for(means, -1.0, drop=0.05, scatter=scatter)
        step = np.log1p(stakes * x[:, None])
        wealth = step if wealth is None else wealth + step
        squares += x**2
        at = np.where((sequences.mixed(wealth) >= limit) & (at > pairs), pair + 1, at)
        if bool((at <= pairs).all()):
            break
    return at


def gate_tables(out: Console, times: int) -> dict[str, Any]:
    """All that is said of the gate."""
    found: dict[str, Any] = {"accepted": {}, "just_above": {}, "asked_for": {}}
    rows = [(loss, n) for n in (200, 1000, 2000) for loss in (0.04, 0.0)]
    table = Table("true loss", "examples", title=f"accepted, of {5 * times:,} candidates (margin 2 points)")
    for at, (loss, n) in enumerate(track(rows, "acceptance", console=Console(stderr=True))):
        shares = acceptance(loss, n, 5 * times, seed=at)
        found["accepted"][f"{loss:g} at {n}"] = shares
        if not at:
            for name in shares:
                table.add_column(name)
        table.add_row(f"{100 * loss:g}", f"{n:,}", *(f"{share:.2%}" for share in shares.values()))
    out.print(table)
    table = Table(
        "pairs",
        "just above the margin, passes",
        "no loss, passes",
        "on so many examples (median)",
        title=f"of {times:,} candidates each (last two: {times // 4} ask for a sample)",
    )
    for at, (name, draw) in enumerate(track(KINDS.items(), "kinds", console=Console(stderr=True))):
        above = just_above(draw, times, seed=20 + at)
        share, needed = asked_for(draw, MARGIN, times if not at else times // 4, seed=30 + at)
        found["just_above"][name], found["asked_for"][name] = above, {"passes": share, "examples": needed}
        table.add_row(name, f"{above:.1%}", f"{share:.1%}", f"{needed:,}")
    out.print(table)
    found["flips"] = {
        n: flips(n, times, seed=40) for n in track((200, 1000, 4000), "flips", console=Console(stderr=True))
    }
    found["reads"] = many_reads(20, times, seed=50)
    found["slices"] = slices(times, seed=60)
    worst = max(found["flips"].values())
    out.print(
        f"A/A: of {times:,} pairs of gates, pass ↔ fail in at most {worst:.1%} (200, 1,000 and 4,000 examples)"
    )
    out.print(
        f"twenty bad candidates on one held-out part: any passes in {found['reads'][0]:.1%}; with a full α for each, {found['reads'][1]:.1%}"
    )
    out.print(
        f"ten slices of 50, no loss: any looks 5 points worse in {found['slices'][0]:.0%}, any alerts in {found['slices'][1]:.1%}"
    )
    return found


def canary_table(out: Console, streams: int, pairs: int) -> dict[str, Any]:
    """All that is said of the watch."""
    found: dict[str, Any] = {}
    table = Table(
        "drop",
        "α",
        "rolled back",
        "median pair",
        "95th percentile",
        title=f"{streams:,} streams of {pairs:,} pairs",
    )
    cases = [(drop, alpha) for alpha in (0.01, 0.05) for drop in (0.0, 0.02, 0.05, 0.08)]
    for drop, alpha in track(cases, "canary", console=Console(stderr=True)):
        at = caught(drop, alpha, pairs=pairs, streams=streams, seed=70)
        share = float((at <= pairs).mean())
        middle, late = (int(np.quantile(at, q, method="higher")) for q in (0.5, 0.95))
        found[f"{drop:g} at {alpha:g}"] = {"rolled_back": share, "median": middle, "p95": late}
        words = [f"{one:,}" if one <= pairs else "never" for one in (middle, late)]
        table.add_row(f"{100 * drop:g} points", f"{alpha:g}", f"{share:.1%}", *words)
    out.print(table)
    return found


def draw_pictures(times: int, streams: int) -> None:
    """Acceptance over the true loss, and how soon a drop is caught."""
    grid = np.linspace(0.0, 0.06, 13)
    series = []
    for at, loss in enumerate(track(grid, "picture", console=Console(stderr=True))):
        shares = acceptance(float(loss), 1000, times, seed=80 + at)
        many = acceptance(float(loss), 6000, times, seed=100 + at)
        series += [
            ("gate, 1,000 examples", 100 * loss, 100 * shares["gate at α"]),
            ("gate, 6,000 examples", 100 * loss, 100 * many["gate at α"]),
            ("“not significantly worse”, 1,000", 100 * loss, 100 * shares["not significantly worse"]),
        ]
    title = "Candidates that pass, by their true loss (margin 2 points)"
    _picture(
        PICTURES / "gate-acceptance.svg", series, title, ("True loss, points", "Pass, %"), rule=100 * MARGIN
    )
    series = []
    for drop in (0.0, 0.02, 0.05, 0.08):
        at = np.sort(caught(drop, 0.01, pairs=2000, streams=streams, seed=90))
        for pair in range(0, 2001, 20):
            share = 100 * float(np.searchsorted(at, pair, side="right")) / streams
            series.append((f"drop of {100 * drop:g} points" if drop else "no drop", float(pair), share))
    _picture(
        PICTURES / "canary-caught.svg",
        series,
        "Canaries rolled back, α = .01",
        ("Scored pairs", "Rolled back, %"),
    )


def _picture(
    path: Path,
    series: Sequence[tuple[str, float, float]],
    title: str,
    axes: tuple[str, str],
    *,
    rule: float | None = None,
) -> None:
    import altair as alt

    rows = alt.InlineData(values=[{"name": name, "x": float(x), "y": float(y)} for name, x, y in series])
    names = list(dict.fromkeys(name for name, *_ in series))
    colours = (
        [OURS, "#5bb08f", "#c2410c", GREY][: len(names)]
        if rule is not None
        else [PALE, GREY, "#5bb08f", OURS]
    )
    layers = [
        alt.Chart(rows)
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("x:Q", title=axes[0], axis=alt.Axis(grid=False)),
            y=alt.Y("y:Q", title=axes[1], scale=alt.Scale(domain=[0, 100])),
            color=alt.Color(
                "name:N",
                title=None,
                sort=names,
                scale=alt.Scale(domain=names, range=colours),
                legend=alt.Legend(orient="right", labelLimit=300),
            ),
        )
    ]
    if rule is not None:
        mark = alt.InlineData(values=[{"x": rule}])
        layers.append(alt.Chart(mark).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="x:Q"))
    heading = alt.TitleParams(title, anchor="start", color=INK, fontSize=15, offset=14)
    chart = alt.layer(*layers).properties(
        width=520, height=320, title=heading, background="white", padding=16
    )
    chart.configure_view(stroke=None).configure_axis(
        labelColor=GREY, titleColor=INK, titleFontWeight="normal", gridColor="#eef1f3", domainColor=PALE
    ).save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the draws, and no pictures")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    times, streams, pairs = (100, 300, 10_000) if options.quick else (1000, 8000, 10_000)
    out, began = Console(stderr=options.json), time.monotonic()
    found = {"gate": gate_tables(out, times), "canary": canary_table(out, streams, pairs)}
    if not options.quick:
        draw_pictures(times, streams)
    if options.json:
        print(json.dumps(found))
    out.print(
        f"{time.monotonic() - began:.0f} s; 95 % intervals of shares: ± {_width(times):.1%} at 5 % of {times:,}"
    )


def _width(times: int) -> float:
    low, high = binomial.wilson(times // 20, times)
    return (high - low) / 2


if __name__ == "__main__":
    main()
