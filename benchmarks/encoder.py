"""A label head, and the same over an encoder that is tuned too: `python -m benchmarks.encoder --only banking77-2000`.

The development sets are found by SMALLFIRST_DATA (default ../shared/data). The 2,003 rows of banking77 that are measured on are those that no setting
was chosen on (design/010-encoder.md); helpdesk is trained on its train part and measured on its calibration part. Prints a
row as soon as it is known.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from smallfirst.classify.artifact import unpack
from smallfirst.classify.label_head import LabelHead, head_from
from smallfirst.evals.selective import selective
from smallfirst.statistics import binomial
from smallfirst.training.encoder import EncoderSettings, TunedBy, open_base
from smallfirst.training.label_head import fit_head, open_embedders
from smallfirst.training.labels import LabelRow, read_labels

_DATA = Path(os.environ.get("SMALLFIRST_DATA", "../shared/data"))
_HELPDESK = Path(__file__).resolve().parents[1] / "examples/helpdesk"
_TIMED = 200
Split = tuple[list[LabelRow], list[LabelRow]]
console = Console(width=170)


def banking77(examples: int) -> Split:
    """So many of its rows, and the 2,003 that nothing was chosen on."""
    rows = read_labels(_DATA / "banking77/train.jsonl")
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[at] for at in order[:examples]], [rows[at] for at in order[8000:]]


def clinc150() -> Split:
    train, test = (
        [row for name in names for row in read_labels(_DATA / "clinc150" / f"{name}.jsonl")]
        for names in (("train", "oos_train"), ("val", "oos_val"))
    )
    return train, test


def helpdesk() -> Split:
    def part(name: str) -> list[LabelRow]:
        lines = (_HELPDESK / f"{name}.jsonl").read_bytes().splitlines()
        told = [msgspec.json.decode(line) for line in lines]
        return [
            LabelRow(text=row["input"], id=row["id"], line=at, label=row["category"])
            for at, row in enumerate(told, start=1)
        ]

    return part("train"), part("calibration")


SETS: dict[str, Callable[[], Split]] = {
    "banking77-2000": lambda: banking77(2000),
    "banking77-8000": lambda: banking77(8000),
    "helpdesk": helpdesk,
    "clinc150": clinc150,
}


def quiet(step: str, done: int, total: int) -> None:
    """Nobody watches."""


def measured(name: str, tuned: bool, settings: EncoderSettings, options: argparse.Namespace) -> None:
    """Trains, predicts, prints one row."""
    train, test = SETS[name]()
    embedders = open_embedders([])
    seed = options.seed
    tunes = TunedBy(open_base(), settings, seed=seed, task=name, state=options.state) if tuned else None
    began_s = time.perf_counter()
    fitted = fit_head(train, embedders, task="benchmark", seed=seed, progress=quiet, tunes=tunes)
    head, fit_s = head_from(unpack(fitted.data), embedders), time.perf_counter() - began_s
    answers = head.answer_all([row.text for row in test], quiet)
    found = selective(
        [row.label or "" for row in test],
        [answer.label for answer in answers],
        confidences=[answer.confidence for answer in answers],
        oos_scores=[answer.out_of_scope for answer in answers],
    )
    rows = found.rows - found.oos_rows
    low, high = binomial.wilson(round((found.accuracy or 0) * rows), rows)
    p50, p90 = timed(head, [row.text for row in test])
    console.print(
        f"| {name} | {'encoder' if tuned else 'head'} | {len(train):,} | {rows:,} | {found.accuracy:.4f} ({low:.3f} to {high:.3f}) "
        f"| {found.accuracy_at_80:.4f} | {found.ece:.3f} | {shown(found.oos_auroc)}, {shown(found.oos_recall)} "
        f"| {p50:.1f}, {p90:.1f} ms | {len(fitted.data) / 1e6:.0f} MB | {fit_s:,.0f} s |",
        highlight=False,
        soft_wrap=True,
    )


def shown(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.3f}"


def timed(head: LabelHead, texts: list[str]) -> tuple[float, float]:
    """The CPU time of one answer, median and 90th percentile, in milliseconds."""
    spent = []
    for text in texts[:_TIMED]:
        began_ns = time.thread_time_ns()
        head.answer(text)
        spent.append((time.thread_time_ns() - began_ns) / 1e6)
    return float(np.median(spent)), float(np.quantile(spent, 0.9))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=tuple(SETS), action="append")
    parser.add_argument("--method", choices=("head", "encoder"), action="append")
    parser.add_argument("--epochs", type=int, default=EncoderSettings().epochs)
    parser.add_argument(
        "--state", type=Path, help="where finished folds are kept: a run that was stopped goes on"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console.print(
        "| data | method | trained on | measured on | accuracy (95 % interval) | surest 80 % | ECE | out of scope: AUROC, recall "
        "| one text, p50, p90 | artifact | fit |\n|" + " --- |" * 11,
        highlight=False,
        soft_wrap=True,
    )
    for name in options.only or SETS:
        for method in options.method or ("head", "encoder"):
            measured(name, method == "encoder", EncoderSettings(epochs=options.epochs), options)


if __name__ == "__main__":
    main()
