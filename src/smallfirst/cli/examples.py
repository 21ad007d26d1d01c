"""`smallfirst examples`: the indexes of examples that models are shown: list them, look into one, erase from one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.state import CONFIG, JSON, minute, state_of
from smallfirst.cli.table import Table, print_list

app = typer.Typer(
    help="Examples that models are shown: `smallfirst train TASK --method retrieval` makes an index of them.",
    no_args_is_help=True,
)
_INDEX = typer.Argument(help="An index's hash, or the beginning of it.")


@app.command(name="list")
def list_(config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """The indexes that were made here, newest first."""
    from smallfirst.classify.examples import KIND
    from smallfirst.classify.store import Artifacts

    found = Artifacts(state_of(None, config)).list(kind=KIND)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    table = Table(
        Column("index", no_wrap=True),
        "task",
        "made (UTC)",
        "examples",
        "dataset",
        "embedder",
        "alike",
        "note",
    )
    for item in found:
        told = item.described.report
        alike = told.get("nearest_same_answer")
        table.add_row(
            item.sha256[:12],
            escape(item.described.task),
            minute(item.described.at_ms),
            f"{told.get('examples', 0):,}",
            str(told.get("dataset", ""))[:12],
            escape(str(told.get("embedder", ""))),
            "–" if alike is None else f"{alike:.1%}",
            escape(item.described.note),
        )
    print_list(table, none="no index yet; `smallfirst train TASK --method retrieval` makes one")


@app.command()
def show(
    index: str = _INDEX,
    tenant: str = typer.Option(
        "", help="This tenant's examples; default: those that are nobody's in particular."
    ),
    limit: int = typer.Option(20, min=1, help="At most so many."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """The examples of an index, with their texts."""
    from smallfirst.classify import artifact
    from smallfirst.classify.examples import read_header, read_rows
    from smallfirst.classify.store import Artifacts

    artifacts = Artifacts(state_of(None, config))
    path = artifacts.path(artifacts.find(index))
    found = artifact.read(path)
    header, rows = read_header(found), read_rows(path, found)
    mine = [row for row in rows if row is not None and row.tenant == tenant]
    told = [
        {"id": row.id, "question": row.question, "answer": row.answer, "synthetic": row.synthetic}
        for row in mine[:limit]
    ]
    if as_json:
        erased = rows.count(None)
        plain = {"index": found.sha256, "header": header, "erased": erased, "examples": told}
        typer.echo(msgspec.json.encode(plain).decode())
        return
    out = Console(highlight=False)
    out.print(
        f"index [bold]{found.sha256[:12]}[/] for {escape(header.task)}: {len(rows) - rows.count(None):,} examples, {rows.count(None):,} erased; "
        f"{len(mine):,} {'of ' + escape(tenant) if tenant else 'of nobody in particular'}"
    )
    table = Table(Column("id", no_wrap=True), "said", "answer")
    for row in mine[:limit]:
        synthetic = " (synthetic)" if row.synthetic else ""
        table.add_row(escape(row.id) + synthetic, escape(row.question[:200]), escape(row.answer[:80]))
    if mine:
        out.print(table)


@app.command()
def erase(
    index: str = _INDEX,
    name: list[str] = typer.Option(..., "--id", help="The example to erase; again for more."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Erase examples for good, also from the releases that carry the index. Those made from calls go with `smallfirst calls erase`."""
    from smallfirst.classify.store import Artifacts
    from smallfirst.releases.forgetting import forget_named

    state = state_of(None, config)
    sha256 = Artifacts(state).find(index)
    if not yes:
        typer.confirm("Erase for good? This cannot be undone.", abort=True)
    forgotten = forget_named(state, sha256, frozenset(name))
    if as_json:
        typer.echo(msgspec.json.encode({"index": sha256, "erased": forgotten.examples}).decode())
        return
    Console(highlight=False).print(f"erased {forgotten.examples:,} examples from index {sha256[:12]}")
