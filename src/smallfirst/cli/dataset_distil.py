"""`smallfirst dataset distil`: a larger model's answers, those that stand, become references to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, moment
from smallfirst.cli.teaching import (
    ask,
    forecast,
    open_lesson,
    say_simulated,
    show_reasons,
    spent_usd,
    write_lines,
)

if TYPE_CHECKING:
    from smallfirst.datasets.build import Result
    from smallfirst.datasets.row import Row, Tally
    from smallfirst.evals.plan import Plan
    from smallfirst.evals.runner import Run
    from smallfirst.teaching.distil import Distilled, Selected, Share
    from smallfirst.teaching.lesson import Lesson
    from smallfirst.teaching.questions import Questions
    from smallfirst.teaching.selection import Rule
    from smallfirst.teaching.teacher import Teacher


def distil(
    task: str = typer.Argument(metavar="TASK", help="The task."),
    from_: str = typer.Option(
        "", "--from", metavar="MODEL", help="The model that answers. With --recorded: only its answers."
    ),
    dataset: str = typer.Option(
        "newest", help="The dataset that is continued: a hash, or the newest of the task."
    ),
    inputs: Path | None = typer.Option(
        None, help="Questions of a file: `input` or `messages`, without an answer. Else: train examples."
    ),
    calls: bool = typer.Option(
        False,
        "--calls",
        help="Recorded calls that have no answer to learn from: a small model answered them.",
    ),
    recorded: bool = typer.Option(
        False,
        "--recorded",
        help="Ask nobody: the frontier's recorded answers, but for those that something speaks against.",
    ),
    since: str | None = typer.Option(None, help="Of calls: since 2026-11-24, or 7d, 12h, 30m ago."),
    samples: int = typer.Option(1, min=1, max=16, help="How often each question is asked."),
    agree: float = typer.Option(
        0.6,
        min=0,
        max=1,
        help="The least share of the samples that must agree, where nobody has verified what is right.",
    ),
    accept: float | None = typer.Option(
        None,
        min=0,
        max=1,
        help="The least score against a verified reference, or by the task's judge; default: 1 for labels and JSON, 0.5 for texts, 0.75 by a judge.",
    ),
    temperature: float | None = typer.Option(
        None, min=0, max=2, help="Of the samples; default: the task's own for one, 0.7 for several."
    ),
    replace: bool = typer.Option(
        False, "--replace", help="Accepted answers take the place of people's references too, in train."
    ),
    verify: int | None = typer.Option(
        None,
        min=0,
        help="So many verified examples are asked as well, to tell how often the model is right; default: as many as questions, at most 200.",
    ),
    limit: int | None = typer.Option(None, min=1, help="At most so many questions, drawn by their ids."),
    max_usd: float | None = typer.Option(None, min=0, help="Stop before more than this is spent."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be asked and cost; ask nobody."),
    rejected: Path | None = typer.Option(
        None, metavar="FILE", help="Write the rejected answers, with the reason of each."
    ),
    skip_bad: bool = typer.Option(
        False, "--skip-bad", help="Leave malformed rows of --inputs out and count them."
    ),
    concurrency: int = typer.Option(8, min=1, help="How many questions the model is put at once."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask before money is spent."),
    note: str = typer.Option("", help="Why; kept with the dataset."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Let a larger model answer, keep the answers that stand, and make a dataset that is trained on with them.

    The same command again goes on with what was not answered, and pays for nothing twice.
    """
    from smallfirst.errors import ConfigError
    from smallfirst.teaching.distil import check_any, keep, select
    from smallfirst.teaching.selection import Rule, comparing, default_accept
    from smallfirst.teaching.teacher import teacher_of

    if sum((inputs is not None, calls, recorded)) > 1:
        raise ConfigError("give one of --inputs, --calls and --recorded, or none of them for train examples")
    lesson = open_lesson(config, task, dataset, note)
    if recorded:
        if from_:
            from_ = teacher_of(task, from_, lesson.home.config, option="--from").name
        _recorded(lesson, from_, since=since, dry_run=dry_run, rejected=rejected, as_json=as_json)
        return
    if not from_:
        raise ConfigError("required: the model that answers", path="--from")
    teacher = teacher_of(task, from_, lesson.home.config, option="--from")
    spec, contract = lesson.told.scorer, lesson.contract
    rule = Rule(
        accept=default_accept(spec, contract) if accept is None else accept,
        agree=agree,
        judged=spec.kind == "judge",
    )
    if inputs is None and not calls:
        questions = _of_train(lesson, teacher, samples=samples, replace=replace, verify=verify, limit=limit)
    else:
        rows = _rows(lesson, inputs, since=since, skip_bad=skip_bad)
        questions = _of_rows(lesson, teacher, rows, verify=verify, limit=limit)
    check_any(questions, teacher)
    plan, compare = (
        _plan(lesson, teacher, questions, samples=samples, temperature=temperature),
        comparing(spec, contract),
    )
    if not as_json:
        _say_before(questions, teacher, rule, samples, Console(stderr=True))
    if dry_run:
        _dry(plan, lesson, questions, as_json)
        return
    run = ask(plan, lesson, note=note, yes=yes, max_usd=max_usd, concurrency=concurrency)
    selected = select(questions, run, rule, contract=contract, scorer=compare)
    if rejected is not None:
        write_lines(rejected, selected.rejected)
    result = keep(selected, lesson)
    _tell(result, selected, questions, teacher, run=run, as_json=as_json)


