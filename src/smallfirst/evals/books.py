"""A run's calls as the ledger keeps them, origin `eval`: noted many at a time, off the path of the questions."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from smallfirst.datasets.example import Example
from smallfirst.evals.arm import Arm
from smallfirst.evals.store import Answered
from smallfirst.ledger.call_id import new_call_id
from smallfirst.ledger.records import Attempt, Call, CallStatus

TENANT = "smallfirst"  # whose evaluations are: nobody's who sends calls
_BATCH = 32
_AGAIN = 256  # of the answers that are there when a run goes on: a kill may have come between the answer and its note

Settle = Callable[..., None]
"""Writes calls to the ledger, once each however often they are brought: `ledger.notes.Notes.settle`."""


def spent_nusd(answers: Iterable[Answered]) -> int:
    """What is known to have been spent on these answers."""
    return sum((answer.cost_nusd or 0) + (answer.judge_nusd or 0) for answer in answers)


class Books:
    """Calls wait until there are enough of them, or the session ends; `settle` None: they are not noted at all."""

    def __init__(
        self,
        task: str,
        settle: Settle | None,
        before: Iterable[Answered],
        arms: Mapping[str, Arm],
    ) -> None:
        self._task, self._settle, self._arms = task, settle, arms
        self._waiting: list[Call] = []
        if settle is not None:
            self._waiting = [self._call(answer) for answer in deque(before, maxlen=_AGAIN)]

    async def note(self, answer: Answered) -> None:
        await self._add(self._call(answer))

    async def beside(self, attempts: Sequence[Attempt], decision: dict[str, Any]) -> None:
        """Questions beside the run's own (a judge's, a probe), as a call of their own. `decision` says whose they are."""
        if attempts:
            at_ms = int(time.time() * 1000)
            await self._add(
                call_of(self._task, attempts, call=new_call_id(at_ms), at_ms=at_ms, decision=decision)
            )

    async def lost(
        self, arm: Arm, example: Example, call: str, at_ms: int, attempts: Sequence[Attempt]
    ) -> None:
        """A call that was given up after something was paid for it."""
        self.lost_now(arm, example, call, at_ms, attempts)
        await self._flush(at_least=_BATCH)

    def lost_now(
        self, arm: Arm, example: Example, call: str, at_ms: int, attempts: Sequence[Attempt]
    ) -> None:
        """The same where nothing can be waited for."""
        if attempts:
            told = {"by": "eval", "arm": arm.name, "example": example.id}
            self._waiting.append(
                call_of(self._task, attempts, call=call, at_ms=at_ms, decision=told, status="cancelled")
            )

    async def close(self) -> None:
        """Notes what waits. Shielded: what was paid is noted also where the session is cancelled."""
        await asyncio.shield(self._flush(at_least=1))

    async def _add(self, call: Call) -> None:
        self._waiting.append(call)
        await self._flush(at_least=_BATCH)

    async def _flush(self, *, at_least: int) -> None:
        if self._settle is None or len(self._waiting) < at_least:
            return
        calls, self._waiting = self._waiting, []
        await asyncio.to_thread(self._settle, *calls)

    def _call(self, answer: Answered) -> Call:
        arm = self._arms.get(answer.arm)
        told = {"by": "eval", "arm": answer.arm, "example": answer.example} | answer.decision
        return Call(
            id=answer.call,
            at_ms=answer.at_ms,
            tenant=TENANT,
            key="",
            status="error" if answer.error else "ok",
            http_status=502 if answer.error else 200,
            dialect="openai",
            route="chat",
            attempts=answer.attempts,
            task=self._task,
            origin="eval",
            asked_model=f"task/{self._task}",
            model=answer.model,
            rung=answer.rung,
            release=arm.release if arm is not None else "",
            policy=arm.policy.hash if arm is not None else "",
            latency_ms=answer.latency_ms,
            ttft_ms=answer.ttft_ms,
            cost_nusd=answer.cost_nusd,
            answer_chars=len(answer.output),
            error=answer.error[:500],
            decision=told,
        )


def call_of(
    task: str,
    attempts: Sequence[Attempt],
    *,
    call: str,
    at_ms: int,
    decision: dict[str, Any],
    status: CallStatus = "ok",
) -> Call:
    """These attempts as one call of the ledger, origin `eval`."""
    return Call(
        id=call,
        at_ms=at_ms,
        tenant=TENANT,
        key="",
        status=status,
        http_status=200 if status == "ok" else 499,
        dialect="openai",
        route="chat",
        attempts=tuple(attempts),
        task=task,
        origin="eval",
        model=attempts[-1].model if attempts else "",
        rung=attempts[-1].rung if attempts else -1,
        latency_ms=sum(attempt.latency_ms for attempt in attempts),
        cost_nusd=cost_of(attempts),
        decision=decision,
    )


def cost_of(attempts: Iterable[Attempt]) -> int | None:
    """What they cost together; None as soon as one of them is unknown."""
    costs = [attempt.cost_nusd for attempt in attempts]
    return None if None in costs else sum(cost for cost in costs if cost is not None)
