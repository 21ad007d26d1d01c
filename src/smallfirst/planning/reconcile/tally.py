"""Adds up what differs, by its cause, and keeps the dearest of it to be shown."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import get_args

import msgspec

from smallfirst import limits
from smallfirst.planning.reconcile.result import Cause, CauseKind, Differing

Told = Callable[[Differing], None]


class _Sum:
    __slots__ = ("count", "ours_usd", "theirs_usd", "tokens", "what")

    def __init__(self) -> None:
        self.count = 0
        self.theirs_usd = Decimal(0)
        self.ours_usd = Decimal(0)
        self.tokens: dict[str, int] = {}
        self.what: list[str] = []


class Tally:
    """`told` hears of everything that differs, as it is found, however much there is."""

    def __init__(self, told: Told | None = None) -> None:
        self._sums: dict[CauseKind, _Sum] = {}
        self._kept: list[tuple[Decimal, int, Differing]] = []
        self._numbers = itertools.count()
        self._told = told
        self.differing = 0

    def add(self, found: Differing) -> None:
        """Something that differs."""
        self.note(found.kind, found.theirs_usd, found.ours_usd, found.tokens)
        self.differing += 1
        if self._told is not None:
            self._told(found)
        size = abs(found.difference_usd)
        item = (size, -next(self._numbers), found)
        if len(self._kept) < limits.DIFFERENCES_KEPT:
            heapq.heappush(self._kept, item)
        else:
            heapq.heappushpop(self._kept, item)

    def note(
        self, kind: CauseKind, theirs: Decimal | None, ours: Decimal | None, tokens: Mapping[str, int]
    ) -> None:
        """Counts it without showing it, as is done with rounding."""
        total = self._sums.setdefault(kind, _Sum())
        total.count += 1
        total.theirs_usd += theirs or 0
        total.ours_usd += ours or 0
        for name, count in tokens.items():
            total.tokens[name] = total.tokens.get(name, 0) + count

    def say(self, kind: CauseKind, what: str) -> None:
        """What was found out of a cause."""
        self._sums[kind].what.append(what)

    def causes(self, *, money: bool) -> tuple[Cause, ...]:
        """The causes in the order in which `CauseKind` names them. Without `money` their account tells none: nothing can differ in it."""
        return tuple(
            Cause(
                kind=kind,
                count=total.count,
                theirs_usd=total.theirs_usd,
                ours_usd=total.ours_usd,
                difference_usd=total.theirs_usd - total.ours_usd if money else Decimal(0),
                tokens={name: count for name, count in total.tokens.items() if count},
                what=tuple(total.what),
            )
            for kind in get_args(CauseKind)
            if (total := self._sums.get(kind)) is not None
        )

    def kept(self, *, money: bool) -> tuple[Differing, ...]:
        """The dearest first, then in the order in which they were found."""
        found = [each for _, _, each in sorted(self._kept, key=lambda item: (-item[0], -item[1]))]
        return tuple(found if money else [msgspec.structs.replace(each, ours_usd=None) for each in found])
