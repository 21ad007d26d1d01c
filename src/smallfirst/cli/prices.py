"""`smallfirst prices`: what models cost, on which day, and what they can do."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.table import Table
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.pricing import Price
    from smallfirst.pricing.catalogue import Catalogue, Row

app = typer.Typer(
    help="Prices, context windows and capabilities of models, with the date of each.", no_args_is_help=True
)
_CONFIG = typer.Option(
    None, "--config", "-c", help="Show this configuration's models too; default: the one found as elsewhere."
)
_ON = typer.Option(None, metavar="YYYY-MM-DD", help="At the prices of this day (UTC); default: today.")
_JSON = typer.Option(False, "--json", help="Print JSON; money is in decimal strings.")
_PROSE = {True: "yes", False: "no", None: "?"}


@app.command(name="list")
def list_(
    provider: str | None = typer.Option(
        None, help="Only this provider: its name in genai-prices or the configuration."
    ),
    model: str = typer.Option("*", metavar="GLOB", help="Only models whose name is like this: 'claude-*'."),
    on: str | None = _ON,
    config: Path | None = _CONFIG,
    as_json: bool = _JSON,
) -> None:
    """List models and their prices, in US dollars per million tokens."""
    from smallfirst.pricing.catalogue import row_json

    catalogue = _catalogue(config, on)
    rows = list(catalogue.rows(provider=provider, model=model))
    if as_json:
        _print_json({"on": catalogue.on, "models": [row_json(row, today=catalogue.today) for row in rows]})
        return
    table = Table("model", "provider", *_PRICE_COLUMNS, *_ABILITY_COLUMNS, "price of", "note")
    for row in rows:
        table.add_row(_name(row), row.provider, *_prices(row), *_abilities(row), *_dated(row, catalogue))
    _print(table, rows, catalogue)


@app.command()
def compare(
    models: list[str] | None = typer.Argument(
        None,
        help="Configured names, PROVIDER/ID or ids; default: current models of nine families.",
        show_default=False,
    ),
    tokens_in: int = typer.Option(800, min=0, help="Tokens that a call reads, none of them cached."),
    tokens_out: int = typer.Option(200, min=0, help="Tokens that a call writes, reasoning included."),
    on: str | None = _ON,
    config: Path | None = _CONFIG,
    as_json: bool = _JSON,
) -> None:
    """Compare what one call, and a million, cost at each model, cheapest first."""
    from smallfirst.pricing.catalogue import by_cost, cost_json, row_json

    catalogue = _catalogue(config, on)
    chosen = [_find(catalogue, name) for name in models] if models else []
    rows = by_cost(
        chosen or [*catalogue.configured(), *catalogue.families()],
        input_tokens=tokens_in,
        output_tokens=tokens_out,
    )
    if as_json:
        shown = [
            row_json(row, today=catalogue.today)
            | {"cost": cost_json(row, input_tokens=tokens_in, output_tokens=tokens_out)}
            for row in rows
        ]
        _print_json({"on": catalogue.on, "models": shown})
        return
    table = Table(
        "model", "provider", "a call", "a million", *_PRICE_COLUMNS, *_ABILITY_COLUMNS, "price of", "note"
    )
    table.title = f"a call of {tokens_in:,} tokens in, {tokens_out:,} out; dollars per million tokens"
    for row in rows:
        cells = (*_costs(row, tokens_in, tokens_out), *_prices(row), *_abilities(row))
        table.add_row(_name(row), row.provider, *cells, *_dated(row, catalogue))
    _print(table, rows, catalogue)


_PRICE_COLUMNS = ("in", "cached", "written", "out")
_ABILITY_COLUMNS = ("context", "tools", "images", "schema")


def _catalogue(path: Path | None, on: str | None) -> Catalogue:
    from smallfirst.pricing.catalogue import Catalogue

    today = datetime.datetime.now(datetime.UTC).date()
    try:
        day = datetime.date.fromisoformat(on) if on is not None else today
    except ValueError:
        raise typer.BadParameter(f"expected a day as YYYY-MM-DD, not {on!r}", param_hint="--on") from None
    return Catalogue(found_config(path), on=day, today=today)


def found_config(path: Path | None) -> Config | None:
    """The configuration that is named or found, None where there is none: prices can be read without."""
    from smallfirst.config import find, load
    from smallfirst.config.load import FILE_NAME, VARIABLE

    if path is None and not os.environ.get(VARIABLE) and not Path(FILE_NAME).is_file():
        return None
    return load(find(path))


def _find(catalogue: Catalogue, name: str) -> Row:
    row = catalogue.find(name)
    if row is not None:
        return row
    near = catalogue.nearest(name)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise typer.BadParameter(f"no model {name!r} in the configuration or the price table{hint}")


def _name(row: Row) -> str:
    return f"[bold]{escape(row.model)}[/]" if row.configured else escape(row.model)


def _prices(row: Row) -> list[str]:
    from smallfirst.pricing.catalogue import usd_per_million

    if row.hourly_usd is not None:
        return [f"${row.hourly_usd} an hour", "", "", ""]
    if row.price is None:
        return ["unknown"] * 4
    price = row.price
    more = "+" if price.tiers else ""
    rates = (price.input, price.cache_read, price.cache_write, price.output)
    return [usd_per_million(rate) + more for rate in rates]


def _costs(row: Row, tokens_in: int, tokens_out: int) -> list[str]:
    from smallfirst.pricing.catalogue import MILLION

    if row.hourly_usd is not None:
        return ["by the hour", ""]
    nusd = row.cost_nusd(input_tokens=tokens_in, output_tokens=tokens_out)
    return [format_usd(nusd), format_usd(None if nusd is None else nusd * MILLION)]


def _abilities(row: Row) -> list[str]:
    context = f"{row.context_tokens:,}" if row.context_tokens else "?"
    known = row.capabilities
    if known is None:
        return [context, "?", "?", "?"]
    return [context, _PROSE[known.tools], _PROSE[known.vision], _PROSE[known.structured_output]]


def _dated(row: Row, catalogue: Catalogue) -> list[str]:
    """The day of a price (since when it holds, and of when the table is), and what is to be said of it."""
    from smallfirst.pricing import staleness

    price = row.price
    if price is None:
        return ["", ""]
    since = f"since {price.effective}" if price.effective else ""
    checked = f"table of {price.checked}" if price.checked else ""
    stale = staleness(price, catalogue.today) is not None
    days = ", ".join(part for part in (since, checked) if part)
    return [f"[yellow]{days} (stale)[/]" if stale else days, escape(_note(row, price))]


def _note(row: Row, price: Price) -> str:
    longer = f"+ over {price.tiers[0].above_tokens:,} tokens dearer" if price.tiers else ""
    of_model = row.capabilities.note if row.capabilities is not None else ""
    return "; ".join(part for part in (longer, price.note, of_model) if part)


def _print(table: Table, rows: Sequence[Row], catalogue: Catalogue) -> None:
    from smallfirst.pricing import staleness

    if read := {row.capabilities.checked for row in rows if row.capabilities and row.capabilities.checked}:
        table.caption = f"? is unknown. Abilities as read on {max(read)}; --json names the sources."
    Console().print(table)
    err = Console(stderr=True)
    if not rows:
        err.print("no such models", highlight=False)
    stale: dict[datetime.date | None, str] = {}
    for row in rows:
        if row.price is not None and (warning := staleness(row.price, catalogue.today)) is not None:
            stale.setdefault(row.price.checked, warning)
    for warning in stale.values():
        err.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False, soft_wrap=True)


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())
