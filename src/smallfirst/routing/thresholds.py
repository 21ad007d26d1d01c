"""A whole policy's thresholds, and what they choose: one rule, used by the gateway and by the fit that certifies it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

NEVER = -2.0  # below every uplift: the rung is not asked
ALWAYS = 2.0  # above every uplift
UNKNOWN = 9.0  # stands for the uplift of a call that no threshold may let begin below the frontier


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For each rung but the last: it is asked where its uplift is at most `ask`, and its answer is released where it is adequate with probability
    at least `accept` (0: without a second look).
    """

    ask: tuple[float, ...]
    accept: tuple[float, ...]

    def asks(self, rung: int, uplift: Sequence[float]) -> bool:
        return uplift[rung] <= self.ask[rung]

    def looks_again(self, rung: int) -> bool:
        """Whether an answer of this rung is judged before it is released."""
        return rung < len(self.accept) and self.accept[rung] > 0


def frontier_only(rungs: int) -> Thresholds:
    """Nothing is asked but the last of `rungs`."""
    return Thresholds((NEVER,) * (rungs - 1), (0.0,) * (rungs - 1))
