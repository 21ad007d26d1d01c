"""A call's account: its attempts are paid from budgets, announced in the journal before they are sent, and end up in one settlement."""

from __future__ import annotations

import itertools
from typing import Protocol

from smallfirst.answering.account import Plan
from smallfirst.gateway.budget import Budgets, Limit, Reservation
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.stops import Stops
from smallfirst.ledger.records import Attempt, Intent, Settlement


class Journal(Protocol):
    """What an account writes to: `ledger.Journal`."""

    def append_intent(self, intent: Intent) -> None: ...

    def append_settlement(self, settlement: Settlement) -> None: ...


class History(Protocol):
    """What earlier answers were like: `gateway.history.History`."""

    def output_tokens(self, task: str, model: str) -> int: ...


class CallAccount:
    """`answering.Account` for one call of a client."""

    __slots__ = (
        "_budgets",
        "_draft",
        "_history",
        "_journal",
        "_limits",
        "_numbers",
        "_reservations",
        "_small_limits",
        "_stops",
    )

    def __init__(
        self,
        draft: Draft,
        *,
        limits: tuple[Limit, ...],
        budgets: Budgets,
        journal: Journal,
        history: History,
        stops: Stops,
    ) -> None:
        self._draft = draft
        self._limits = limits
        self._small_limits = tuple(limit for limit in limits if not limit.purse.frontier)
        self._budgets = budgets
        self._journal = journal
        self._history = history
        self._stops = stops
        self._numbers = itertools.count()
        self._reservations: dict[int, Reservation | None] = {}

    def number(self) -> int:
        return next(self._numbers)

    def reserve(self, plan: Plan) -> None:
        draft = self._draft
        self._stops.check(draft, plan.model)
        limits = self._limits if plan.frontier else self._small_limits
        reservation = self._budgets.reserve(limits, plan.reserved_nusd, at_ms=draft.at_ms, model=plan.model)
        try:
            self._journal.append_intent(draft.intent(plan))
        except BaseException:
            self._budgets.settle(reservation, 0)
            raise
        self._reservations[plan.seq] = reservation
        draft.asking = plan.model

    def settle(self, plan: Plan, attempt: Attempt) -> None:
        self._budgets.settle(self._reservations.pop(plan.seq), attempt.cost_nusd)
        self._draft.attempts.append(attempt)
        self._draft.asking = ""

    def output_tokens(self, task: str, model: str) -> int:
        return self._history.output_tokens(task, model)
