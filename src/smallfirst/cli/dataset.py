"""`smallfirst dataset`: make datasets from the ledger or from files, look at them, compare and export them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console

from smallfirst.cli.dataset_distil import distil
from smallfirst.cli.dataset_making import Making, rule_of
from smallfirst.cli.dataset_synthesise import synthesise
from smallfirst.cli.state import CONFIG, JSON, STATE, moment, state_of

if TYPE_CHECKING:
    from smallfirst.datasets.build import Result
    from smallfirst.datasets.store import Dataset, Datasets

app = typer.Typer(
    help="Datasets: examples split into train, calibration and held-out, immutable.", no_args_is_help=True
)
_MS_PER_S = 1000
_TASK = typer.Option(..., "--task", "-t", help="The task whose examples these are.")
_SPLIT = typer.Option("60/20/20", help="Shares of train, calibration and held-out.")
_HELDOUT = typer.Option(None, min=1, help="So many held-out examples, instead of the third share.")
_BY_TIME = typer.Option(False, "--by-time", help="The newest are held out, the next newest are calibration.")
_GROUP_BY = typer.Option(
    "conversation", help="conversation, or tenant: all examples of a tenant then stay together."
)
_NEAR = typer.Option(
    0.6, min=0.4, max=2, help="Texts at least so alike share a group; above 1: none are compared."
)
_SAME = typer.Option(0.9, min=0.4, max=2, help="Of texts at least so alike that agree, one is kept.")
_SEED = typer.Option(0, help="Of the split.")
_PARENT = typer.Option(
    "newest", help="The version that this one continues: newest, a hash, or none. Held-out stays held-out."
)
_NOTE = typer.Option("", help="Why it was made; kept beside it.")
_NAME = typer.Argument(metavar="DATASET", help="A hash or the beginning of one, or newest.")
_OF_TASK = typer.Option(
    None, "--task", "-t", help="The task of which newest is meant, where several have datasets."
)


@app.command()
def build(
    task: str = _TASK,
    since: str | None = typer.Option(
        None, help="Since 2026-11-24, 2026-11-24T08:00 (UTC), or 7d, 12h, 30m ago."
    ),
    until: str | None = typer.Option(None, help="Before this moment."),
    tenant: str | None = typer.Option(None, help="Only this tenant's calls."),
    model: str | None = typer.Option(None, "--model", "-m", help="Only calls that this model answered."),
    outcome: str = typer.Option(
        "", help="Only calls of which such an outcome was told: label, score, thumbs, judge."
    ),
    decision: str = typer.Option(
        "", help="Only calls so answered: small, frontier, climbed (more than one rung was asked)."
    ),
    split: str = _SPLIT,
    heldout: int | None = _HELDOUT,
    by_time: bool = _BY_TIME,
    group_by: str = _GROUP_BY,
    near: float = _NEAR,
    same: float = _SAME,
    seed: int = _SEED,
    parent: str = _PARENT,
    note: str = _NOTE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Make a dataset from the ledger: the corrected answer is the reference, else the frontier's."""
    from smallfirst.datasets.from_ledger import Wanted, read_calls
    from smallfirst.datasets.row import Tally
    from smallfirst.errors import ConfigError, DatasetError
    from smallfirst.ledger import Ledger

    if decision not in ("", "small", "frontier", "climbed"):
        raise ConfigError(f"--decision: expected small, frontier or climbed, not {decision!r}")
    rule = rule_of(split, heldout, by_time=by_time, group_by=group_by, alike=(near, same), seed=seed)
    making = Making(config, task, rule, parent, note)
    wanted = Wanted(
        task=task,
        tenant=tenant,
        model=model,
        since_ms=_ms(since, "--since"),
        until_ms=_ms(until, "--until"),
        outcome=outcome,
        decision=decision,  # pyright: ignore[reportArgumentType] (checked above)
    )
    tally = Tally()
    with Ledger.read(making.state) as ledger:
        if not making.loaded.tasks[task].keep_bodies and not tally.read:
            Console(stderr=True).print(
                f"tasks.{task}.keep_bodies is false: only calls from when it was true can be used.",
                highlight=False,
            )
        try:
            result = making.make(read_calls(ledger.queries, wanted, tally), tally)
        except DatasetError as error:
            if making.loaded.tasks[task].keep_bodies:
                raise
            raise DatasetError(
                f"{error}. Set tasks.{task}.keep_bodies = true and reload the gateway: calls from then on can be used"
            ) from error
    _tell(result, as_json)


