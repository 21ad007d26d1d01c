"""Whether a task's calls, or the answers to them, are no longer like those that its release was judged on.

Two kinds. *Outcome drift*: the frontier disagrees with the release more than it used to, on explored calls (ADWIN: Bifet and Gavaldà, "Learning from
time-changing data with adaptive windowing", SDM 2007, by `river`). *Input drift*: the mix of calls has moved from what it was when the release
began to answer (the population stability index of windows of calls: above .25 is called a shift by those who use it; Siddiqi, "Credit Risk
Scorecards", 2006). Neither changes anything: each is an event once, and reason to build a dataset and gate anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from smallfirst.ledger.records import Call

if TYPE_CHECKING:
    from river.drift import ADWIN

WINDOW_CALLS = 500
PSI_SHIFT = 0.25
PSI_CALM = 0.10  # below it a finding may be made again
KEPT_SCORES = 2000
_DELTA = 0.002  # ADWIN's own confidence
_HALF = 0.5  # added to each count: an empty class is not infinitely far


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What has moved, and by how much: a feature's index, or the mean before and after."""

    at_ms: int
    task: str
    release: str
    of: str  # "outcome" or "input"
    feature: str
    value: float
    before: float | None = None


class OutcomeDriftState(msgspec.Struct, kw_only=True):
    """The latest observations: all that is needed to go on."""

    recent: list[float] = []


class OutcomeDrift:
    """Watches a stream of disagreements in [0, 1] for a rise."""

    def __init__(self, state: OutcomeDriftState | None = None) -> None:
        self.state = state or OutcomeDriftState()
        self._detector = self._fresh()
        for value in self.state.recent:
            self._detector.update(value)

    def add(self, value: float) -> tuple[float, float] | None:
        """The mean before and after, where this observation shows that it has risen."""
        before = self._detector.estimation
        self._detector.update(value)
        self.state.recent.append(value)
        if len(self.state.recent) > KEPT_SCORES:
            del self.state.recent[0]
        if not self._detector.drift_detected:
            return None
        after = self._detector.estimation
        del self.state.recent[
            : -max(1, int(self._detector.width))
        ]  # what it has dropped is not told it again
        return (before, after) if after > before else None

    @staticmethod
    def _fresh() -> ADWIN:
        from river.drift import ADWIN  # a second to import: only where something is watched

        return ADWIN(delta=_DELTA)


class InputMixState(msgspec.Struct, kw_only=True):
    """Counts of each feature's classes: of the first window, and of the one that is filling."""

    reference: dict[str, dict[str, int]] = {}
    window: dict[str, dict[str, int]] = {}
    calls: int = 0  # in the window that is filling
    has_reference: bool = False
    shifted: list[str] = []  # features that were told
    latest: dict[str, float] = {}  # the index of the last whole window


class InputMix:
    """Compares each window of calls with the first one."""

    def __init__(self, state: InputMixState | None = None) -> None:
        self.state = state or InputMixState()

    def add(self, features: Mapping[str, str]) -> list[tuple[str, float]]:
        """The features that have shifted, with their index, where this call fills a window."""
        state = self.state
        for name, value in features.items():
            counts = state.window.setdefault(name, {})
            counts[value] = counts.get(value, 0) + 1
        state.calls += 1
        if state.calls < WINDOW_CALLS:
            return []
        window, state.window, state.calls = state.window, {}, 0
        if not state.has_reference:
            state.reference, state.has_reference = window, True
            return []
        state.latest = {name: psi(state.reference.get(name, {}), counts) for name, counts in window.items()}
        state.shifted = [name for name in state.shifted if state.latest.get(name, 0.0) >= PSI_CALM]
        fresh = [
            (name, index)
            for name, index in state.latest.items()
            if index > PSI_SHIFT and name not in state.shifted
        ]
        state.shifted += [name for name, _ in fresh]
        return fresh


def psi(reference: Mapping[str, int], window: Mapping[str, int]) -> float:
    """The population stability index of two counts of the same classes: 0 where the shares are the same.

    Half a call is added to every class of either, so that one that is new is far and not infinitely far.
    """
    classes = sorted(set(reference) | set(window))
    totals = [sum(counts.values()) + _HALF * len(classes) for counts in (reference, window)]
    found = 0.0
    for name in classes:
        was = (reference.get(name, 0) + _HALF) / totals[0]
        now = (window.get(name, 0) + _HALF) / totals[1]
        found += (now - was) * math.log(now / was)
    return found


def features_of(call: Call) -> dict[str, str]:
    """What of a call is looked at: its length (in doublings), how its task was found, which rung answered, and whether it was like nothing seen."""
    found = {
        "length": str(max(call.prompt_bytes, 1).bit_length()),
        "by": str(call.decision.get("by", "")),
        "rung": str(call.rung),
    }
    judgement = call.decision.get("judgement")
    if isinstance(judgement, dict):
        found["unknown"] = "yes" if judgement.get("unknown") else "no"
    return found
