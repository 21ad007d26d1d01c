"""`smallfirst head`: measure a label head, predict with one, list what was trained."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, state_of
from smallfirst.cli.table import Table, print_list

if TYPE_CHECKING:
    from smallfirst.evals.head_report import HeadReport

app = typer.Typer(help="Label heads: linear classifiers over embeddings.", no_args_is_help=True)
_TRAIN = typer.Option(
    ...,
    "--train",
    help='Examples, one JSON object a line: {"id", "input", "label"}; label "oos": none of them.',
)
_EMBEDDER = typer.Option(
    [], help="wordllama, minilm, …; again for several. Default: wordllama, and minilm where it is installed."
)
_SEED = typer.Option(0, help="Of everything that draws.")
_METHOD = typer.Option("head", help="head, or encoder: an encoder is tuned to the labels too, in minutes.")
_BASE = typer.Option(
    "", help="--method encoder: the folder of another encoder than MiniLM.", metavar="FOLDER"
)
_EPOCHS = typer.Option(None, help="--method encoder: how often each example is seen.")


@app.command(name="eval")
def eval_(
    train: Path = _TRAIN,
    test: Path = typer.Option(..., help="Examples to measure on."),
    embedder: list[str] = _EMBEDDER,
    out: Path | None = typer.Option(
        None, help="A folder for the risk–coverage curve as PNG and SVG, and the figures as JSON."
    ),
    method: str = _METHOD,
    base: str = _BASE,
    epochs: int | None = _EPOCHS,
    seed: int = _SEED,
    as_json: bool = JSON,
) -> None:
    """Train on one file, measure on another: accuracy, coverage, calibration, out-of-scope, time."""
    from smallfirst.cli.train_encoder import EncoderOptions, tuner_of
    from smallfirst.evals.head_report import evaluate
    from smallfirst.training.label_head import open_embedders
    from smallfirst.training.labels import read_labels

    tunes = tuner_of(method, EncoderOptions(base=base, epochs=epochs), seed=seed)
    with progress_bar() as progress:
        report = evaluate(
            read_labels(train),
            read_labels(test),
            open_embedders(embedder),
            seed=seed,
            progress=progress,
            tunes=tunes,
        )
    figures = report.figures()
    if out is not None:
        _write(out, report, figures, f"{train.stem} → {test.stem}")
    if as_json:
        typer.echo(msgspec.json.encode(figures).decode())
        return
    table = Table(
        "",
        "",
        show_header=False,
        title=f"{report.selective.rows:,} rows, {report.selective.oos_rows:,} out of scope",
    )
    for name, value in figures.items():
        table.add_row(name, _shown(name, value))
    Console().print(table)
    if out is not None:
        Console().print(f"curve and figures: {out}", highlight=False)


@app.command()
def predict(
    train: Path = _TRAIN,
    test: Path = typer.Option(..., help="Rows with `input`; they need no label."),
    out: Path = typer.Option(..., help="The CSV to write: id, label, confidence, oos_score."),
    embedder: list[str] = _EMBEDDER,
    method: str = _METHOD,
    base: str = _BASE,
    epochs: int | None = _EPOCHS,
    seed: int = _SEED,
    as_json: bool = JSON,
) -> None:
    """Train on one file and label another, for your own measurements."""
    from smallfirst.cli.train_encoder import EncoderOptions, tuner_of
    from smallfirst.evals.head_report import predict as predicted_by
    from smallfirst.training.label_head import open_embedders
    from smallfirst.training.labels import read_labels

    tunes = tuner_of(method, EncoderOptions(base=base, epochs=epochs), seed=seed)
    rows = read_labels(test, labelled=False)
    with progress_bar() as progress:
        answers = predicted_by(
            read_labels(train),
            [row.text for row in rows],
            open_embedders(embedder),
            seed=seed,
            progress=progress,
            tunes=tunes,
        )
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "label", "confidence", "oos_score"))
        for row, answer in zip(rows, answers, strict=True):
            writer.writerow((row.id, answer.label, f"{answer.confidence:.9g}", f"{answer.out_of_scope:.9g}"))
    if as_json:
        typer.echo(msgspec.json.encode({"rows": len(rows), "out": str(out)}).decode())
        return
    Console().print(f"{out}: {len(rows):,} labelled", highlight=False)


@app.command(name="list")
def list_(config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """The heads that were trained here, newest first."""
    from smallfirst.classify.store import Artifacts

    found = Artifacts(state_of(None, config)).list(kind="head")
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    table = Table(
        Column("head", no_wrap=True), "task", "examples", "right", "surest 80 %", "embedders", "note"
    )
    for item in found:
        told = item.described.report
        table.add_row(
            item.sha256[:12],
            escape(item.described.task),
            f"{told.get('examples', 0):,}",
            _shown("accuracy", told.get("accuracy")),
            _shown("accuracy", told.get("accuracy_at_80")),
            "\n".join(told.get("embedders", ())),
            escape(item.described.note),
        )
    print_list(table, none="no head yet; `smallfirst train TASK` makes one")


def _write(out: Path, report: HeadReport, figures: dict[str, Any], title: str) -> None:
    from smallfirst.evals.charts import draw_risk_coverage

    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    for name in ("curve.png", "curve.svg"):
        draw_risk_coverage(out / name, report.selective.curve, title=title)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name.endswith(("_p50", "_p99")):
        return f"{value:,.0f} µs"
    return f"{value:.1f} s" if name.endswith("_s") else f"{value:.4f}"
