"""What a run may spend and has spent. Money is set aside before a call is made, so that a cap is not passed."""

from __future__ import annotations

import asyncio
import itertools

from smallfirst import limits
from smallfirst.answering.account import Plan
from smallfirst.errors import BudgetExceeded
from smallfirst.ledger.records import Attempt
from smallfirst.money import format_usd


class Till:
    """The money of one run, in nano-dollars. `cap_nusd` None: it is only counted."""

    def __init__(self, cap_nusd: int | None = None, *, spent_nusd: int = 0) -> None:
        self.cap_nusd = cap_nusd
        self.spent_nusd = spent_nusd
        self.unknown = 0  # attempts whose price is unknown
        self._aside_nusd = 0
        self._open = 0
        self._changed = asyncio.Condition()
        self._longest: dict[str, int] = {}

    async def admit(self, nusd: int) -> bool:
        """Sets this much aside, once there is room; False where there never will be."""
        async with self._changed:
            while not self._fits(nusd):
                if not self._open:
                    return False
                await self._changed.wait()
            self._aside_nusd += nusd
            self._open += 1
            return True

    async def close(self, nusd: int) -> None:
        """What was set aside for a call is free again: what it cost is spent already."""
        async with self._changed:
            self._aside_nusd -= nusd
            self._open -= 1
            self._changed.notify_all()

    def spend(self, attempt: Attempt) -> None:
        """Counts what an attempt cost."""
        if attempt.cost_nusd is None:
            self.unknown += 1
        else:
            self.spent_nusd += attempt.cost_nusd
        longest = self._longest.get(attempt.model, 0)
        self._longest[attempt.model] = max(longest, attempt.usage.completion_tokens)

    def output_tokens(self, model: str) -> int:
        """What is set aside for an answer without a limit of its own: twice the longest that was seen, and no less than for any call."""
        return max(limits.DEFAULT_RESERVED_OUTPUT_TOKENS, 2 * self._longest.get(model, 0))

    def _fits(self, nusd: int) -> bool:
        return self.cap_nusd is None or self.spent_nusd + self._aside_nusd + nusd <= self.cap_nusd


class TillPurse:
    """Implements `answering.Account` for one call of a run: its attempts are paid from what was set aside for it."""

    def __init__(self, till: Till, aside_nusd: int = 0) -> None:
        self.attempts: list[Attempt] = []
        self._till = till
        self._left_nusd = aside_nusd
        self._numbers = itertools.count()

    @property
    def cost_nusd(self) -> int | None:
        """What the attempts cost together; None as soon as one of them is unknown."""
        costs = [attempt.cost_nusd for attempt in self.attempts]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def number(self) -> int:
        return next(self._numbers)

    def reserve(self, plan: Plan) -> None:
        """Raises `BudgetExceeded` where the attempt was not foreseen, and there is a cap."""
        if self._till.cap_nusd is None:
            return
        if plan.reserved_nusd is None or plan.reserved_nusd > self._left_nusd:
            raise BudgetExceeded(
                f"{plan.model} may cost more than is left of {format_usd(self._till.cap_nusd)}"
            )
        self._left_nusd -= plan.reserved_nusd

    def settle(self, plan: Plan, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self._till.spend(attempt)
        if plan.reserved_nusd is not None and not attempt.cost_nusd:
            self._left_nusd += plan.reserved_nusd  # nothing was owed: a retry may use it

    def output_tokens(self, task: str, model: str) -> int:
        return self._till.output_tokens(model)
