"""Watches how much of a tenant's traffic goes to the frontier: the alarm for drift, junk and crafted suffixes.

For each tenant and task the frontier's calls are counted beside two shares that are known: what the release promised, and what was usual for this
tenant before. Calls beyond such a share and two points more are its excess; when it has grown to thirty, an event says so, at most once an hour.
(A one-sided cumulative sum, Page 1954: traffic that keeps to the share makes a false alarm about once in a hundred thousand calls; a flood of a few
hundred calls is found while it lasts.) Calls that were unlike anything seen are counted apart: where a task gives them a share (`unknown_share`),
what is beyond it is no longer sent to the frontier for that reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.answering.decide import Decision
from smallfirst.releases.policy import Policy

_WINDOW = 1000  # calls; two of them are looked at
_LEAST = 100  # calls before anything is usual, or too much
_POINTS = 0.02
_EXCESS = 30.0  # calls
_CALM = 10.0  # calls of excess over what was usual, up to which this is usual too
_AGAIN_S = 3600.0


class _Counts(msgspec.Struct):
    calls: int = 0
    frontier: int = 0
    unknown: int = 0
    excused: int = 0  # unknown, and sent to the frontier for it

    @property
    def share(self) -> float:
        return self.frontier / self.calls

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.calls + other.calls,
            self.frontier + other.frontier,
            self.unknown + other.unknown,
            self.excused + other.excused,
        )


class _Watched:
    """One tenant's calls of one task: those of this window and of the one before, what was `usual` while nothing was wrong, and the excess over what
    was promised and over what was usual.
    """

    __slots__ = ("before", "beyond_promise", "beyond_usual", "now", "told_s", "usual")

    def __init__(self) -> None:
        self.before = _Counts()
        self.now = _Counts()
        self.usual: _Counts | None = None
        self.beyond_promise = 0.0
        self.beyond_usual = 0.0
        self.told_s = -math.inf

    @property
    def seen(self) -> _Counts:
        return self.before + self.now

    def count(self, promised: float, *, frontier: bool, unknown: bool, excused: bool) -> None:
        """One call more."""
        now = self.now
        now.calls += 1
        now.frontier += frontier
        now.unknown += unknown
        now.excused += excused
        self.beyond_promise = max(0.0, self.beyond_promise + frontier - promised - _POINTS)
        if self.usual is not None:
            self.beyond_usual = max(0.0, self.beyond_usual + frontier - _bearable(self.usual))
        if now.calls % _LEAST == 0 and self.beyond_usual < _CALM:
            self.usual = self.seen
        if now.calls >= _WINDOW:
            self.before, self.now = now, _Counts()


class Watch:
    """Counts by tenant and task. `alarm` is told what has happened, ready for the ledger and the log."""

    def __init__(
        self, alarm: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._alarm = alarm
        self._clock = clock
        self._watched: dict[tuple[str, str], _Watched] = {}
        self.alarms = 0  # that were told

    def may_be_unknown(self, tenant: str, task: str, share: float) -> bool:
        """Whether one more call may go to the frontier for being unlike anything seen."""
        if share >= 1:
            return True
        watched = self._watched.get((tenant, task))
        seen = watched.seen if watched else _Counts()
        return seen.excused < share * max(seen.calls, _LEAST)

    def routed(self, tenant: str, policy: Policy, decision: Decision, rung: int) -> None:
        """A call was decided by a router, and this rung has answered it."""
        if decision.judgement is None or policy.router is None:
            return
        watched = self._watched.get((tenant, policy.task))
        if watched is None:
            if len(self._watched) >= limits.MAX_WATCHED:
                self._watched.clear()
            watched = self._watched[(tenant, policy.task)] = _Watched()
        promised, unknown = 1 - policy.router.bound.small_share, bool(decision.judgement.unknown)
        watched.count(
            promised,
            frontier=rung == len(policy.ladder) - 1,
            unknown=unknown,
            excused=unknown and not decision.outside_bound,
        )
        if max(watched.beyond_promise, watched.beyond_usual) >= _EXCESS:
            self._tell(watched, tenant, policy.task, promised)

    def _tell(self, watched: _Watched, tenant: str, task: str, promised: float) -> None:
        now_s, seen, usual = self._clock(), watched.seen, watched.usual
        if seen.calls < _LEAST or now_s < watched.told_s + _AGAIN_S:
            return
        self._alarm(
            {
                "tenant": tenant,
                "task": task,
                "beyond": "promised" if watched.beyond_promise >= _EXCESS else "usual",
                "calls": seen.calls,
                "frontier_share": round(seen.share, 4),
                "promised_share": round(promised, 4),
                "usual_share": round(usual.share, 4) if usual else None,
                "unknown_share": round(seen.unknown / seen.calls, 4),
            }
        )
        watched.told_s, watched.beyond_promise, watched.beyond_usual = now_s, 0.0, 0.0
        self.alarms += 1


def _bearable(usual: _Counts) -> float:
    """The share from which on a call more is excess: what was usual, twice the error with which that is known, and two points."""
    share = min(max(usual.share, 0.05), 0.95)
    return usual.share + 2 * math.sqrt(share * (1 - share) / usual.calls) + _POINTS
