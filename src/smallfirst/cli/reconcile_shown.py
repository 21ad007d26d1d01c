"""`smallfirst bill --reconcile FILE`: a provider's own account against the ledger, and what is shown of it."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.output_file import STDOUT, check_csv
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import moment, state_of
from smallfirst.cli.table import Table
from smallfirst.errors import ConfigError

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.planning.reconcile import Asked, Differing, Reconciliation
    from smallfirst.planning.reconcile.tally import Told

RECONCILE = typer.Option(
    None,
    "--reconcile",
    metavar="FILE",
    help="Hold a provider's usage or cost export (CSV, JSON) against the ledger; exit status 1 if they differ.",
)
PROVIDER = typer.Option(
    None,
    "--provider",
    help="With --reconcile: whose export it is, by its name in the configuration. May be given several times.",
)
MAP = typer.Option(
    None,
    "--map",
    metavar="FIELD=COLUMN",
    help="With --reconcile, for a table that is not known: at, model, request_id, cost_usd, prompt_tokens, … May be given several times.",
)
_SHOWN = 20
_CALLS_SHOWN = 3
_ENOUGH_DIGITS = 16  # of a call's id: `smallfirst calls show` takes its beginning
_DIFFERS = 1
_INTERRUPTED = 130


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account that is meant, by the options of the command. `csv` is a file, or `-` for stdout."""

    file: Path
    providers: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    csv: str | None = None


def show_reconciliation(wanted: Account, *, state: Path | None, config: Path | None, as_json: bool) -> None:
    """Compares and prints. Ends the command with 1 where the two differ, with 130 after Ctrl-C. Raises `ConfigError`, `StateError`."""
    from smallfirst.ledger import Ledger
    from smallfirst.planning.reconcile import Asked, reconcile

    check_csv(wanted.csv, as_json=as_json)
    asked = Asked(
        file=wanted.file,
        providers=wanted.providers,
        since_ms=_ms(wanted.since, "--since"),
        until_ms=_ms(wanted.until, "--until"),
        columns=wanted.columns,
    )
    place, settings = state_of(state, config), _config_of(config)
    try:
        with Ledger.read(place) as ledger, _csv_of(wanted, asked) as told, progress_bar() as progress:
            found = reconcile(ledger, asked, config=settings, told=told, progress=progress)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    elif wanted.csv != STDOUT:
        _print(found, Console())
    if not found.equal:
        raise typer.Exit(_DIFFERS)


def _ms(text: str | None, option: str) -> int | None:
    return None if text is None else int(moment(text, option=option).timestamp() * 1000)


def _config_of(config: Path | None) -> Config | None:
    """What models are called and cost; None where there is no configuration."""
    from smallfirst.config import find, load

    try:
        path = find(config)
    except ConfigError:
        if config is not None:
            raise
        return None
    return load(path)


@contextmanager
def _csv_of(wanted: Account, asked: Asked) -> Iterator[Told | None]:
    from smallfirst.planning.reconcile.differences_csv import differences_csv
    from smallfirst.planning.reconcile.statement import Statement

    if wanted.csv is None:
        yield None
        return
    classes = tuple(Statement(asked.file, asked.columns).format.classes)
    target = sys.stdout if wanted.csv == STDOUT else Path(wanted.csv)
    try:
        with differences_csv(target, classes) as told:
            yield told
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", path=str(wanted.csv)) from error


def _print(found: Reconciliation, out: Console) -> None:
    span = f"{_moment(found.since_ms)} to {_moment(found.until_ms)} UTC, by {found.by}"
    of = ", ".join(found.providers) or ("simulated providers" if found.simulated else "all providers")
    out.print(
        f"[bold]{escape(found.title)}[/] against the ledger's attempts of {escape(of)}", highlight=False
    )
    out.print(span, highlight=False)
    out.print(_totals(found))
    out.print(_verdict(found), highlight=False)
    if found.causes:
        out.print(_causes(found))
    for cause in found.causes:
        for said in cause.what:
            out.print(f"  {escape(said)}", highlight=False)
    if found.differing:
        out.print(_differing(found))
    for remark in found.remarks:
        out.print(f"[dim]{escape(remark)}[/]", highlight=False)


