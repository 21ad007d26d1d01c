"""`smallfirst budgets`: what is spent of each budget, what the month will come to, which alarms were told, and what is stopped."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.state import CONFIG, JSON, STATE, config_and_state
from smallfirst.cli.stop import show_stops
from smallfirst.cli.table import Table
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.gateway.budget.standing import Standing
    from smallfirst.ledger.ledger import LedgerView
    from smallfirst.planning.bill.forecast import LimitAhead

_NONE = (
    "no budget is configured: `budget = { usd_per_month = 100 }` of a tenant, a key or a task, or at the top"
)

_NEAR = 0.8


def budgets(
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """What is spent of each budget, and what is stopped."""
    from smallfirst.stops import read_stops

    loaded, place = config_and_state(state, config)
    stops = read_stops(place)
    found, ahead = _found(loaded, place)
    if as_json:
        told = {"budgets": [_plain(one, ahead.get(_of(one))) for one in found], "stops": stops}
        typer.echo(msgspec.json.encode(told).decode())
        return
    if found:
        Console(highlight=False).print(_table(found, ahead))
    else:
        Console(stderr=True, highlight=False).print(_NONE)
    show_stops(stops)


def _found(loaded: Config, place: Path) -> tuple[list[Standing], dict[tuple[str, str], LimitAhead]]:
    """Where every budget stands, and when those of months will be reached."""
    from smallfirst.gateway.budget.standing import standings
    from smallfirst.ledger import Ledger
    from smallfirst.ledger.keys import load_keys
    from smallfirst.ledger.store import FILE

    at_ms = int(time.time() * 1000)
    if not (place / FILE).exists():  # nothing was served yet
        return standings(loaded, (), None, at_ms=at_ms), {}
    with Ledger.read(place) as ledger:
        found = standings(loaded, load_keys(place), ledger.queries, at_ms=at_ms)
        return found, _ahead(found, ledger)


def _ahead(found: list[Standing], ledger: LedgerView) -> dict[tuple[str, str], LimitAhead]:
    """When budgets of months will be reached, by whose they are."""
    from smallfirst.planning.bill.forecast import Limit, limits_ahead

    wanted = [
        Limit(scope=one.scope, name=one.name, nusd=one.limit_nusd)  # pyright: ignore[reportArgumentType]
        for one in found
        if one.period == "month" and not one.frontier
    ]
    now = datetime.datetime.now(datetime.UTC)
    return {(one.limit.scope, one.limit.name): one for one in limits_ahead(ledger.reports, wanted, now)}


def _of(one: Standing) -> tuple[str, str]:
    """By what its forecast is found; there is none but of whole months' budgets."""
    return (one.scope, one.name) if one.period == "month" and not one.frontier else ("", "")


def _plain(one: Standing, ahead: LimitAhead | None) -> dict[str, Any]:
    told = msgspec.to_builtins(one) | {"share": one.share}
    if ahead is not None:
        told["forecast"] = {
            name: value for name, value in msgspec.to_builtins(ahead).items() if name != "limit"
        }
    return told


def _table(found: list[Standing], ahead: dict[tuple[str, str], LimitAhead]) -> Table:
    right = [Column(name, justify="right") for name in ("spent", "limit", "share")]
    table = Table("budget", "period", *right, "then", "alarms", "forecast")
    for one in found:
        owner = "the gateway" if one.scope == "gateway" else f"{one.scope} {escape(one.name)}"
        coming = ahead.get(_of(one))
        colour = "red" if one.share >= 1 else "yellow" if one.share >= _NEAR else ""
        share = f"{one.share:.0%}"
        table.add_row(
            owner + (", frontier" if one.frontier else ""),
            "ever" if one.period == "total" else one.period,
            format_usd(one.spent_nusd),
            format_usd(one.limit_nusd),
            f"[{colour}]{share}[/]" if colour else share,
            "small rungs" if one.at_limit == "small" else "",
            _alarms(one),
            "" if coming is None else _coming(coming),
        )
    return table


def _alarms(one: Standing) -> str:
    told = []
    for alarm in one.alarms:
        text = "refused" if alarm.refused else f"{alarm.at:.0%}"
        if alarm.delivery == "failed":
            text += " [red](webhook failed)[/]"
        told.append(text)
    return ", ".join(told)


def _coming(ahead: LimitAhead) -> str:
    """The forecast in a few words."""
    if ahead.total_nusd is None:
        days = "day" if ahead.missing_days == 1 else "days"
        return f"[dim]{ahead.missing_days} more {days} needed[/]"
    total = f"about {format_usd(ahead.total_nusd)}"
    if ahead.reached_on is not None:
        return f"{total}, reached {ahead.reached_on}"
    return f"{total}, reached {ahead.earliest_on} at the earliest" if ahead.earliest_on else total
