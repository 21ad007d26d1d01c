"""`smallfirst bill`: what was spent, on what, what it is compared with, and what the month will come to."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console

from smallfirst.cli.output_file import STDOUT, check_csv, check_picture, write_csv
from smallfirst.cli.reconcile_shown import MAP, PROVIDER, RECONCILE, Account, show_reconciliation
from smallfirst.cli.state import CONFIG, JSON, STATE, config_and_state, moment
from smallfirst.errors import ConfigError, StateError

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.ledger.ledger import LedgerView
    from smallfirst.ledger.reports import Group, Span
    from smallfirst.planning.bill import Bill, Forecast, LimitAhead
    from smallfirst.planning.bill.against_plan import AgainstPlan

_GROUPS = ("task", "model", "key", "tenant", "provider", "day", "week", "month")
_SECONDS_PER_HOUR = 3600
_MONTH = re.compile(r"(\d{4})-(\d{2})")


class Pictures(msgspec.Struct, frozen=True, kw_only=True):
    """Where pictures are to be written; None: not asked for."""

    waterfall: Path | None
    days: Path | None
    forecast: Path | None


def bill(
    by: str = typer.Option(
        "task",
        "--by",
        help=f"One line a: {', '.join(_GROUPS)}; or two of them: tenant,model.",
    ),
    since: str | None = typer.Option(
        None, help="From this hour on (UTC): 2026-11-24, 2026-11-24T08:00, or 7d, 12h."
    ),
    until: str | None = typer.Option(None, help="Up to and without this hour (UTC)."),
    month: str | None = typer.Option(None, metavar="YYYY-MM", help="This month alone, by UTC's days."),
    tenant: str | None = typer.Option(
        None, help="Only this tenant's calls; own models' hours are then left out."
    ),
    task: str | None = typer.Option(None, "--task", "-t", help="Only calls of this task."),
    model: str | None = typer.Option(None, help="Only attempts at this model, and calls that it answered."),
    key: str | None = typer.Option(None, help="Only calls with this key."),
    origin: str | None = typer.Option(
        None, help="Only calls of this origin: client, explore, shadow, spot-check, eval or replay."
    ),
    csv: str | None = typer.Option(
        None, metavar="FILE", help="Write the lines as CSV, `-` to stdout: every figure, in nano-dollars too."
    ),
    picture: Path | None = typer.Option(
        None, metavar="FILE", help="Draw what was saved, step by step: .svg or .png."
    ),
    picture_days: Path | None = typer.Option(
        None, metavar="FILE", help="Draw the spending of each day, by what `--by` names first."
    ),
    picture_forecast: Path | None = typer.Option(
        None, metavar="FILE", help="Draw this month with its forecast."
    ),
    plan: str | None = typer.Option(
        None, metavar="NAME", help="Compare with this forecast of `smallfirst plan --save`."
    ),
    reconcile: Path | None = RECONCILE,
    provider: list[str] | None = PROVIDER,
    columns: list[str] | None = MAP,
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """What was spent, what it is compared with, and what the month will come to."""
    if month is not None:
        since, until = _month(month, since, until)
    of_bill = {"--tenant": tenant, "--task": task, "--model": model, "--key": key, "--origin": origin}
    of_bill |= {"--picture": picture, "--picture-days": picture_days, "--picture-forecast": picture_forecast}
    _go_together(reconcile, of_bill | {"--plan": plan}, {"--provider": provider, "--map": columns})
    if reconcile is not None:
        account = Account(
            file=reconcile,
            providers=tuple(provider or ()),
            columns=tuple(columns or ()),
            since=since,
            until=until,
            csv=csv,
        )
        show_reconciliation(account, state=state, config=config, as_json=as_json)
        return
    from smallfirst.ledger import Ledger
    from smallfirst.ledger.reports import Span

    groups = _groups(by)
    check_csv(csv, as_json=as_json)
    pictures = Pictures(waterfall=picture, days=picture_days, forecast=picture_forecast)
    check_picture(picture, "--picture")
    check_picture(picture_days, "--picture-days")
    check_picture(picture_forecast, "--picture-forecast")
    span = Span(
        since_hour=_hour(since, "--since"),
        until_hour=_hour(until, "--until"),
        tenant=tenant,
        task=task,
        model=model,
        key=key,
        origin=origin,
    )
    if span.since_hour is not None and span.until_hour is not None and span.since_hour >= span.until_hour:
        raise ConfigError(f"ends at {until}, and begins no earlier, at {since}", path="--until")
    settings, place = config_and_state(state, config)
    with Ledger.read(place) as ledger:
        told = _told(ledger, span, groups, settings=settings, plan=plan)
        _draw(ledger, told, pictures)
    if csv is not None:
        from smallfirst.planning.bill.bill_csv import bill_csv

        write_csv(csv, bill_csv(told.bill))
    if as_json:
        typer.echo(msgspec.json.encode(told.builtins()).decode())
    elif csv != STDOUT:
        from smallfirst.cli.bill_shown import show_bill

        show_bill(told.bill, Console(), ahead=told.forecast, limits=told.budgets, against=told.against_plan)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A bill, and what stands beside it: the forecast where the span reaches up to now."""

    bill: Bill
    forecast: Forecast | None
    budgets: list[LimitAhead]
    against_plan: AgainstPlan | None

    def builtins(self) -> dict[str, Any]:
        """As JSON has it: the bill's fields, and the others beside them."""
        beside = {name: msgspec.to_builtins(getattr(self, name)) for name in self.__struct_fields__[1:]}
        return msgspec.to_builtins(self.bill) | beside


