"""`smallfirst dataset synthesise`: a model writes examples for labels that have too few; marked, in train alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON
from smallfirst.cli.table import Table
from smallfirst.cli.teaching import (
    ask,
    forecast,
    open_lesson,
    say_simulated,
    spent_usd,
    write_lines,
)

if TYPE_CHECKING:
    from smallfirst.datasets.build import Result
    from smallfirst.evals.plan import Plan
    from smallfirst.evals.runner import Run
    from smallfirst.teaching.lesson import Lesson
    from smallfirst.teaching.synthesise import Asked, Written
    from smallfirst.teaching.teacher import Teacher


def synthesise(
    task: str = typer.Argument(metavar="TASK", help="The task: one label of a set, or JSON."),
    model: str = typer.Option(
        ..., "--model", "-m", help="The model that writes. It is shown real examples of one tenant at a time."
    ),
    per_label: int = typer.Option(
        50, min=1, help="So many train examples each label is to have; for JSON: so many new ones."
    ),
    labels: str = typer.Option("", help="Only these labels, separated by commas."),
    dataset: str = typer.Option(
        "newest", help="The dataset that is continued: a hash, or the newest of the task."
    ),
    at_once: int = typer.Option(10, min=1, max=50, help="How many are asked for in one request."),
    seeds: int = typer.Option(8, min=1, max=50, help="How many real examples are shown in each request."),
    sure: float = typer.Option(
        0.8,
        min=0,
        max=1,
        help="A message goes where a head, trained on real examples, is so sure of another label.",
    ),
    temperature: float | None = typer.Option(None, min=0, max=2, help="Default: the provider's own."),
    seed: int = typer.Option(0, help="Of which examples are shown; another asks anew."),
    max_usd: float | None = typer.Option(None, min=0, help="Stop before more than this is spent."),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Say what would be asked and cost, and show a request; ask nobody."
    ),
    show: int = typer.Option(5, min=0, help="Show so many written examples before they are kept."),
    no_keep: bool = typer.Option(
        False,
        "--no-keep",
        help="Write and show, and keep nothing: the same command without it keeps them, unpaid.",
    ),
    rejected: Path | None = typer.Option(
        None, metavar="FILE", help="Write the rejected messages, with the reason of each."
    ),
    concurrency: int = typer.Option(4, min=1, help="How many requests the model is sent at once."),
    yes: bool = typer.Option(
        False, "--yes", "-y", help="Ask neither before money is spent nor before examples are kept."
    ),
    note: str = typer.Option("", help="Why; kept with the dataset."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Let a model write examples for thin labels, keep those that stand, and make a dataset that is trained on with them."""
    from smallfirst.errors import DatasetError
    from smallfirst.teaching.synthesise import Wish, asked_for, check_any, select_written
    from smallfirst.teaching.teacher import teacher_of

    lesson = open_lesson(config, task, dataset, note)
    teacher = teacher_of(task, model, lesson.home.config, option="--model")
    chosen = tuple(label.strip() for label in labels.split(",") if label.strip())
    wish = Wish(per_label=per_label, labels=chosen, at_once=at_once, seeds=seeds, sure=sure, seed=seed)
    asked = asked_for(list(lesson.parent.examples("train")), lesson.contract, wish, lesson.marks)
    check_any(asked, wish)
    plan = _plan(lesson, teacher, asked, temperature)
    out = Console(stderr=as_json)
    if not as_json:
        _say_before(asked, teacher, out)
    if dry_run:
        _dry(plan, lesson, asked, as_json)
        return
    run = ask(plan, lesson, note=note, yes=yes, max_usd=max_usd, concurrency=concurrency)
    with progress_bar() as progress:
        written = select_written(
            {answer.example: answer for answer in run.answers.values()},
            asked,
            wish,
            lesson,
            teacher=teacher,
            progress=progress,
        )
    if rejected is not None:
        write_lines(rejected, written.rejected)
    if not written.change.rows:
        reasons = "; ".join(f"{count:,} {why}" for why, count in written.reasons.items())
        raise DatasetError(
            f"no written example was kept, so no dataset is made: {reasons or 'nothing was written'}"
        )
    if not as_json:
        _show_written(written, show, out)
    if no_keep or not _agreed(written, yes=yes, as_json=as_json):
        if as_json:
            typer.echo(msgspec.json.encode(_told(written, asked, teacher, run)).decode())
        else:
            out.print("kept: none; the same command again asks nothing twice", highlight=False)
        return
    result = lesson.make(written.change)
    _tell(result, written, asked, teacher, run=run, as_json=as_json)


