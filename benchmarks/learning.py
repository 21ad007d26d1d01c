"""What routers and heads are worth on real data: `python -m benchmarks.learning --out docs/pictures`.

The development sets are found by SMALLFIRST_DATA (default ../shared/data). Routers are scored out of fold, every row by a router that did not see
it; heads are trained on one part and measured on another. Prints the tables of docs/routing.md and draws their curves.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from smallfirst.classify.artifact import unpack
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.prompt import Prompt
from smallfirst.evals import CostQuality, cost_quality
from smallfirst.evals.charts import draw_cost_quality, draw_risk_coverage
from smallfirst.evals.head_report import HeadReport, evaluate
from smallfirst.routing.fitted import read_fitted
from smallfirst.statistics import auroc, brier, ece
from smallfirst.training.bound import Goal
from smallfirst.training.label_head import open_embedders
from smallfirst.training.labels import LabelRow, read_labels
from smallfirst.training.learned_source import LearnedSource
from smallfirst.training.logistic import folds
from smallfirst.training.outcomes import read_outcomes
from smallfirst.training.router_fit import Wanted, fit_router
from smallfirst.training.source import read_examples

_DATA = Path(os.environ.get("SMALLFIRST_DATA", "../shared/data"))
_LADDER = ("small", "frontier")
_QUESTION = "How do I change the billing address on my account before the next invoice is sent out at the end of May? "
_SETS = {
    "MMLU, 1,500 rows": ("routing/mmlu-1500.jsonl", 10),
    "MMLU-Pro, 7,207 rows": ("routing/mmlu-pro-60.jsonl", 5),
}
console = Console(width=150)


def quiet(step: str, done: int, total: int) -> None:
    """Nobody watches."""


def out_of_fold(
    path: Path, count: int, *, seed: int, embedder: str = "wordllama"
) -> tuple[CostQuality, list[float | None]]:
    """Every row scored by a router that did not see it; the curve, and AUROC, Brier and ECE of P(small adequate)."""
    source = LearnedSource(open_embedder(embedder))
    read = read_examples(read_outcomes(path), _LADDER, source, quiet)
    score, sure = np.zeros(len(read.examples)), np.zeros(len(read.examples))
    for inside, outside in folds(len(read.examples), count, seed=seed):
        adequate, uplift = source.fit(read.part(inside), seed=0).expected(read.numbers.rows(outside))
        score[outside], sure[outside] = uplift[:, 0], adequate[:, 0]
    small, frontier = read.worth.score.T
    calibrated = [auroc(sure, small >= 0.5), brier(sure, small), ece(sure, small)]
    return cost_quality(score, small=small, frontier=frontier), calibrated


def routers(out: Path, embedder: str) -> None:
    """Ranking and calibration, out of fold."""
    table = Table(
        "set",
        "folds",
        "seed",
        "APGR",
        "CPT50",
        "CPT80",
        "whole curve",
        "PGR at 20 %",
        "random",
        "AUROC",
        "Brier",
        "ECE",
        title=f"Routers, {embedder}",
    )
    for name, (file, count) in _SETS.items():
        for seed in range(3 if count == 10 else 1):
            found, calibrated = out_of_fold(_DATA / file, count, seed=seed, embedder=embedder)
            figures = (
                found.apgr,
                found.cpt50,
                found.cpt80,
                found.apgr_full,
                found.pgr20,
                found.random_apgr,
                *calibrated,
            )
            table.add_row(
                name,
                str(count),
                str(seed),
                *(f"{figure or 0:.3f}" if (figure or 0) < 2 else f"{figure:.1f}" for figure in figures),
            )
            if seed == 0 and embedder == "wordllama":
                draw_cost_quality(out / f"{Path(file).stem}.svg", found, title=f"{name}: out of fold")
    console.print(table)


def shifts() -> None:
    """Fitted on one set, measured on the other: below .5 would be worse than chance."""
    table = Table("fitted on", "measured on", "APGR", title="Shift")
    source = LearnedSource(open_embedder("wordllama"))
    reads = {
        name: read_examples(read_outcomes(_DATA / file), _LADDER, source, quiet)
        for name, (file, _) in _SETS.items()
    }
    for name, read in reads.items():
        figures = source.fit(read, seed=0)
        for other, test in reads.items():
            if other != name:
                small, frontier = test.worth.score.T
                found = cost_quality(figures.expected(test.numbers)[1][:, 0], small=small, frontier=frontier)
                table.add_row(name, other, f"{found.apgr or 0:.3f}")
    console.print(table)


def decisions() -> None:
    """The CPU time of one decision, text to judgement, by the length of the question."""
    examples = read_outcomes(_DATA / "routing/mmlu-1500.jsonl")
    source = LearnedSource(open_embedder("wordllama"))
    fit = fit_router(examples, Wanted(task="t", ladder=_LADDER, goal=Goal(margin=0.02)), source, quiet)
    found = unpack(fit.data)
    router = source.router(read_fitted(found), found)
    table = Table("question", "median, µs", "p99, µs", title="One decision, CPU")
    for name, text in (
        ("20 words", _QUESTION),
        ("8,000 tokens", _QUESTION * 364),
        ("64,000 tokens", _QUESTION * 2910),
    ):
        median, p99 = source.spent(router, [Prompt(question=text, prompt_chars=len(text))] * 400).decision_us
        table.add_row(name, f"{median:,.0f}", f"{p99:,.0f}")
    console.print(table)


def heads(out: Path) -> None:
    """Accuracy, coverage, calibration and what is out of scope."""
    table = Table(
        "train",
        "test",
        "embedders",
        "accuracy",
        "macro-F1",
        "at 80 %",
        "at 90 %",
        "ECE",
        "oos AUROC",
        "oos recall",
        "predict p50, µs",
        "fit, s",
        title="Label heads",
    )
    banking = read_labels(_DATA / "banking77/train.jsonl")
    order = np.random.default_rng(0).permutation(len(banking))
    shuffled = [banking[at] for at in order]
    clinc = [*read_labels(_DATA / "clinc150/train.jsonl"), *read_labels(_DATA / "clinc150/oos_train.jsonl")]
    clinc_test = [*read_labels(_DATA / "clinc150/val.jsonl"), *read_labels(_DATA / "clinc150/oos_val.jsonl")]
    for name, train, test in (
        ("banking77, 2,000", shuffled[:2000], shuffled[2000:]),
        ("banking77, 8,000", shuffled[:8000], shuffled[8000:]),
        ("clinc150, 15,000 + 100 oos", clinc, clinc_test),
    ):
        for embedders in (["wordllama"], []):
            report = measured(train, test, embedders)
            told = report.figures()
            names = (
                "accuracy",
                "macro_f1",
                "accuracy_at_80",
                "accuracy_at_90",
                "ece",
                "oos_auroc",
                "oos_recall",
            )
            figures = ["" if told[key] is None else f"{told[key]:.4f}" for key in names]
            used = "wordllama" if embedders else "wordllama, minilm"
            table.add_row(
                name,
                f"{len(test):,}",
                used,
                *figures,
                f"{told['predict_us_p50']:,.0f}",
                f"{told['fit_s']:.0f}",
            )
        draw_risk_coverage(
            out / f"{name.split(',')[0]}-{len(train)}.svg",
            report.selective.curve,
            title=f"{name}, wordllama and MiniLM",
        )
    console.print(table)


def measured(train: list[LabelRow], test: list[LabelRow], embedders: list[str]) -> HeadReport:
    return evaluate(train, test, open_embedders(embedders), seed=0, progress=quiet)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()), help="where the pictures go")
    parser.add_argument("--embedder", default="wordllama", help="of the routers (default: wordllama)")
    parser.add_argument("--only", choices=("routers", "shifts", "decisions", "heads"), action="append")
    options = parser.parse_args()
    if not _DATA.is_dir():
        raise SystemExit(f"the development data are not in {_DATA}; SMALLFIRST_DATA names another place")
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = options.only or ["routers", "shifts", "decisions", "heads"]
    if "routers" in wanted:
        routers(options.out, options.embedder)
    if "shifts" in wanted:
        shifts()
    if "decisions" in wanted:
        decisions()
    if "heads" in wanted:
        heads(options.out)


if __name__ == "__main__":
    main()
