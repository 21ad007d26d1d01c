"""Corrected labels that come late: the answers of the last calls that were answered again are kept in memory for them, and scored anew beside what
somebody says would have been right. Nothing of a text is written.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.gateway.aside_call import Said
from smallfirst.gateway.aside_draw import Purpose
from smallfirst.ledger import Ledger
from smallfirst.releases import Policy


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """All that was answered to one client's call, by purpose; by what policy's scorer it is scored, and with what probability it was drawn."""

    call: str
    frontier: Said
    said: Mapping[Purpose, list[Said]]
    policies: Mapping[Purpose, Policy]
    chances: Mapping[Purpose, float]


class LateLabels:
    """Keeps the answers of at most `limits.ASIDE_KEPT` calls."""

    def __init__(self, ledger: Ledger) -> None:
        self._queries = ledger.queries
        self._kept: OrderedDict[str, Answers] = OrderedDict()
        self._after: int | None = None

    async def begin(self) -> int:
        """From now on no label is missed: those that were told before an answer is kept are looked up with it. The number of the last outcome that
        was looked at; raises `StateError`.
        """
        if self._after is None:
            last = await asyncio.to_thread(self._queries.last_outcome)
            if self._after is None:
                self._after = last
        return self._after

    def keep(self, answers: Answers) -> None:
        """Kept until as many others have come; not what is too long to be scored."""
        texts = [each.text or "" for said in answers.said.values() for each in said]
        if max(map(len, texts), default=0) > limits.ASIDE_SCORED_CHARS:
            return
        self._kept[answers.call] = answers
        if len(self._kept) > limits.ASIDE_KEPT:
            self._kept.popitem(last=False)

    async def come(self) -> list[tuple[Answers, Any]]:
        """The labels of kept answers of whose calls one was told since this was last asked. Raises `StateError`."""
        after = await self.begin()
        calls = await asyncio.to_thread(self._labelled, after, list(self._kept))
        return [(self._kept[call], await self.of(call)) for call in calls if call in self._kept]

    async def of(self, call: str) -> Any:
        """What somebody has said would have been right, by the newest label; None where nobody has. Raises `StateError`."""
        told = await asyncio.to_thread(self._queries.latest_outcomes, call)
        return next((each.value for each in told if each.kind == "label"), None)

    def _labelled(self, after: int, calls: list[str]) -> list[str]:
        """In a thread: asked every second, so that it looks at nothing twice."""
        last = self._queries.last_outcome()
        found = self._queries.labelled(calls, after=after, until=last) if last > after else []
        self._after = last
        return found
