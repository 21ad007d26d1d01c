"""Request by request: their line and our attempt are joined on the request's id, and what is left over by model and time where usage was never
reported to us, for such attempts often have no id.
"""

from __future__ import annotations

import datetime
import re
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal

from smallfirst.ledger.attempt_queries import AttemptQueries, Charged
from smallfirst.planning.reconcile.books import SLACK_MS, Books, Scope
from smallfirst.planning.reconcile.line import Line, by_class
from smallfirst.planning.reconcile.names import common_name
from smallfirst.planning.reconcile.result import CauseKind, Differing, usd
from smallfirst.planning.reconcile.scratch import Scratch, scratch
from smallfirst.planning.reconcile.their_price import Sample

PAIR_MS = 60_000  # a request without an id is their line at most so long before or after
_HALF_A_NUSD = Decimal("0.5e-9")  # by which our cost of one attempt was rounded at most
_SAMPLES = 500  # of one model, to find out which price they follow
_PREFIX = re.compile(r"^(chatcmpl|cmpl|resp|msg|embd|gen)[-_](?P<rest>.+)$")
Progress = Callable[[str, int, int], None]


def ids_of(upstream_id: str) -> list[str]:
    """The names by which a provider may call a request whose answer had this id."""
    prefixed = _PREFIX.match(upstream_id)
    return [upstream_id, prefixed["rest"]] if prefixed else [upstream_id]


def join(books: Books, attempts: AttemptQueries, scope: Scope, told: Progress) -> Scope:
    """Holds every line against every attempt and counts what differs in `books`. Returns the span that was compared."""
    with scratch() as place:
        place.keep_lines(_within(books, scope, told))
        span = scope.narrowed(books.first_ms, books.last_ms + 1)
        done = 0
        for page in attempts.charged(**span.asked(SLACK_MS)):
            _join_page(books, place, [each for each in page if not each.costs_nothing], span)
            done += len(page)
            told("reading the ledger", done, 0)
        told("what is left over", 0, 0)
        _Leftover(books, place, span).settle()
    return span


def _within(books: Books, scope: Scope, told: Progress) -> Iterator[Line]:
    for number, line in enumerate(books.statement.lines(), start=1):
        if number % 1000 == 0:
            told("reading their account", number, 0)
        if not scope.holds(line.at_ms, slack_ms=SLACK_MS):
            books.outside_lines += 1
        else:
            books.see_line(line)
            if not line.is_nothing:
                yield line


def _join_page(books: Books, place: Scratch, page: list[Charged], span: Scope) -> None:
    wanted = [name for each in page if each.upstream_id for name in ids_of(each.upstream_id)]
    found = place.find(wanted)
    taken, alone = [], []
    for attempt in page:
        books.names.learn(attempt.provider, attempt.model, attempt.upstream_model)
        hit = next((found.pop(name) for name in ids_of(attempt.upstream_id) if name in found), None)
        if hit is None:
            alone.append(attempt)
        else:
            number, line = hit
            taken.append(number)
            compare(books, line, attempt, span)
    place.take(taken)
    place.put_aside(alone)


def compare(books: Books, line: Line, attempt: Charged, span: Scope, *, by_time: bool = False) -> None:
    """Judges a pair, and counts it, if it is of the span."""
    if not span.holds_pair(attempt.at_ms):
        books.outside_lines += 1
        books.outside_attempts += 1
        return
    books.count_pair(line, attempt)
    theirs, ours = line.tokens or {}, by_class(attempt.usage, books.classes)
    difference = {name: theirs.get(name, 0) - ours[name] for name in ours} if line.tokens is not None else {}
    ours_usd = usd(attempt.cost_nusd) if books.tells_money else None
    apart = (line.usd or Decimal(0)) - ours_usd if ours_usd is not None else Decimal(0)
    kind = _kind(books, attempt, difference, apart)
    if kind is None or kind == "rounding":
        if apart:
            books.tally.note("rounding", line.usd, ours_usd, {})
        return
    if kind == "price":
        books.prices.add(attempt, Sample(attempt.usage, line.usd or Decimal(0), attempts=1))
    books.tally.add(
        Differing(
            kind=kind,
            at=iso(attempt.at_ms),
            model=line.model,
            where=line.where,
            request_id=line.request_id,
            group=line.group,
            call=attempt.call,
            seq=attempt.seq,
            status=attempt.status,
            theirs_usd=line.usd,
            ours_usd=None if attempt.cost_nusd is None else ours_usd,
            difference_usd=apart,
            tokens=difference,
            what="; ".join(filter(None, (line.note, "found by model and time" if by_time else ""))),
        )
    )