def _totals(found: Reconciliation) -> Table:
    table = Table("")
    for head in ("theirs", "ours", "difference"):
        table.add_column(head, justify="right")
    lines = "requests" if found.by == "request" else "lines, attempts"
    table.add_row(lines, f"{found.theirs.count:,}", f"{found.ours.count:,}", "")
    if found.theirs.usd is not None:
        table.add_row("dollars", _usd(found.theirs.usd), _usd(found.ours.usd), _apart(found.difference_usd))
    if (reported := found.reported) is not None:
        apart_usd = reported.theirs_usd - reported.ours_usd
        head = f"of them {reported.count:,} whose usage was reported"
        table.add_row(head, _usd(reported.theirs_usd), _usd(reported.ours_usd), _apart(apart_usd))
    for name, count in found.theirs.tokens.items():
        apart = found.difference_tokens[name]
        table.add_row(
            f"{name.replace('_', ' ')} tokens",
            f"{count:,}",
            f"{found.ours.tokens[name]:,}",
            f"{apart:+,}" if apart else "0",
        )
    return table


def _verdict(found: Reconciliation) -> str:
    estimated = ""
    if found.ours_estimated:
        estimated = f" Of ours {found.ours_estimated:,} attempts, {_usd(found.ours_estimated_usd)}, are estimated: their usage was not reported."
    if found.ours_unknown:
        estimated += f" {found.ours_unknown:,} attempts of ours have no known price."
    if found.equal:
        rounded = any(cause.kind == "rounding" for cause in found.causes)
        return f"[green]The same{', but for rounding' if rounded else ', to the last digit'}.[/]{estimated}"
    return f"[bold]They differ.[/]{estimated}"


def _causes(found: Reconciliation) -> Table:
    from smallfirst.planning.reconcile import MEANINGS

    table = Table("cause", title="what differs, theirs less ours")
    for head in ("requests" if found.by == "request" else "days", "theirs", "ours", "difference", "tokens"):
        table.add_column(head, justify="right")
    for cause in found.causes:
        tokens = sum(cause.tokens.values())
        table.add_row(
            MEANINGS[cause.kind],
            f"{cause.count:,}",
            _usd(cause.theirs_usd),
            _usd(cause.ours_usd),
            _apart(cause.difference_usd),
            f"{tokens:+,}" if tokens else "",
        )
    return table


def _differing(found: Reconciliation) -> Table:
    shown = found.differing[:_SHOWN]
    more = len(found.differing) - len(shown) + found.left_out
    table = Table("at", "model", "why", title="the dearest of them" if more else "which")
    table.add_column("difference", justify="right", no_wrap=True)
    for each in shown:
        table.add_row(
            each.at.replace("T", " ")[:19],
            escape(each.model) or "(all models)",
            escape(_why(each)),
            _apart(each.difference_usd)
            if found.theirs.usd is not None
            else f"{sum(each.tokens.values()):+,} tokens",
        )
    if more:
        table.caption = f"and {more:,} more: --csv FILE has all of them"
    return table


def _why(each: Differing) -> str:
    """The cause, their line and our call, so that both can be found again."""
    calls = (
        [f"{each.call[:_ENOUGH_DIGITS]}/{each.seq} {each.status}"]
        if each.call
        else [call[:_ENOUGH_DIGITS] for call in each.calls[:_CALLS_SHOWN]]
    )
    sides = [f"theirs {each.where}" if each.where else "", f"ours {', '.join(calls)}" if calls else ""]
    return "; ".join(filter(None, (each.kind.replace("-", " "), each.what, *sides)))


def _moment(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _usd(amount: Decimal | None) -> str:
    """All digits that it has, down to a nano-dollar."""
    if amount is None:
        return "unknown"
    rounded = round(amount, 9)
    text = f"{rounded:,.9f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"${whole}.{rest:0<2}".replace("$-", "-$")


def _apart(amount: Decimal | None) -> str:
    if amount is None:
        return ""
    return ("+" if amount > 0 else "") + _usd(amount)