def _told(
    ledger: LedgerView, span: Span, groups: tuple[Group, Group | None], *, settings: Config, plan: str | None
) -> Told:
    from smallfirst.planning.bill import forecast, limits_ahead, make_bill

    now = datetime.datetime.now(datetime.UTC)
    saved = None
    if plan is not None:
        from smallfirst.planning.costs.saved import load_plan

        saved = load_plan(ledger.state, plan)
        if saved.task and span.task is None:
            span = msgspec.structs.replace(span, task=saved.task)
    made = make_bill(ledger.reports, span, by=groups[0], then=groups[1])
    if not made.sections and not made.own_models and not ledger.queries.counts().calls:
        raise StateError(f"the ledger in {ledger.state} has no calls")
    against = None
    if saved is not None:
        from smallfirst.planning.bill.against_plan import against_plan

        against = against_plan(ledger.reports, saved, made, now)
    is_open = span.until_hour is None or span.until_hour * _SECONDS_PER_HOUR > now.timestamp()
    whole = not span.asks_for("tenant", "task", "model", "key", "origin")
    limits = _limits(ledger.state, settings) if is_open and whole else []
    return Told(
        bill=made,
        forecast=forecast(ledger.reports, span, now) if is_open else None,
        budgets=limits_ahead(ledger.reports, limits, now),
        against_plan=against,
    )


def _limits(state: Path, settings: Config) -> list[Any]:
    from smallfirst.ledger.keys import load_keys
    from smallfirst.planning.bill.limits import limits_of_month

    return limits_of_month(settings, load_keys(state))


def _groups(by: str) -> tuple[Group, Group | None]:
    """One or two groups. Raises `ConfigError`."""
    names = [name.strip() for name in by.split(",")]
    wrong = next((name for name in names if name not in _GROUPS), None)
    if wrong is not None:
        raise ConfigError(
            f"expected one of {', '.join(_GROUPS)}, or two of them as tenant,model, not {wrong!r}",
            path="--by",
        )
    if len(names) > 2 or len(set(names)) < len(names):
        raise ConfigError(f"expected one group, or two that differ, not {by!r}", path="--by")
    return names[0], names[1] if len(names) > 1 else None  # pyright: ignore[reportReturnType]  (checked above)


def _month(text: str, since: str | None, until: str | None) -> tuple[str, str]:
    """A month's first moment, and that of the next."""
    if since is not None or until is not None:
        raise ConfigError("not beside --since or --until: it is both", path="--month")
    found = _MONTH.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 12 or not 1 <= int(found[1]) < 9999:
        raise ConfigError(f"expected a month as 2026-11, not {text!r}", path="--month")
    year, number = int(found[1]), int(found[2])
    return f"{text}-01", f"{datetime.date(year + number // 12, number % 12 + 1, 1)}"


def _go_together(reconcile: Path | None, of_bill: dict[str, Any], of_account: dict[str, Any]) -> None:
    """Nothing that was asked for is left out in silence. Raises `ConfigError`."""
    for option, given in (of_account if reconcile is None else of_bill).items():
        if given:
            why = "goes with --reconcile alone" if reconcile is None else "not beside --reconcile"
            raise ConfigError(why, path=option)


def _hour(text: str | None, option: str) -> int | None:
    return None if text is None else int(moment(text, option=option).timestamp() // _SECONDS_PER_HOUR)


def _draw(ledger: LedgerView, told: Told, pictures: Pictures) -> None:
    if pictures == Pictures(waterfall=None, days=None, forecast=None):
        return
    from smallfirst.planning.bill.picture import draw_days, draw_forecast, draw_waterfall

    if pictures.waterfall is not None:
        draw_waterfall(pictures.waterfall, told.bill)
    if pictures.days is not None:
        draw_days(pictures.days, ledger.reports, told.bill)
    if pictures.forecast is not None:
        if told.forecast is None:
            raise ConfigError(
                "the span ends before now: there is nothing to forecast", path="--picture-forecast"
            )
        draw_forecast(pictures.forecast, told.forecast)
