"""After a rung has answered: the probability that the answer is adequate, from what the answer says of itself and what was expected of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from smallfirst.classify.calibrated import Calibrated, logit
from smallfirst.routing.judgement import Signals

FEATURES = (
    "expected",  # log odds of what was expected before it answered
    "confidence",  # log odds of its own confidence; 0 where it gives none
    "log_chars",
    "truncated",
    "refused",
    "agrees",  # +1 and -1, 0 where there is nothing to agree with
)


def features(expected: float, signals: Signals) -> np.ndarray:
    """One row of `FEATURES`."""
    return np.array(
        [
            logit(expected),
            0.0 if signals.confidence is None else logit(signals.confidence),
            math.log1p(signals.chars),
            float(signals.truncated),
            float(signals.refused),
            0.0 if signals.agrees is None else 1.0 if signals.agrees else -1.0,
        ]
    )


def looks_of(arrays: Mapping[str, np.ndarray], rungs: int) -> dict[int, Calibrated]:
    """The second looks that a router's artifact holds, by rung."""
    return {
        rung: Calibrated.from_arrays(f"look{rung}", arrays)
        for rung in range(rungs - 1)
        if f"look{rung}.weights" in arrays
    }


def same_answer(one: Any, other: Any) -> bool:
    """Equal but for blank space around and inside."""
    if isinstance(one, str) and isinstance(other, str):
        return " ".join(one.split()) == " ".join(other.split())
    return one == other
