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
            latest = await asyncio.to_thread(self._queries.told, limit=1)
            if self._after is None:
                self._after = latest[0].n if latest else 0
        return self._after

    def keep(self, answers: Answers) -> None:
        """Kept until as many others have come."""
        self._kept[answers.call] = answers
        if len(self._kept) > limits.ASIDE_KEPT:
            self._kept.popitem(last=False)

    async def come(self) -> list[tuple[Answers, Any]]:
        """Labels that were told since this was last asked, with the answers that they are about. Raises `StateError`."""
        after = await self.begin()
        told = await asyncio.to_thread(self._queries.told, kind="label", after=after, limit=-1)
        if told:
            self._after = told[0].n
        labels = {each.call: each.outcome.value for each in reversed(told)}
        return [(self._kept[call], label) for call, label in labels.items() if call in self._kept]
