"""Day by day and model by model: adds up both accounts, and looks for what explains each difference, the surest explanation first."""

from __future__ import annotations

import datetime
from decimal import Decimal

from smallfirst.ledger.attempt_queries import AttemptQueries, Charged
from smallfirst.planning.reconcile.books import Books, Scope
from smallfirst.planning.reconcile.by_request import Progress
from smallfirst.planning.reconcile.cells import MS_PER_DAY, Cell, CellKey, Cells
from smallfirst.planning.reconcile.line import by_class
from smallfirst.planning.reconcile.midnight import NEAR_MS, Midnights
from smallfirst.planning.reconcile.result import CauseKind, Differing, usd
from smallfirst.planning.reconcile.their_price import Sample

_HALF_A_NUSD = Decimal("0.5e-9")
_FINE_USD = Decimal("1e-6")  # amounts that are this fine tell single calls apart
_CALLS_NAMED = 5  # of those that a day's difference could be
_Explained = tuple[CauseKind, str, tuple[str, ...]]


def compare_cells(books: Books, attempts: AttemptQueries, scope: Scope, told: Progress) -> Scope:
    """Holds every day and model of both accounts against each other and counts what differs in `books`. Returns the span that was compared."""
    cells, midnights = Cells(books), Midnights(books.classes)
    for number, line in enumerate(books.statement.lines(), start=1):
        if number % 1000 == 0:
            told("reading their account", number, 0)
        if not scope.holds(line.at_ms):
            books.outside_lines += 1
            continue
        books.see_line(line)
        if not line.is_nothing:
            books.count_line(line)
            cells.add_line(line)
    span = _whole_days(scope.narrowed(books.first_ms, books.last_ms))
    done = 0
    for page in attempts.charged(**span.asked(NEAR_MS)):
        for attempt in page:
            if not attempt.costs_nothing:
                midnights.see(attempt)
                if span.holds(attempt.at_ms):
                    books.count_attempt(attempt)
                    cells.add_attempt(attempt)
        done += len(page)
        told("reading the ledger", done, 0)
    _Explaining(books, cells, midnights).explain(attempts, span, told)
    return span


