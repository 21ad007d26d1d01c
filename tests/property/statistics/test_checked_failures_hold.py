"""The bounds on unchecked failures are ever wrong at most as often as said: every fall of the coins that there can be is weighed, whoever chooses the
probabilities of a check, and whatever he knows.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.statistics import CheckedFailures

CHECKS = (0.05, 0.2, 0.5, 0.8, 0.95)


def chance_of_error(plan: list[int], alpha: float, side: str) -> float:
    """How likely the bound was wrong at some moment of a run of failures: the plan names the next check's probability by how the last coin fell."""

    def wrong_from(found: CheckedFailures, step: int, failures: int, fell: bool) -> float:
        if (side == "high" and failures > found.high + 1e-9) or (
            side == "low" and failures < found.low - 1e-9
        ):
            return 1.0
        if step == len(plan):
            return 0.0
        check = CHECKS[(plan[step] + 2 * fell) % len(CHECKS)]
        total = 0.0
        for is_drawn, weight in ((True, check), (False, 1 - check)):
            later = CheckedFailures.from_state(found.state)
            later.add(check, True if is_drawn else None)
            total += weight * wrong_from(later, step + 1, failures + 1, is_drawn)
        return total

    return wrong_from(CheckedFailures(alpha), 0, 0, False)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=4, max_size=9), st.floats(0.05, 0.7))
def test_the_upper_bound_is_ever_wrong_at_most_as_often_as_said(plan, alpha):
    assert chance_of_error(plan, alpha, "high") <= alpha + 1e-9


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=4, max_size=9), st.floats(0.05, 0.7))
def test_the_lower_bound_is_ever_wrong_at_most_as_often_as_said(plan, alpha):
    assert chance_of_error(plan, alpha, "low") <= alpha + 1e-9


@pytest.mark.parametrize("check", [0.1, 0.6])
def test_over_a_long_run_it_is_wrong_as_rarely_as_said_and_not_far_more_rarely(check):
    """So that it is a bound, and no needlessly wide one."""
    alpha, runs, above, below = 0.2, 120, 0, 0
    for seed in range(runs):
        chance, found, high, low = np.random.default_rng(seed), CheckedFailures(alpha), False, False
        for failures in range(1, 81):
            found.add(check, True if chance.random() < check else None)
            high |= failures > found.high + 1e-9
            low |= failures < found.low - 1e-9
        above, below = above + high, below + low
    most = alpha * runs + 3 * math.sqrt(alpha * (1 - alpha) * runs)
    assert 0.03 * runs <= above <= most
    assert 0.01 * runs <= below <= most
