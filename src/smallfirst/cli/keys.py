"""`smallfirst keys`: make, list and revoke API keys; a running gateway follows within a second."""

from __future__ import annotations

import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst import limits
from smallfirst.cli.state import CONFIG, JSON, STATE, minute, state_of
from smallfirst.cli.table import Table
from smallfirst.errors import ConfigError
from smallfirst.money import format_usd, nusd_from_usd

if TYPE_CHECKING:
    from smallfirst.ledger import StoredKey

app = typer.Typer(help="API keys: shown once, stored as an HMAC.", no_args_is_help=True)


@app.command()
def create(
    name: str = typer.Argument(help="What the key is for; reports and budgets go by it."),
    tenant: str = typer.Option("default", help="Whose calls it makes."),
    budget: str | None = typer.Option(None, metavar="USD", help="At most so many dollars a day (UTC)."),
    budget_per_month: str | None = typer.Option(None, metavar="USD", help="The same a month (UTC)."),
    budget_total: str | None = typer.Option(None, metavar="USD", help="The same ever."),
    requests_per_minute: int | None = typer.Option(
        None, min=1, max=limits.MAX_RATE_PER_MINUTE, metavar="N", help="At most so many calls a minute."
    ),
    tokens_per_minute: int | None = typer.Option(
        None,
        min=1,
        max=limits.MAX_RATE_PER_MINUTE,
        metavar="N",
        help="At most so many tokens a minute, read and written together.",
    ),
    model: list[str] = typer.Option(
        [], help="A model it may ask for; * stands for anything; again for more. Default: all."
    ),
    expires: str | None = typer.Option(None, metavar="YYYY-MM-DD", help="The last day on which it holds."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Make a key and show it, once."""
    from smallfirst.config.schema import Name
    from smallfirst.ledger import open_keys

    for option, value in (("NAME", name), ("--tenant", tenant)):
        try:
            msgspec.convert(value, Name)
        except msgspec.ValidationError:
            raise ConfigError(
                f"{value!r} is no name: letters, digits and . _ - : / @, at most 128", path=option
            ) from None
    keys = open_keys(state_of(state, config))
    try:
        plaintext = keys.create(
            name,
            tenant,
            models=tuple(model),
            expires=_day(expires),
            budget_nusd_per_day=_budget(budget, "--budget"),
            budget_nusd_per_month=_budget(budget_per_month, "--budget-per-month"),
            budget_nusd_total=_budget(budget_total, "--budget-total"),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
    finally:
        keys.close()
    if as_json:
        typer.echo(msgspec.json.encode({"name": name, "tenant": tenant, "key": plaintext}).decode())
        return
    Console(stderr=True).print(
        "This is the key. It is not stored and cannot be shown again:", highlight=False
    )
    typer.echo(plaintext)


@app.command(name="list")
def list_(
    revoked: bool = typer.Option(False, "--all", help="Revoked ones too."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """The keys that `keys create` made. Those in the configuration are its own."""
    from smallfirst.ledger import open_keys

    keys = open_keys(state_of(state, config))
    try:
        found = keys.list() if revoked else keys.load()
    finally:
        keys.close()
    if as_json:
        rows = [
            {field: value for field, value in msgspec.structs.asdict(key).items() if field != "digest"}
            for key in found
        ]
        typer.echo(msgspec.json.encode(rows).decode())
        return
    table = Table("name", "tenant", "key", "budget", "a minute", "models", "expires", "made", "")
    for key in found:
        expires = key.expires.isoformat() if key.expires else "never"
        table.add_row(
            escape(key.name),
            escape(key.tenant),
            f"{key.prefix}…",
            _budgets(key),
            _per_minute(key),
            escape(", ".join(key.models)) or "all",
            expires,
            minute(key.created_ms)[:10],
            _standing(key.revoked_ms, key.expires),
        )
    Console().print(table)


@app.command()
def revoke(
    name: str = typer.Argument(help="The key's name, or how the key begins."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
) -> None:
    """End a key. A running gateway refuses it within a second."""
    from smallfirst.ledger import open_keys

    keys = open_keys(state_of(state, config))
    try:
        key = keys.revoke(name)
    finally:
        keys.close()
    Console().print(f"revoked {escape(key.name)} ({key.prefix}…)", highlight=False)


def _budget(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        nusd = nusd_from_usd(Decimal(text))
    except (InvalidOperation, ValueError):
        raise ConfigError(f"expected dollars, as 5 or 0.25, not {text!r}", path=option) from None
    if nusd < 0:
        raise ConfigError(f"expected a sum of at least 0, not {text}", path=option)
    return nusd


def _per_minute(key: StoredKey) -> str:
    counts = ((key.requests_per_minute, "requests"), (key.tokens_per_minute, "tokens"))
    return ", ".join(f"{count:,} {what}" for count, what in counts if count is not None)


def _budgets(key: StoredKey) -> str:
    sums = (
        (key.budget_nusd_per_day, "a day"),
        (key.budget_nusd_per_month, "a month"),
        (key.budget_nusd_total, "in all"),
    )
    return ", ".join(f"{format_usd(nusd)} {period}" for nusd, period in sums if nusd is not None)


def _day(text: str | None) -> datetime.date | None:
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"expected a day as 2026-12-31, not {text!r}", path="--expires") from None


def _standing(revoked_ms: int | None, expires: datetime.date | None) -> str:
    if revoked_ms is not None:
        return f"revoked {minute(revoked_ms)}"
    if expires is not None and expires < datetime.datetime.now(datetime.UTC).date():
        return "expired"
    return ""
