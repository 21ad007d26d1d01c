"""`smallfirst stop`, `resume` and `stops`: the kill switch for money. It works whether a gateway runs or not, and holds over restarts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.state import CONFIG, JSON, STATE, minute, state_of
from smallfirst.cli.table import Table
from smallfirst.errors import ConfigError, StateError

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.stops import Kind, Stop

_TENANT = typer.Option(None, help="The calls of this tenant.")
_KEY = typer.Option(None, help="The calls made with this key.")
_TASK = typer.Option(None, help="The calls of this task.")
_MODEL = typer.Option(None, help="Requests to this model; ladders pass it over.")
_ALL = typer.Option(False, "--all", help="Everything.")


def stop(
    tenant: str | None = _TENANT,
    key: str | None = _KEY,
    task: str | None = _TASK,
    model: str | None = _MODEL,
    everything: bool = _ALL,
    reason: str = typer.Option(..., help="Why: for the ledger and other operators. No client is told."),
    now: bool = typer.Option(False, "--now", help="End calls under way too; what they generated is billed."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Refuse calls until `resume`: those of a tenant, a key or a task, to a model, or all. A running gateway follows within a second."""
    from smallfirst.stops import Stop, change_stops, stopped
    from smallfirst.user import user_name

    kind, name = _scope(tenant, key, task, model, everything)
    if not reason.strip():
        raise ConfigError("say why, for whoever finds the stop", path="--reason")
    place, known = _place(state, config)
    name = _resolved(kind, name, known)
    at_ms = int(time.time() * 1000)
    made = Stop(
        kind=kind,
        name=name,
        reason=reason.strip()[:500],
        by=user_name(),
        since_ms=at_ms,
        cut_ms=at_ms if now else 0,
    )
    _, after = change_stops(place, lambda stops: stopped(stops, made))
    _note(place, "stop", msgspec.to_builtins(made))
    _tell(after, as_json=as_json, doubt=_doubt(kind, name, known, place))


def resume(
    tenant: str | None = _TENANT,
    key: str | None = _KEY,
    task: str | None = _TASK,
    model: str | None = _MODEL,
    everything: bool = typer.Option(False, "--all", help="Lift every stop there is."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Lift a stop. A running gateway follows within a second."""
    from smallfirst.stops import change_stops
    from smallfirst.user import user_name

    kind, name = _scope(tenant, key, task, model, everything)
    place, known = _place(state, config)
    name = _resolved(kind, name, known)
    before, after = change_stops(
        place, lambda stops: () if everything else tuple(one for one in stops if one.scope != (kind, name))
    )
    lifted = [one for one in before if one not in after]
    if not lifted:
        told = "nothing is stopped" if everything else f"{kind} {name!r} is not stopped"
        raise StateError(f"{told}; `smallfirst stops` shows what is")
    for one in lifted:
        _note(place, "resume", {"kind": one.kind, "name": one.name, "by": user_name()})
    _tell(after, as_json=as_json)


def stops(state: Path | None = STATE, config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """What is stopped, since when, by whom and why."""
    from smallfirst.stops import read_stops

    _tell(read_stops(_place(state, config)[0]), as_json=as_json)


def show_stops(found: Sequence[Stop]) -> None:
    """A table of what is stopped; nothing where nothing is."""
    if not found:
        return
    table = Table("stopped", "since (UTC)", "by", "why")
    for one in found:
        what = "[bold red]everything[/]" if one.kind == "all" else f"{one.kind} {escape(one.name)}"
        table.add_row(what, minute(one.since_ms), escape(one.by), escape(one.reason))
    Console(highlight=False).print(table)


def _tell(found: tuple[Stop, ...], *, as_json: bool, doubt: str = "") -> None:
    if doubt:
        Console(stderr=True, highlight=False).print(f"[yellow]{escape(doubt)}[/]")
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    show_stops(found)
    if not found:
        Console(stderr=True, highlight=False).print("nothing is stopped")


def _scope(
    tenant: str | None, key: str | None, task: str | None, model: str | None, everything: bool
) -> tuple[Kind, str]:
    """The one thing that is meant. Raises `ConfigError` where it is none, or several."""
    pairs: tuple[tuple[Kind, str | None], ...] = (
        ("all", "" if everything else None),
        ("tenant", tenant),
        ("key", key),
        ("task", task),
        ("model", model),
    )
    named: list[tuple[Kind, str]] = [(kind, name) for kind, name in pairs if name is not None]
    if len(named) != 1:
        raise ConfigError("give one of --tenant, --key, --task, --model and --all")
    kind, name = named[0]
    if kind != "all" and not name.strip():
        raise ConfigError("a name is expected", path=f"--{kind}")
    return kind, name


def _place(state: Path | None, config: Path | None) -> tuple[Path, Config | None]:
    """The state directory, and the configuration where it can be read: what is wrong with a file must not keep anybody from stopping."""
    from smallfirst.cli.prices import found_config

    if state is None:
        return state_of(None, config), found_config(config)
    try:
        return state, found_config(config)
    except ConfigError:
        return state, None


def _resolved(kind: Kind, name: str, known: Config | None) -> str:
    """The model that an alias stands for; any other name as it is."""
    return known.aliases.get(name, name) if kind == "model" and known is not None else name


def _doubt(kind: Kind, name: str, known: Config | None, place: Path) -> str:
    """What is said where nothing of that name is known: the stop stands all the same."""
    from smallfirst.config.nearest import did_you_mean

    if known is None or kind == "all":
        return ""
    names = _names(kind, known, place)
    if name in names:
        return ""
    return f"the stop stands, but no {kind} {name!r} is known{did_you_mean(name, names)}"


def _names(kind: Kind, known: Config, place: Path) -> set[str]:
    if kind == "task":
        return set(known.tasks)
    if kind == "model":
        return {*known.models, *(relay.prefix for relay in known.relay)}
    from smallfirst.ledger.keys import load_keys
    from smallfirst.ledger.store import FILE

    made = load_keys(place) if (place / FILE).exists() else []
    if kind == "key":
        return {*known.keys, *(key.name for key in made), "local"}
    declared = {key.tenant for key in known.keys.values()} | {key.tenant for key in made}
    return {*known.tenants, *declared, "local"}


def _note(place: Path, kind: str, detail: dict[str, Any]) -> None:
    """An event of the ledger. What is stopped is stopped, also where its disk is full."""
    from smallfirst.ledger.notes import Notes

    try:
        with Notes(place) as notes:
            notes.event(kind, detail)
    except StateError as error:
        Console(stderr=True, highlight=False).print(
            f"[yellow]it holds, but is not in the ledger: {escape(str(error))}[/]"
        )