def _of_train(
    lesson: Lesson, teacher: Teacher, *, samples: int, replace: bool, verify: int | None, limit: int | None
) -> Questions:
    from smallfirst.teaching.questions import from_train

    examples = list(lesson.parent.examples("train"))
    return from_train(examples, teacher, samples=samples, replace=replace, verify=verify, limit=limit)


def _rows(
    lesson: Lesson, inputs: Path | None, *, since: str | None, skip_bad: bool
) -> tuple[list[Row], Tally]:
    """Questions of a file or, without one, of recorded calls; and why others are none."""
    from smallfirst.datasets.from_ledger import Wanted, read_calls
    from smallfirst.datasets.mapping import Mapping
    from smallfirst.datasets.plain import read_questions
    from smallfirst.datasets.reference import FIELD_BY_KIND, kind_of
    from smallfirst.datasets.row import Tally
    from smallfirst.ledger import Ledger

    tally = Tally(skip_bad=skip_bad)
    if inputs is not None:
        usual = FIELD_BY_KIND[kind_of(lesson.contract)]
        return list(read_questions(inputs, Mapping(), usual, tally)), tally
    with Ledger.read(lesson.home.state) as ledger:
        wanted = Wanted(task=lesson.task, since_ms=_ms(since))
        return list(read_calls(ledger.queries, wanted, tally, unanswered=True)), tally


def _of_rows(
    lesson: Lesson, teacher: Teacher, found: tuple[list[Row], Tally], *, verify: int | None, limit: int | None
) -> Questions:
    """The rows as questions whose reference the teacher is to give."""
    from smallfirst.teaching.questions import from_rows

    rows, tally = found
    by, provider = f"model:{teacher.name}", teacher.provider
    told = [
        msgspec.structs.replace(
            row, reference_by=by, provider=provider, split=None, synthetic=False, taught=True
        )
        for row in rows
    ]
    with progress_bar() as progress:
        questions = from_rows(told, lesson, verify=verify, limit=limit, progress=progress)
    return msgspec.structs.replace(questions, left_out=questions.left_out + tally.skipped)


def _plan(
    lesson: Lesson, teacher: Teacher, questions: Questions, *, samples: int, temperature: float | None
) -> Plan:
    from smallfirst.teaching.asking import WhereKnown, plan_of, sample_arms, scorer_for

    contract = lesson.contract
    scorer, judge, judged = scorer_for(lesson.told.scorer, contract, lesson.home)
    return plan_of(
        lesson.task,
        contract,
        sample_arms(teacher, lesson.task, lesson.home, samples=samples, temperature=temperature),
        [one.example for one in questions.asked],
        scorer=WhereKnown(scorer, judged=judged),
        judge=judge,
    )


def _say_before(questions: Questions, teacher: Teacher, rule: Rule, samples: int, out: Console) -> None:
    checks = len(questions.asked) - questions.to_learn
    beside = f", and {checks:,} verified ones to tell how often it is right" if checks else ""
    times = f", {samples} times each" if samples > 1 else ""
    out.print(
        f"{escape(teacher.name)} answers {questions.to_learn:,} questions{beside}{times}. Kept: what scores at least {rule.accept:g} where it is "
        + ("verified or judged" if rule.judged else "verified")
        + (
            f", else what {rule.agree:.0%} of the samples agree on"
            if samples > 1
            else ", else what keeps the contract"
        ),
        highlight=False,
    )
    say_simulated(teacher, out)
    show_reasons(questions.left_out, "not asked", out)