@app.command(name="import")
def import_(
    files: list[str] = typer.Argument(
        metavar="FILES…",
        help="JSON Lines, or one array. train=FILE, calibration=FILE and heldout=FILE say where its rows stand.",
    ),
    task: str = _TASK,
    format_: str = typer.Option(
        "", "--format", help="plain, batch, log, conversations, litellm, langfuse; default: as it looks."
    ),
    reference: str = typer.Option(
        "", help="Plain rows: the field with the right answer; default: label, fields or references."
    ),
    input_: str = typer.Option(
        "", "--input", help="Plain rows: the field with what was asked; default: input or messages."
    ),
    id_field: str = typer.Option("", "--id", help="The field that names a row; default: id."),
    group: str = typer.Option("", help="The field whose equal values stay together; default: group."),
    at: str = typer.Option("", help="The field with the time; default: at, at_ms or timestamp."),
    slice_: list[str] = typer.Option(
        [], "--slice", help="A field by which results are told apart; again for several."
    ),
    split_field: str = typer.Option("", help="The field that says train, calibration or heldout."),
    provider: str = typer.Option("", help="Whose model answered, where the files do not say it."),
    skip_bad: bool = typer.Option(
        False, "--skip-bad", help="Leave malformed rows out and count them, instead of ending at the first."
    ),
    split: str = _SPLIT,
    heldout: int | None = _HELDOUT,
    by_time: bool = _BY_TIME,
    group_by: str = _GROUP_BY,
    near: float = _NEAR,
    same: float = _SAME,
    seed: int = _SEED,
    parent: str = _PARENT,
    note: str = _NOTE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Make a dataset from files: plain rows, batches and logs of OpenAI and Anthropic, LiteLLM, Langfuse."""
    from smallfirst.datasets.formats import named_file, read_files
    from smallfirst.datasets.mapping import Mapping
    from smallfirst.datasets.reference import FIELD_BY_KIND, kind_of
    from smallfirst.datasets.row import Tally

    rule = rule_of(split, heldout, by_time=by_time, group_by=group_by, alike=(near, same), seed=seed)
    making = Making(config, task, rule, parent, note)
    mapping = Mapping(
        input=input_,
        reference=reference,
        id=id_field,
        group=group,
        split=split_field,
        at=at,
        slices=tuple(slice_),
        provider=provider,
    )
    tally = Tally(skip_bad=skip_bad)
    usual = FIELD_BY_KIND[kind_of(making.loaded.tasks[task].contract)]
    rows = read_files([named_file(file) for file in files], mapping, usual, tally, named=format_)
    _tell(making.make(rows, tally), as_json)


app.command()(distil)
app.command()(synthesise)


@app.command(name="list")
def list_(
    task: str | None = typer.Option(None, "--task", "-t", help="Only datasets of this task."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """The datasets, newest first; those made from calls that were erased since are marked."""
    from smallfirst.cli.dataset_shown import show_list
    from smallfirst.datasets.store import Datasets

    place = state_of(state, config)
    datasets = Datasets(place)
    listed = datasets.list(task)
    erased = _erased(place, [datasets.open(one.id) for one in listed])
    if as_json:
        rows = [msgspec.to_builtins(one) | {"erased_calls": erased[one.id]} for one in listed]
        typer.echo(msgspec.json.encode(rows).decode())
        return
    show_list(listed, erased, Console())


@app.command()
def show(
    name: str = _NAME,
    task: str | None = _OF_TASK,
    example: str = typer.Option(
        "", help="Show this train or calibration example whole (its id, or the beginning of one)."
    ),
    picture: Path | None = typer.Option(None, help="Also draw it: FILE.svg or FILE.png."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Labels, lengths, duplicates, groups, and how the traffic drifted since the last version."""
    from smallfirst.cli.dataset_shown import show_dataset
    from smallfirst.datasets.drift import drift
    from smallfirst.datasets.store import Datasets

    datasets = Datasets(state_of(state, config))
    dataset = datasets.open(name, task=task)
    if example:
        _show_example(dataset, example)
        return
    manifest = dataset.manifest
    earlier = _earlier(datasets, dataset)
    found = [] if earlier is None else drift(manifest, earlier.manifest)
    if picture is not None:
        from smallfirst.datasets.picture import draw

        draw(picture, manifest)
    if as_json:
        told = {"id": dataset.id, "manifest": manifest, "made": datasets.made(dataset.id), "drift": found}
        told["drift_against"] = None if earlier is None else earlier.id
        typer.echo(msgspec.json.encode(told).decode())
        return
    show_dataset(dataset, datasets.made(dataset.id), found, earlier, Console())


@app.command()
def diff(
    before: str = typer.Argument(metavar="A", help="The earlier one: a hash or the beginning of one."),
    now: str = typer.Argument(metavar="B", help="The later one."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Who came, who went, who moved between parts, and how the traffic drifted."""
    from smallfirst.cli.dataset_shown import show_difference
    from smallfirst.datasets.difference import difference
    from smallfirst.datasets.store import Datasets

    datasets = Datasets(state_of(state, config))
    found = difference(datasets.open(now), datasets.open(before))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    show_difference(found, Console())


@app.command()
def export(
    name: str = _NAME,
    out: Path = typer.Option(..., "--out", "-o", help="The file to write, JSON Lines."),
    split: str = typer.Option("train", help="train or calibration; the held-out part is not exported."),
    format_: str = typer.Option(
        "plain", "--format", help="plain, openai (fine-tuning), trl (prompt and completion)."
    ),
    instructions: bool = typer.Option(
        False,
        "--instructions",
        help="Put the task's instructions before conversations without a system prompt.",
    ),
    task: str | None = _OF_TASK,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Write the train or the calibration part for another tool."""
    from smallfirst.config import find, load
    from smallfirst.datasets.export import exported
    from smallfirst.datasets.store import Datasets
    from smallfirst.errors import DatasetError

    dataset = Datasets(state_of(None, config)).open(name, task=task)
    told = ""
    if instructions:
        known = load(find(config)).tasks.get(dataset.manifest.task)
        told = (known.instructions or "").strip() if known is not None else ""
    rows = exported(dataset.examples(split), format_, instructions=told)  # pyright: ignore[reportArgumentType] (checked there)
    if not out.parent.is_dir():
        raise DatasetError(f"--out {out}: there is no folder {out.parent}")
    partial = out.with_name(f".{out.name}.partial")
    count = 0
    try:
        with partial.open("wb") as file:
            partial.chmod(0o600)
            for row in rows:
                file.write(row)
                count += 1
        partial.replace(out)
    except BaseException:  # a full disk, Ctrl-C: nothing half is left behind
        partial.unlink(missing_ok=True)
        raise
    if as_json:
        typer.echo(msgspec.json.encode({"out": str(out), "rows": count}).decode())
        return
    Console().print(f"{out}: {count:,} {split} examples", highlight=False)


@app.command()
def remove(
    name: str = typer.Argument(metavar="DATASET", help="A hash or the beginning of one."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
) -> None:
    """Delete a dataset for good, for example because calls that it was made from were erased."""
    from smallfirst.datasets.store import Datasets

    datasets = Datasets(state_of(state, config))
    found = datasets.find(name)
    if not yes:
        typer.confirm(f"Delete dataset {found[:12]} for good? This cannot be undone.", abort=True)
    datasets.remove(found)
    Console().print(f"removed {found[:12]}", highlight=False)


def _ms(text: str | None, option: str) -> int | None:
    return None if text is None else int(moment(text, option=option).timestamp() * _MS_PER_S)


def _tell(result: Result, as_json: bool) -> None:
    from smallfirst.cli.dataset_shown import show_result

    if as_json:
        told = {"id": result.id, "new": result.new, "manifest": result.manifest}
        typer.echo(msgspec.json.encode(told).decode())
        return
    show_result(result, Console())


def _earlier(datasets: Datasets, dataset: Dataset) -> Dataset | None:
    """What drift is told against: the parent, else the version of the task that was made last before this one."""
    listed = datasets.list(dataset.manifest.task)
    names = [one.id for one in listed]
    if dataset.manifest.parent in names:
        return datasets.open(dataset.manifest.parent)
    older = names[names.index(dataset.id) + 1 :]
    return datasets.open(older[0]) if older else None


def _erased(state: Path, found: list[Dataset]) -> dict[str, int]:
    """How many calls of each dataset were erased; none where there is no ledger."""
    from smallfirst.datasets.erased import erased_calls
    from smallfirst.ledger import Ledger
    from smallfirst.ledger.store import FILE

    if not found or not (state / FILE).exists():
        return dict.fromkeys((one.id for one in found), 0)
    with Ledger.read(state) as ledger:
        return {one.id: erased_calls(one, ledger.queries) for one in found}


def _show_example(dataset: Dataset, prefix: str) -> None:
    from smallfirst.errors import DatasetError

    for split in ("train", "calibration"):
        for one in dataset.examples(split):
            if one.id.startswith(prefix):
                typer.echo(msgspec.json.format(msgspec.json.encode(one)).decode())
                return
    raise DatasetError(
        f"no train or calibration example of dataset {dataset.id[:12]} begins with {prefix!r} (held-out examples are not shown)"
    )
