"""How many failed when chance picks what is checked: by hand, at the ends, and as it was after a restart."""

import math

import msgspec
import numpy as np
import pytest

from smallfirst.statistics import CheckedFailures
from smallfirst.statistics.checked_failures import CheckedFailuresState, log_kept


def drawn(events, *, check, failing, seed=1, alpha=0.05):
    chance = np.random.default_rng(seed)
    found, failures = CheckedFailures(alpha), 0
    for _ in range(events):
        failed = bool(chance.random() < failing)
        failures += failed
        found.add(check, failed if chance.random() < check else None)
    return found, failures


def test_nothing_is_known_to_fail_where_nothing_was():
    found = CheckedFailures(0.05)
    assert (found.high, found.low, found.estimate) == (0, 0, 0)


def test_where_all_are_checked_all_is_known():
    found, failures = drawn(300, check=1.0, failing=0.1)
    assert found.high == found.low == found.estimate == failures > 10


def test_what_is_not_checked_may_all_have_failed():
    found = CheckedFailures(0.05)
    for _ in range(3):
        found.add(0.01, None)
    assert found.high == 3
    assert found.low == 0


def test_a_failure_is_worth_as_much_as_was_staked_on_it():
    for check in (0.02, 0.3, 0.99):
        stakes = CheckedFailures(0.05).stakes(check)
        kept = np.exp(log_kept(stakes, check))
        assert np.all(kept > 0.0999)
        np.testing.assert_allclose(check * kept + (1 - check) * np.exp(stakes), 1.0)


@pytest.mark.parametrize("check", [0.5, 0.1, 0.02])
def test_without_a_failure_the_bound_is_near_the_best_there_can_be(check):
    """Had one known beforehand when to look: all of n failures stay unseen with probability (1 − p)ⁿ."""
    found = CheckedFailures(0.05)
    for _ in range(1000):
        found.add(check, None)
    best = math.log(0.05) / math.log(1 - check)
    assert best < found.high < 1.8 * best


def test_the_bounds_hold_what_is_true_and_close_in_on_it():
    found, failures = drawn(20_000, check=0.2, failing=0.05)
    assert found.low < failures < found.high
    assert found.estimate == pytest.approx(failures, rel=0.2)
    assert found.high - found.low < 0.6 * failures


def test_the_upper_bound_only_rises():
    chance = np.random.default_rng(2)
    found, before = CheckedFailures(0.05), 0.0
    for _ in range(500):
        check = float(chance.choice([0.05, 0.3, 0.8]))
        found.add(check, bool(chance.random() < 0.2) if chance.random() < check else None)
        assert found.high >= before - 1e-6
        before = found.high


def test_after_a_restart_it_is_as_it_was_to_the_bit():
    found, _ = drawn(2000, check=0.15, failing=0.03)
    again = CheckedFailures.from_state(
        msgspec.json.decode(msgspec.json.encode(found.state), type=CheckedFailuresState)
    )
    for one in (found, again):
        one.add(0.07, True)
        one.add(0.5, None)
    assert again.state == found.state
    assert (again.high, again.low) == (found.high, found.low)


def test_a_state_of_another_version_is_refused():
    state = msgspec.structs.replace(CheckedFailures(0.05).state, above=(0.0,))
    with pytest.raises(ValueError, match="another version"):
        CheckedFailures.from_state(state)


@pytest.mark.parametrize("check", [0.0, -0.1, 1.01, math.nan])
def test_a_check_is_a_probability_above_zero(check):
    with pytest.raises(ValueError, match="check: expected"):
        CheckedFailures(0.05).add(check, None)


def test_alpha_is_a_probability():
    with pytest.raises(ValueError, match="alpha: expected"):
        CheckedFailures(0.0)
