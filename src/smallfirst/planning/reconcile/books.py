"""Both accounts while they are held against each other: what was counted on either side, and of which span."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from smallfirst.ledger.attempt_queries import Charged
from smallfirst.planning.reconcile.line import Classes, Line, by_class
from smallfirst.planning.reconcile.names import ModelNames
from smallfirst.planning.reconcile.result import usd
from smallfirst.planning.reconcile.statement import Statement
from smallfirst.planning.reconcile.tally import Tally, Told
from smallfirst.planning.reconcile.their_price import Found, PriceOf

SLACK_MS = 600_000  # by which their time of a request may differ from ours
_FOREVER_MS = 253_402_300_799_000


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts are compared: of these providers, or simulated ones alone, begun in this span (Unix milliseconds).

    `given`: somebody asked for this span, and the ledger's time decides what is in it; else it is that of the account's lines.
    """

    providers: tuple[str, ...] | None = None
    simulated: bool | None = None
    since_ms: int = 0
    until_ms: int = _FOREVER_MS
    given: bool = False

    def holds(self, at_ms: int, *, slack_ms: int = 0) -> bool:
        """Whether the moment is in the span, or so near to it."""
        return self.since_ms - slack_ms <= at_ms < self.until_ms + slack_ms

    def holds_pair(self, at_ms: int) -> bool:
        """Whether an attempt of this moment is compared with the line that it found."""
        return not self.given or self.holds(at_ms)

    def narrowed(self, first_ms: int, end_ms: int) -> Scope:
        """To the span of their lines."""
        since_ms, until_ms = (self.since_ms, self.until_ms) if self.given else (0, _FOREVER_MS)
        return msgspec.structs.replace(
            self,
            since_ms=since_ms or min(first_ms, end_ms),
            until_ms=end_ms if until_ms == _FOREVER_MS else until_ms,
        )

    def asked(self, slack_ms: int) -> dict[str, Any]:
        """As `AttemptQueries.charged` is asked, with so much more on both sides."""
        return {
            "since_ms": max(self.since_ms - slack_ms, 0),
            "until_ms": self.until_ms + slack_ms,
            "providers": self.providers,
            "simulated": self.simulated,
        }


class Books:
    """What was counted so far."""

    def __init__(
        self, statement: Statement, *, ids: Mapping[str, str], price_of: PriceOf | None, told: Told | None
    ) -> None:
        self.statement = statement
        self.names = ModelNames(ids)
        self.prices = Found(price_of)
        self.tally = Tally(told)
        self.matched = 0
        self.outside_lines = self.outside_attempts = 0
        self.first_ms, self.last_ms = _FOREVER_MS, 0
        self.lines_seen = 0
        self.lines = self.attempts = self.estimated = self.unknown = 0
        self.theirs_usd = self.ours_usd = self.estimated_usd = Decimal(0)
        self.reported = 0
        self.reported_theirs_usd = self.reported_ours_usd = Decimal(0)
        self.theirs_tokens = dict.fromkeys(self.classes, 0)
        self.ours_tokens = dict.fromkeys(self.classes, 0)
        self.remarks: list[str] = []

    @property
    def classes(self) -> Classes:
        return self.statement.format.classes

    @property
    def tells_money(self) -> bool:
        return self.statement.tells_money

    @property
    def judges_tokens(self) -> bool:
        return self.statement.format.judges_tokens

    def see_line(self, line: Line) -> None:
        """A line that was read."""
        self.lines_seen += 1
        self.first_ms, self.last_ms = min(self.first_ms, line.at_ms), max(self.last_ms, line.until_ms)

    def count_line(self, line: Line) -> None:
        """A line that is compared."""
        self.lines += 1
        self.theirs_usd += line.usd or 0
        for name, count in (line.tokens or {}).items():
            self.theirs_tokens[name] += count

    def count_pair(self, line: Line, attempt: Charged) -> None:
        """A line and the attempt that it charges for."""
        self.matched += 1
        self.count_line(line)
        self.count_attempt(attempt)
        if attempt.usage_source == "reported" and attempt.cost_nusd is not None:
            self.reported += 1
            self.reported_theirs_usd += line.usd or 0
            self.reported_ours_usd += usd(attempt.cost_nusd)

    def count_attempt(self, attempt: Charged) -> None:
        """An attempt that is compared."""
        self.attempts += 1
        self.ours_usd += usd(attempt.cost_nusd)
        self.unknown += attempt.cost_nusd is None
        if attempt.usage_source == "estimated":
            self.estimated += 1
            self.estimated_usd += usd(attempt.cost_nusd)
        for name, count in by_class(attempt.usage, self.classes).items():
            self.ours_tokens[name] += count