def _kind(books: Books, attempt: Charged, difference: dict[str, int], apart: Decimal) -> CauseKind | None:
    tokens_differ = books.judges_tokens and any(difference.values())
    money_differs = abs(apart) > _HALF_A_NUSD + books.statement.rounding_usd
    if attempt.cost_nusd is None and books.tells_money:
        return "unknown-price"
    if not tokens_differ and not money_differs:
        return "rounding" if apart else None
    if attempt.usage_source == "estimated":
        return "estimated"
    return "tokens" if tokens_differ else "price"


def iso(at_ms: int) -> str:
    """A moment in UTC, to the millisecond."""
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).isoformat(timespec="milliseconds")


class _Leftover:
    """Lines and attempts that no id joined, walked through in their order in time with the last minute of each in memory."""

    def __init__(self, books: Books, place: Scratch, span: Scope) -> None:
        self._books = books
        self._place = place
        self._span = span
        self._lines: dict[str, deque[Line]] = {}
        self._attempts: dict[str, deque[Charged]] = {}

    def settle(self) -> None:
        """Pairs what can be, and counts the rest as one side's alone."""
        for line, doubled, attempt in self._in_order():
            if attempt is not None:
                self._attempt(attempt)
            elif line is not None and doubled:
                self._only_theirs(line, "doubled")
            elif line is not None:
                self._line(line)
        for lines in self._lines.values():
            for line in lines:
                self._only_theirs(line, "only-theirs")
        for attempts in self._attempts.values():
            for attempt in attempts:
                self._only_ours(attempt)

    def _in_order(self) -> Iterator[tuple[Line | None, bool, Charged | None]]:
        lines, attempts = self._place.lines_left(), self._place.attempts_left()
        line, attempt = next(lines, None), next(attempts, None)
        while line is not None or attempt is not None:
            if attempt is None or (line is not None and line[0].at_ms <= attempt.at_ms):
                assert line is not None
                yield line[0], line[1], None
                line = next(lines, None)
            else:
                yield None, False, attempt
                attempt = next(attempts, None)

    def _line(self, line: Line) -> None:
        name = common_name(line.model)
        waiting = self._attempts.setdefault(name, deque())
        while waiting and waiting[0].at_ms < line.at_ms - PAIR_MS:
            self._only_ours(waiting.popleft())
        if waiting:
            self._pair(line, waiting.popleft())
        else:
            self._lines.setdefault(name, deque()).append(line)

    def _attempt(self, attempt: Charged) -> None:
        if attempt.usage_source == "reported" and attempt.upstream_id:
            self._only_ours(attempt)  # it has an id, and no line has it
            return
        name = self._books.names.of(attempt.provider, attempt.model, attempt.upstream_model)
        waiting = self._lines.setdefault(name, deque())
        while waiting and waiting[0].at_ms < attempt.at_ms - PAIR_MS:
            self._only_theirs(waiting.popleft(), "only-theirs")
        if waiting:
            self._pair(waiting.popleft(), attempt)
        else:
            self._attempts.setdefault(name, deque()).append(attempt)

    def _pair(self, line: Line, attempt: Charged) -> None:
        compare(self._books, line, attempt, self._span, by_time=True)

    def _only_theirs(self, line: Line, kind: CauseKind) -> None:
        if not self._span.holds(line.at_ms):
            self._books.outside_lines += 1
            return
        self._books.count_line(line)
        self._books.tally.add(
            Differing(
                kind=kind,
                at=iso(line.at_ms),
                model=line.model,
                where=line.where,
                request_id=line.request_id,
                group=line.group,
                theirs_usd=line.usd,
                difference_usd=line.usd or Decimal(0),
                tokens=dict(line.tokens or {}),
                what=line.note,
            )
        )

    def _only_ours(self, attempt: Charged) -> None:
        books = self._books
        if not self._span.holds(attempt.at_ms):
            books.outside_attempts += 1
            return
        books.count_attempt(attempt)
        ours = by_class(attempt.usage, books.classes)
        cost = usd(attempt.cost_nusd) if books.tells_money else None
        unknown = attempt.cost_nusd is None and books.tells_money
        reported = attempt.usage_source == "reported"
        books.tally.add(
            Differing(
                kind="unknown-price" if unknown else "only-ours" if reported else "estimated",
                at=iso(attempt.at_ms),
                model=attempt.upstream_model or attempt.model,
                request_id=attempt.upstream_id,
                call=attempt.call,
                seq=attempt.seq,
                status=attempt.status,
                ours_usd=None if unknown else cost,
                difference_usd=-(cost or Decimal(0)),
                tokens={name: -count for name, count in ours.items()},
                what="" if reported else "no line of theirs",
            )
        )
