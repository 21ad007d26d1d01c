"""`smallfirst config`: check, schema, diff, show."""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.config.finding import Finding, Surroundings, error, warning
from smallfirst.config.schema import Config

app = typer.Typer(
    help="smallfirst.toml: what is wrong in it, what changed, what is in effect.", no_args_is_help=True
)
_CONFIG = typer.Option(
    None, "--config", "-c", help="The configuration; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
)
_JSON = typer.Option(False, "--json", help="Print JSON.")
_STYLES = {
    "error": "bold red",
    "warning": "yellow",
    "note": "dim",
    "reload": "green",
    "release": "yellow",
    "restart": "red",
}
_MEANS = {
    "reload": "SIGHUP applies it",
    "release": "served after `smallfirst release build` and loading that release",
    "restart": "served after a restart",
}


@app.command()
def check(
    config: Path | None = _CONFIG,
    secrets: bool = typer.Option(True, help="Look whether the variables that env:NAME names are set."),
    as_json: bool = _JSON,
) -> None:
    """Say what is wrong with the configuration, and what will surprise you.

    Exit status 1 if there is an error.
    """
    from smallfirst.config import find, load
    from smallfirst.config.check import check as check_config

    path = find(config)
    loaded = load(path)
    doubt, unreadable = _price_doubt(loaded)
    found = check_config(loaded, Surroundings(environ=os.environ if secrets else None, price_doubt=doubt))
    known = {finding.path for finding in found}
    found = [*(finding for finding in unreadable if finding.path not in known), *found]
    errors = sum(finding.level == "error" for finding in found)
    if not errors:  # a file with errors serves nothing
        found += _unserved(path, loaded)
    if as_json:
        typer.echo(msgspec.json.encode({"file": str(path), "ok": not errors, "findings": found}).decode())
    else:
        out = Console(highlight=False, soft_wrap=True)
        for finding in found:
            level = f"[{_STYLES[finding.level]}]{finding.level}[/]"
            out.print(f"{level} [bold]{escape(finding.path)}[/]: {escape(finding.message)}")
        counts = Counter(finding.level for finding in found)
        said = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items())
        out.print(f"{escape(str(path))}: {said or 'in order'}")
    if errors:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of smallfirst.toml, for editors."""
    from smallfirst.config.json_schema import json_schema

    typer.echo(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode())


@app.command()
def diff(
    old: Path = typer.Argument(help="A configuration."),
    new: Path | None = typer.Argument(
        None, help="Another; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
    ),
    as_json: bool = _JSON,
) -> None:
    """Say what differs between two configurations, and what it takes for each difference to be served."""
    from smallfirst.config import find, load
    from smallfirst.config.diff import diff as differences

    changes = differences(load(find(old)), load(find(new)))
    if as_json:
        typer.echo(msgspec.json.encode({"changes": changes}).decode())
        return
    out = Console(highlight=False, soft_wrap=True)
    if not changes:
        out.print("nothing differs")
    for kind, means in _MEANS.items():
        lines = [str(change) for change in changes if change.kind == kind]
        if lines:
            out.print(f"[{_STYLES[kind]}]{kind}[/] ({means})")
        for line in lines:
            out.print(f"  {escape(line)}")


@app.command()
def show(config: Path | None = _CONFIG, as_json: bool = _JSON) -> None:
    """Print the configuration in effect: defaults written out, secrets as the references they are."""
    from smallfirst.config import find, load, toml_text
    from smallfirst.config.shown import shown

    tables = shown(load(find(config)))
    if as_json:
        typer.echo(msgspec.json.encode(tables).decode())
    else:
        typer.echo(toml_text.write(tables), nl=False)


def _unserved(path: Path, config: Config) -> list[Finding]:
    """Why what is live, or in canary, could not be served by this configuration: above all a verdict reached by another rule."""
    from smallfirst.errors import SmallfirstError
    from smallfirst.releases import load_serving, read_channels

    state = (path.parent / config.storage.path).resolve()
    found = []
    try:
        channels = read_channels(state)
    except SmallfirstError as unreadable:
        return [warning("storage.path", str(unreadable))]
    canary = [("canary", channels.canary.as_live)] if channels.canary else []
    for name, live in [("live", channels.live), *canary]:
        try:
            load_serving(live, state=state, config=config)
        except SmallfirstError as refusal:
            found.append(warning("tasks", f"what is {name} cannot be served by this file: {refusal}"))
    return found


def _price_doubt(config: Config) -> tuple[Callable[[str, str], str | None] | None, list[Finding]]:
    """What is wrong with a model's price, from the price book.

    An error where the book cannot read its part of the file.
    """
    from smallfirst.errors import ConfigError
    from smallfirst.pricing import PriceBook, staleness

    today = datetime.datetime.now(datetime.UTC).date()
    try:
        book = PriceBook(config)
    except ConfigError as wrong:
        return None, [error(wrong.path, str(wrong).removeprefix(f"{wrong.path}: "))]

    def doubt(model: str, provider: str) -> str | None:
        price = book.at(model, provider, today)
        if price is None:
            return "its price is unknown, which is not zero; [[models.NAME.prices]] or hourly_usd gives one"
        return staleness(price, today)

    return doubt, []
