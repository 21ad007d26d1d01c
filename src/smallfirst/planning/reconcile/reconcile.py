"""A provider's own account held against the ledger: do they say the same, and if not, which calls are behind it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import localcontext
from pathlib import Path

import msgspec

from smallfirst.config.schema import Config
from smallfirst.errors import ConfigError
from smallfirst.ledger import LedgerView
from smallfirst.ledger.attempt_queries import AttemptQueries
from smallfirst.ledger.rollups import MS_PER_HOUR
from smallfirst.money import format_usd
from smallfirst.planning.reconcile.books import Books, Scope
from smallfirst.planning.reconcile.by_cell import compare_cells
from smallfirst.planning.reconcile.by_request import Progress, join
from smallfirst.planning.reconcile.result import Reconciliation, Reported, Side, nusd
from smallfirst.planning.reconcile.statement import Statement
from smallfirst.planning.reconcile.tally import Told
from smallfirst.planning.reconcile.their_price import PriceOf
from smallfirst.pricing import Price, PriceBook

_DIGITS = 120  # exact for any sum of amounts that `Row.amount` takes


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: the account's file, whose of our providers it is (none: found out), the span in Unix milliseconds (none: the account's own),
    and `FIELD=COLUMN` for a table that is not known.
    """

    file: Path
    providers: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    columns: tuple[str, ...] = ()


def reconcile(
    ledger: LedgerView,
    asked: Asked,
    *,
    config: Config | None = None,
    told: Told | None = None,
    progress: Progress = lambda *_: None,
) -> Reconciliation:
    """Holds the account against the ledger. Both may be of any length: memory is that of the days and models, and of what differs most.

    `told` hears of each difference as it is found. `config` says what models are called and cost. Raises `ConfigError` where the file or an option
    is wrong, `StateError` where the ledger cannot be read.
    """
    with localcontext(prec=_DIGITS):
        statement = Statement(asked.file, asked.columns)
        scope = _scope(statement, asked, ledger.attempts, config)
        ids = {name: model.id or name for name, model in config.models.items()} if config else {}
        books = Books(statement, ids=ids, price_of=_price_of(config), told=told)
        compare = join if statement.format.by_request else compare_cells
        span = compare(books, ledger.attempts, scope, progress)
        if not books.lines_seen:
            raise ConfigError(
                "no line of the account lies in this span: leave --since and --until out",
                path=str(asked.file),
            )
        if any(cause.kind == "price" for cause in books.tally.causes(money=True)):
            for said in books.prices.told(statement.rounding_usd):
                books.tally.say("price", said)
        _remark(books, ledger.attempts, span)
        return _result(books, span)


def _scope(statement: Statement, asked: Asked, attempts: AttemptQueries, config: Config | None) -> Scope:
    providers, simulated = _providers(statement, asked, attempts, config)
    given = asked.since_ms is not None or asked.until_ms is not None
    span = {"since_ms": asked.since_ms, "until_ms": asked.until_ms}
    return Scope(
        providers=providers,
        simulated=simulated,
        given=given,
        **{name: value for name, value in span.items() if value is not None},
    )


def _providers(
    statement: Statement, asked: Asked, attempts: AttemptQueries, config: Config | None
) -> tuple[tuple[str, ...] | None, bool | None]:
    """Whose attempts are meant. Raises `ConfigError` where that is not clear."""
    known = attempts.providers()
    if asked.providers:
        if unknown := sorted(set(asked.providers) - set(known)):
            raise ConfigError(
                f"the ledger has no attempt of {unknown[0]!r}; it has {', '.join(known) or 'none'}",
                path="--provider",
            )
        return tuple(asked.providers), None
    if statement.format.name == "simulator":
        return None, True
    if config is not None and statement.format.kind:
        own = [
            name
            for name, provider in config.providers.items()
            if provider.kind == statement.format.kind
            and provider.base_url is None
            and not provider.simulated
            and name in known
        ]
        if own:
            return tuple(own), None
    if len(known) == 1:
        return (known[0],), None
    raise ConfigError(
        f"say whose account {statement.path.name} is: {' or '.join(known) or 'the ledger has no attempt yet'}",
        path="--provider",
    )