def _plan(lesson: Lesson, teacher: Teacher, asked: Asked, temperature: float | None) -> Plan:
    from smallfirst.teaching.asking import Taken, plan_of, writing_arm
    from smallfirst.teaching.writing import Subject, answer_contract, question_of

    told = lesson.told
    subject = Subject(
        name=lesson.task,
        contract=told.contract,
        description=told.description,
        instructions=told.instructions or "",
    )
    contract = answer_contract(told.contract)
    return plan_of(
        lesson.task,
        contract,
        [writing_arm(teacher, lesson.task, lesson.home, contract, temperature=temperature)],
        [question_of(batch, subject) for batch in asked.batches],
        scorer=Taken(),
    )


def _say_before(asked: Asked, teacher: Teacher, out: Console) -> None:
    table = Table("label", "to be written")
    for label, count in asked.wanted.items():
        table.add_row(escape(label or "(the whole task)"), f"{count:,}")
    out.print(table)
    for why in dict.fromkeys(asked.cannot.values()):
        labels = ", ".join(label or "the task" for label, told in asked.cannot.items() if told == why)
        out.print(f"left out: {escape(labels)} ({why})", highlight=False)
    tenants = len({batch.tenant for batch in asked.batches})
    out.print(
        f"{escape(teacher.name)} is shown real messages of train, redacted, those of one tenant at a time ({tenants:,} in all)",
        highlight=False,
    )
    say_simulated(teacher, out)


def _dry(plan: Plan, lesson: Lesson, asked: Asked, as_json: bool) -> None:
    figures = forecast(plan, lesson, None if as_json else Console())
    first = plan.work.examples[0].messages[0]["content"]
    if as_json:
        told = figures | {"wanted": asked.wanted, "cannot": asked.cannot, "first_request": first}
        typer.echo(msgspec.json.encode(told).decode())
        return
    Console().print(f"The first request:\n\n{escape(first)}", highlight=False)


def _show_written(written: Written, count: int, out: Console) -> None:
    """A few of those that would be kept, from all labels in turn."""
    if not count:
        return
    rows = [row for row, _ in written.change.rows]
    step = max(1, len(rows) // count)
    table = Table("label or value", "message")
    for row in rows[::step][:count]:
        told = (
            row.reference if isinstance(row.reference, str) else msgspec.json.encode(row.reference).decode()
        )
        asked = [message["content"] for message in row.messages if message.get("role") == "user"]
        table.add_row(escape(told), escape(asked[-1][:300]))
    out.print(table)


def _agreed(written: Written, *, yes: bool, as_json: bool) -> bool:
    """Whether they are to be kept: asked at a terminal alone."""
    if yes or as_json or not sys.stdin.isatty():
        return True
    return typer.confirm(
        f"Keep {len(written.change.rows):,} synthetic examples in train?", default=True, err=True
    )


def _told(written: Written, asked: Asked, teacher: Teacher, run: Run) -> dict[str, Any]:
    return {
        "teacher": teacher,
        "wanted": asked.wanted,
        "cannot": asked.cannot,
        "kept": written.kept,
        "rejected": written.reasons,
        "head": {"judged": written.judged, "disagreed": written.disagreed, "why_not": written.no_head},
        "spent_usd": spent_usd(run),
    }


def _tell(
    result: Result, written: Written, asked: Asked, teacher: Teacher, *, run: Run, as_json: bool
) -> None:
    from smallfirst.cli.dataset_shown import show_result

    if as_json:
        told = {"id": result.id, "new": result.new, "manifest": result.manifest}
        typer.echo(msgspec.json.encode(told | _told(written, asked, teacher, run)).decode())
        return
    out = Console()
    show_result(result, out)
    table = Table("label", "wanted", "kept")
    for label, count in asked.wanted.items():
        table.add_row(escape(label or "(the whole task)"), f"{count:,}", f"{written.kept.get(label, 0):,}")
    out.print(table)
    if written.judged:
        out.print(
            f"a head trained on the real examples gives another label to {written.disagreed:,} of {written.judged:,} written ones",
            highlight=False,
        )
    elif written.no_head:
        out.print(f"no head could check the labels: {escape(written.no_head)}", highlight=False)
    if any(label and written.kept.get(label, 0) < count for label, count in asked.wanted.items()):
        out.print("fewer were kept than wanted: the same command again asks for the rest", highlight=False)
