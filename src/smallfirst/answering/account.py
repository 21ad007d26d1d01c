"""Who pays for attempts and remembers them: the gateway's budgets and ledger, or an evaluation's own purse."""

from __future__ import annotations

from typing import Protocol

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger.records import Attempt, AttemptKind


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt about to be made, and the most it may use and cost (None: its price is unknown)."""

    seq: int
    kind: AttemptKind
    rung: int
    model: str
    provider: str
    reserved_usage: Usage
    reserved_nusd: int | None
    price_version: str = ""
    simulated: bool = False
    frontier: bool = False


class Account(Protocol):
    """Of one call: opened before each attempt is sent, settled once after it."""

    def number(self) -> int:
        """The number of the call's next attempt, from 0 on; never given twice."""
        ...

    def reserve(self, plan: Plan) -> None:
        """Sets the plan's cost aside and remembers the intent. Raises `BudgetExceeded` or `LedgerUnavailable`: then nothing is sent."""
        ...

    def settle(self, plan: Plan, attempt: Attempt) -> None:
        """Replaces what was set aside by what the attempt cost."""
        ...

    def output_tokens(self, task: str, model: str) -> int:
        """What is reserved for an answer whose request names no limit: what history says of this task and model."""
        ...