def _price_of(config: Config | None) -> PriceOf | None:
    if config is None:
        return None
    book = PriceBook(config)
    today = datetime.datetime.now(datetime.UTC).date()

    def found(model: str, provider: str, on: datetime.date, *, tier: str | None = None) -> Price | None:
        if tier is None:
            return book.at(model, provider, on)
        from smallfirst.pricing import table

        entry = book.entry(model, provider)
        return None if entry is None else table.price_of_day(entry, on, tier=tier, today=today)

    return found


def _remark(books: Books, attempts: AttemptQueries, span: Scope) -> None:
    """What must be known to read the result."""
    if books.outside_lines:
        books.remarks.append(
            f"{books.outside_lines:,} of their lines are outside of the span and were left out"
        )
    if books.outside_attempts:
        books.remarks.append(
            f"{books.outside_attempts:,} attempts before the account's first line or after its last were left out"
        )
    if not books.tells_money:
        books.remarks.append("this account tells no money: tokens alone are compared")
    if not books.classes:
        books.remarks.append("this account tells no tokens: money alone is compared")
    elif not books.judges_tokens:
        books.remarks.append(
            "its tokens may be another tokenizer's: they are shown, and money alone is compared"
        )
    if books.statement.step_usd:
        books.remarks.append(
            f"its amounts are rounded to ${books.statement.step_usd:f}: half of that a line is no difference"
        )
    if span.since_ms % MS_PER_HOUR or span.until_ms % MS_PER_HOUR:
        return
    _remark_erased(books, attempts, span)


def _remark_erased(books: Books, attempts: AttemptQueries, span: Scope) -> None:
    summed, cost_nusd = attempts.summed(
        since_hour=span.since_ms // MS_PER_HOUR,
        until_hour=span.until_ms // MS_PER_HOUR,
        providers=span.providers,
        simulated=span.simulated,
    )
    gone_nusd = cost_nusd - nusd(books.ours_usd)
    if gone_nusd > 0:
        books.remarks.append(
            f"{format_usd(gone_nusd)} more are in the ledger's hourly sums ({summed:,} attempts), whose rows are gone or lie at the span's ends:"
            " erased calls, or older than storage.calls_days"
        )


def _result(books: Books, span: Scope) -> Reconciliation:
    statement, money = books.statement, books.tells_money
    causes = books.tally.causes(money=money)
    differing = books.tally.kept(money=money)
    apart = books.theirs_usd - books.ours_usd if money else None
    return Reconciliation(
        file=str(statement.path),
        format=statement.format.name,
        title=statement.format.title,
        by="request" if statement.format.by_request else "day and model",
        providers=span.providers or (),
        simulated=bool(span.simulated),
        since_ms=span.since_ms,
        until_ms=span.until_ms,
        theirs=Side(count=books.lines, usd=books.theirs_usd if money else None, tokens=books.theirs_tokens),
        ours=Side(count=books.attempts, usd=books.ours_usd, tokens=books.ours_tokens),
        ours_estimated=books.estimated,
        ours_estimated_usd=books.estimated_usd,
        ours_unknown=books.unknown,
        matched=books.matched,
        reported=_reported(books),
        difference_usd=apart,
        difference_nusd=None if apart is None else nusd(apart),
        difference_tokens=_apart(books.theirs_tokens, books.ours_tokens),
        causes=causes,
        differing=differing,
        left_out=books.tally.differing - len(differing),
        remarks=tuple(books.remarks),
        equal=not books.tally.differing,
    )


def _reported(books: Books) -> Reported | None:
    if not books.statement.format.by_request or not books.tells_money:
        return None
    return Reported(
        count=books.reported, theirs_usd=books.reported_theirs_usd, ours_usd=books.reported_ours_usd
    )


def _apart(theirs: Mapping[str, int], ours: Mapping[str, int]) -> dict[str, int]:
    return {name: count - ours[name] for name, count in theirs.items()}