def _whole_days(span: Scope) -> Scope:
    """Days are compared whole: the account says no more of them."""
    return Scope(
        providers=span.providers,
        simulated=span.simulated,
        since_ms=span.since_ms // MS_PER_DAY * MS_PER_DAY,
        until_ms=-(-span.until_ms // MS_PER_DAY) * MS_PER_DAY,
        given=span.given,
    )


class _Explaining:
    def __init__(self, books: Books, cells: Cells, midnights: Midnights) -> None:
        self._books = books
        self._cells = cells
        self._midnights = midnights
        self._open: dict[CellKey, Cell] = {}  # differs, and no sum explains it

    def explain(self, attempts: AttemptQueries, span: Scope, told: Progress) -> None:
        """Counts every cell."""
        for key, cell in self._cells.all().items():
            if not self._differs(cell):
                self._books.matched += cell.ours.count
                if self._apart(cell):
                    self._books.tally.note("rounding", cell.theirs.usd, cell.ours.usd, {})
                continue
            explained = self._by_sums(key, cell)
            if explained is None:
                self._open[key] = cell
            else:
                self._tell(key, cell, explained)
        calls = self._single_calls(attempts, span, told) if self._open else {}
        for key, cell in self._open.items():
            self._tell(key, cell, calls.get(key) or self._at_last(key, cell))

    def _apart(self, cell: Cell) -> Decimal:
        return cell.theirs.usd - cell.ours.usd if self._books.tells_money else Decimal(0)

    def _money(self, cell: Cell) -> Decimal | None:
        return self._apart(cell) if self._books.tells_money else None

    def _within(self, cell: Cell) -> Decimal:
        """By what rounding can make the two differ."""
        return _HALF_A_NUSD * cell.ours.count + self._books.statement.rounding_usd * cell.theirs.count

    def _tokens_differ(self, cell: Cell) -> bool:
        return self._books.judges_tokens and any(cell.difference().values())

    def _differs(self, cell: Cell) -> bool:
        unknown = bool(cell.unknown) and self._books.tells_money
        return unknown or self._tokens_differ(cell) or abs(self._apart(cell)) > self._within(cell)

    def _by_sums(self, key: CellKey, cell: Cell) -> _Explained | None:
        if not cell.ours.count:
            return "only-theirs", "the ledger has no attempt: another application may use the account", ()
        if not cell.theirs.count:
            kind = "only-ours" if cell.estimated.count < cell.ours.count else "estimated"
            return kind, "their account has no line", ()
        if cell.unknown and self._books.tells_money:
            return (
                "unknown-price",
                f"{cell.unknown:,} of {cell.ours.count:,} attempts have no known price",
                (),
            )
        if found := self._of_a_group(cell):
            return "only-theirs", found, ()
        if self._is_exact and (
            calls := self._midnights.explains(
                key, cell.difference(), self._money(cell), self._within(cell), self._cells.model_of
            )
        ):
            return "midnight", f"{len(calls):,} calls make up the difference exactly", calls
        return None if self._tokens_differ(cell) else self._of_a_price(key, cell)

    @property
    def _is_exact(self) -> bool:
        """Whether their figures are fine enough that a difference can be found again in single calls."""
        return (bool(self._books.classes) and self._books.judges_tokens) or (
            self._books.tells_money and self._books.statement.step_usd <= _FINE_USD
        )

    def _of_a_group(self, cell: Cell) -> str:
        if len(cell.groups) < 2:
            return ""
        difference = {name: count for name, count in cell.difference().items() if count}
        for name, group in cell.groups.items():
            same = {each: count for each, count in group.tokens.items() if count} == difference
            if (same or not self._books.judges_tokens) and abs(group.usd - self._apart(cell)) <= self._within(
                cell
            ):
                return f"all that {name or '(no project or key)'} used: the ledger knows nothing of it"
        return ""

    def _of_a_price(self, key: CellKey, cell: Cell) -> _Explained | None:
        """Whether another price explains it: of tokens that are the same, or that the account does not tell."""
        same_tokens = bool(self._books.classes) and self._books.judges_tokens
        if len(cell.models) != 1:
            return ("price", "", ()) if same_tokens else None
        ((provider, model),) = cell.models
        sample = Sample(cell.usage, cell.theirs.usd, attempts=cell.ours.count, lines=cell.theirs.count)
        rounding = self._books.statement.rounding_usd
        known = self._books.prices.name(provider, model, day=key[0], samples=[sample], rounding_usd=rounding)
        if known is None and not same_tokens:
            return None
        self._books.prices.add_to(provider, model, day=key[0], sample=sample)
        return "price", f"they follow {known}" if known else "", ()

    def _single_calls(
        self, attempts: AttemptQueries, span: Scope, told: Progress
    ) -> dict[CellKey, _Explained]:
        """Calls of ours that are exactly as large as a cell's difference."""
        if not self._is_exact:
            return {}
        found: dict[CellKey, tuple[int, list[str]]] = {}
        for done, page in enumerate(attempts.charged(**span.asked(0))):
            told("looking for single calls", done, 0)
            for attempt in page:
                key = self._cells.key_of(attempt)
                sign = self._is_one(self._open[key], attempt) if key in self._open else 0
                if sign:
                    calls = found.setdefault(key, (sign, []))[1]
                    if len(calls) < _CALLS_NAMED:
                        calls.append(attempt.call)
        return {
            key: ("only-ours", "as much as one call of ours that they do not have", tuple(calls))
            if sign < 0
            else ("only-theirs", "as much as one call of ours once more", tuple(calls))
            for key, (sign, calls) in found.items()
        }

    def _is_one(self, cell: Cell, attempt: Charged) -> int:
        """1 or −1 where the cell's difference is this attempt, once more or missing; else 0."""
        if attempt.costs_nothing:
            return 0
        tokens = by_class(attempt.usage, self._books.classes)
        difference, apart, within = cell.difference(), self._apart(cell), self._within(cell)
        cost_usd = usd(attempt.cost_nusd)
        if self._books.tells_money and cost_usd <= 4 * within:
            return 0  # rounding alone could make that up
        for sign in (1, -1):
            if all(difference.get(name, 0) == sign * count for name, count in tokens.items()) and (
                not self._books.tells_money or abs(apart - sign * cost_usd) <= within
            ):
                return sign
        return 0

    def _at_last(self, key: CellKey, cell: Cell) -> _Explained:
        """What is left to be said of a difference that no sum and no single call explains."""
        estimated = cell.estimated
        difference = cell.difference()
        if estimated.count:
            over = {name: count + estimated.tokens.get(name, 0) for name, count in difference.items()}
            if min(over.values(), default=0) >= 0 and self._apart(cell) + estimated.usd >= -self._within(
                cell
            ):
                return "estimated", f"{estimated.count:,} attempts whose usage was not reported to us", ()
        missing = [
            name for name, count in cell.ours.tokens.items() if count and not cell.theirs.tokens.get(name)
        ]
        if missing and all(not count for name, count in difference.items() if name not in missing):
            return "tokens", f"their account has no {' and no '.join(missing)} tokens", ()
        if difference and not sum(difference.values()):
            return "tokens", "as many tokens, divided otherwise", ()
        return "unexplained", "", ()

    def _tell(self, key: CellKey, cell: Cell, explained: _Explained) -> None:
        day, model = key
        kind, what, calls = explained
        money = self._books.tells_money
        self._books.tally.add(
            Differing(
                kind=kind,
                at=(datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat(),
                model=model,
                where=cell.where,
                group=" · ".join(sorted(filter(None, cell.groups))),
                theirs_usd=cell.theirs.usd if cell.theirs.count and money else None,
                ours_usd=cell.ours.usd if cell.ours.count and money else None,
                difference_usd=self._apart(cell),
                tokens=cell.difference(),
                what=what,
                calls=calls,
            )
        )
