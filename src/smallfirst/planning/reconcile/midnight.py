"""Calls around midnight that their account has on the other day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from smallfirst.ledger.attempt_queries import Charged
from smallfirst.planning.reconcile.cells import MS_PER_DAY, CellKey
from smallfirst.planning.reconcile.line import Classes, by_class
from smallfirst.planning.reconcile.result import usd

NEAR_MS = 300_000  # so near to midnight a call may be on the other day
_KEPT = 2_000  # of one midnight and model
_MOVED_MAX = 100  # calls that are taken to be on the other day


class Moved(NamedTuple):
    """Attempts of ours that theirs has on the other side of a midnight, and what the later day gains by that (the earlier loses it)."""

    tokens: tuple[int, ...]
    usd: Decimal
    calls: tuple[str, ...]


class Midnights:
    """Attempts near each midnight. `key_of` says in which cell an attempt is."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._near: dict[int, list[Charged]] = {}

    def see(self, attempt: Charged) -> None:
        """Keeps it where it is near a midnight, or goes on over one."""
        for midnight in {
            (attempt.at_ms + NEAR_MS) // MS_PER_DAY,
            (attempt.at_ms + attempt.latency_ms) // MS_PER_DAY,
        }:
            at_ms = midnight * MS_PER_DAY
            crosses = attempt.at_ms < at_ms <= attempt.at_ms + attempt.latency_ms
            if abs(attempt.at_ms - at_ms) <= NEAR_MS or crosses:
                near = self._near.setdefault(midnight, [])
                if len(near) < _KEPT:
                    near.append(attempt)

    def options(self, midnight: int, model: str, model_of: Callable[[Charged], str]) -> list[Moved]:
        """What may have moved over the midnight that begins this day: nothing, what went on over it, the last before it, the first after it."""
        at_ms = midnight * MS_PER_DAY
        near = sorted(
            (each for each in self._near.get(midnight, ()) if model_of(each) == model),
            key=lambda each: each.at_ms,
        )
        before = [each for each in near if each.at_ms < at_ms]
        after = [each for each in near if each.at_ms >= at_ms]
        crossing = [each for each in before if each.at_ms + each.latency_ms >= at_ms]
        found = [self._moved([], 1), self._moved(crossing, 1)]
        found += [self._moved(before[-count:], 1) for count in range(1, min(len(before), _MOVED_MAX) + 1)]
        found += [self._moved(after[:count], -1) for count in range(1, min(len(after), _MOVED_MAX) + 1)]
        return found

    def explains(
        self,
        key: CellKey,
        difference: Mapping[str, int],
        apart: Decimal | None,
        within: Decimal,
        model_of: Callable[[Charged], str],
    ) -> tuple[str, ...]:
        """The calls that make up the cell's difference exactly by moving over the midnights at its two ends. Money, where it is told, may be
        off by `within` dollars.
        """
        day, model = key
        wanted = tuple(difference.get(name, 0) for name in self._classes)
        leaving: dict[tuple[int, ...], list[Moved]] = {}
        for option in self.options(day + 1, model, model_of):
            leaving.setdefault(option.tokens, []).append(option)
        for coming in self.options(day, model, model_of):
            rest = tuple(gained - due for gained, due in zip(coming.tokens, wanted, strict=True))
            for going in leaving.get(rest, ()):
                calls = coming.calls + going.calls
                if calls and (apart is None or abs(coming.usd - going.usd - apart) <= within):
                    return calls
        return ()

    def _moved(self, attempts: list[Charged], sign: int) -> Moved:
        totals = dict.fromkeys(self._classes, 0)
        for attempt in attempts:
            for name, count in by_class(attempt.usage, self._classes).items():
                totals[name] += sign * count
        cost = sign * sum((usd(attempt.cost_nusd) for attempt in attempts), Decimal(0))
        return Moved(tuple(totals.values()), cost, tuple(attempt.call for attempt in attempts))