def _dry(plan: Plan, lesson: Lesson, questions: Questions, as_json: bool) -> None:
    figures = forecast(plan, lesson, None if as_json else Console())
    if as_json:
        told = figures | {"questions": questions.to_learn, "left_out": dict(questions.left_out)}
        typer.echo(
            msgspec.json.encode(told | {"verified_asked": len(questions.asked) - questions.to_learn}).decode()
        )


def _tell(
    result: Result, selected: Selected, questions: Questions, teacher: Teacher, *, run: Run, as_json: bool
) -> None:
    from smallfirst.cli.dataset_shown import show_result

    if as_json:
        told: dict[str, Any] = {
            "id": result.id,
            "new": result.new,
            "manifest": result.manifest,
            "teacher": teacher,
        }
        told |= {
            "distilled": selected.told,
            "left_out": dict(questions.left_out),
            "spent_usd": spent_usd(run),
        }
        typer.echo(msgspec.json.encode(told).decode())
        return
    out = Console()
    show_result(result, out)
    _show(selected.told, teacher, out)


def _show(told: Distilled, teacher: Teacher, out: Console) -> None:
    out.print(f"{told.kept:,} of {told.asked:,} answers of {escape(teacher.name)} were kept", highlight=False)
    if told.unanswered:
        out.print(f"{told.unanswered:,} were not answered: the same command again asks them", highlight=False)
    if told.removed:
        out.print(
            f"{told.removed:,} of them were train examples that no person had verified: they are train examples no longer",
            highlight=False,
        )
    if told.accuracy.of:
        out.print(
            f"accuracy on verified examples: {_share(told.accuracy)} asked once; {_share(told.kept_accuracy)} of what would be kept unverified",
            highlight=False,
        )
    else:
        out.print(
            "accuracy: not known; no verified example was asked. What a student scores on these references is agreement with its teacher",
            highlight=False,
        )


def _share(share: Share) -> str:
    if not share.of:
        return "none"
    return f"{share.share:.1%} [{share.low:.1%}, {share.high:.1%}] of {share.of:,}"


def _recorded(
    lesson: Lesson, model: str, *, since: str | None, dry_run: bool, rejected: Path | None, as_json: bool
) -> None:
    """The ledger's frontier answers: nobody is asked, and nothing is paid."""
    from smallfirst.cli.dataset_shown import show_result
    from smallfirst.datasets.from_ledger import Wanted, read_calls
    from smallfirst.datasets.row import Tally
    from smallfirst.errors import DatasetError
    from smallfirst.ledger import Ledger
    from smallfirst.teaching.recorded import select_recorded

    tally = Tally()
    with Ledger.read(lesson.home.state) as ledger, progress_bar() as progress:
        rows = read_calls(ledger.queries, Wanted(task=lesson.task, since_ms=_ms(since)), tally)
        found = select_recorded(rows, ledger.queries, lesson, model=model, progress=progress)
    found.left_out.update(tally.skipped)
    if rejected is not None:
        write_lines(rejected, found.rejected)
    change, out = found.change, Console()
    if not as_json and (dry_run or not change.rows):
        show_reasons(change.skipped, "not used", Console(stderr=True))
    if dry_run:
        told = {"rows": len(change.rows), "skipped": change.skipped}
        out.print(
            f"{len(change.rows):,} recorded answers would be added", highlight=False
        ) if not as_json else typer.echo(msgspec.json.encode(told).decode())
        return
    if not change.rows:
        reasons = "; ".join(f"{count:,} {why}" for why, count in change.skipped.items())
        raise DatasetError(f"no recorded answer can be added, so no dataset is made: {reasons}")
    result = lesson.make(change)
    if as_json:
        told = {"id": result.id, "new": result.new, "manifest": result.manifest, "kept": len(change.rows)}
        typer.echo(msgspec.json.encode(told | {"skipped": change.skipped}).decode())
        return
    show_result(result, out)
    out.print(f"{len(change.rows):,} recorded answers were added", highlight=False)


def _ms(since: str | None) -> int | None:
    return None if since is None else int(moment(since, option="--since").timestamp() * 1000)
