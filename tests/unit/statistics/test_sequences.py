"""The process that watches a canary: what it rejects, what it remembers, and that its parts agree."""

import json
import math

import msgspec
import numpy as np
import pytest

from smallfirst.statistics import EProcess
from smallfirst.statistics.sequences import mixed, scatter_so_far, stakes_for


def stream(drop, n, *, seed=1, disagree=0.15):
    drawn = np.random.default_rng(seed).random(n)
    worse, better = (disagree + drop) / 2, (disagree - drop) / 2
    return np.where(drawn < worse, 1.0, np.where(drawn < worse + better, -1.0, 0.0)).tolist()


def fed(process, observations):
    for x in observations:
        process.add(x)
    return process


def test_it_starts_with_nothing_shown():
    process = EProcess(0.0, 0.01)
    assert not process.rejected
    assert process.e_value == 1.0
    assert process.lower_bound == -1.0
    assert process.mean is None


def test_a_large_drop_is_rejected_and_stays_so():
    process = fed(EProcess(0.0, 0.01), stream(0.12, 1000))
    assert process.rejected
    assert process.e_value >= 100
    assert 0 <= process.lower_bound < 0.12
    fed(process, [-1.0] * 500)
    assert process.rejected


def test_what_is_better_is_never_rejected():
    process = fed(EProcess(0.0, 0.05), stream(-0.05, 3000))
    assert not process.rejected
    assert process.lower_bound < 0


def test_one_observation_by_hand():
    """Each gambler's wealth is 1 + stake · (x − m); the mixture's is their weighted mean, and never below its start."""
    process = EProcess(0.0, 0.01, drop=0.05, scatter=0.15)
    stakes = stakes_for(np.zeros(1), -1.0, drop=0.05, scatter=0.15)
    process.add(1.0)
    assert process.e_value == pytest.approx(math.exp(float(mixed(np.log1p(stakes))[0])))
    other = fed(EProcess(0.0, 0.01), [-1.0])
    assert other.e_value == 1.0


def test_no_stake_can_lose_all():
    means = np.linspace(-0.99, 0.99, 50)
    stakes = stakes_for(means, -1.0, drop=0.5, scatter=1e-6)
    assert np.all(stakes > 0)
    assert np.all(1 + stakes * (-1.0 - means[:, None]) >= 0.049)


def test_the_scatter_gives_way_to_what_is_seen():
    assert scatter_so_far(0.15, 0.0, 0) == pytest.approx(0.15)
    assert scatter_so_far(0.15, 4000.0, 10_000) == pytest.approx(0.4, abs=0.001)


def test_the_lower_bound_and_the_test_agree():
    for seed in range(8):
        process = EProcess(0.02, 0.05)
        for x in stream(0.09, 900, seed=seed):
            process.add(x)
            assert process.rejected == (process.lower_bound >= process.null - 1e-12)


def test_a_process_that_was_saved_goes_on_as_if_nothing_had_happened():
    observations = stream(0.04, 400)
    whole = fed(EProcess(0.0, 0.01), observations)
    half = fed(EProcess(0.0, 0.01), observations[:200])
    read = EProcess.from_state(json.loads(msgspec.json.encode(half.state)))
    assert fed(read, observations[200:]).state == whole.state


def test_another_versions_state_is_refused():
    state = msgspec.structs.replace(EProcess(0.0, 0.01).state, wealth=((0.0,),))
    with pytest.raises(ValueError, match="another version"):
        EProcess.from_state(state)


def test_shares_in_other_ranges_are_watched_too():
    drawn = np.random.default_rng(4).random(3000)
    process = fed(
        EProcess(0.02, 0.01, low=0.0, high=1.0, drop=0.03, scatter=0.03), (drawn < 0.08).astype(float)
    )
    assert process.rejected
    assert 0.02 <= process.lower_bound < 0.08


@pytest.mark.parametrize("x", [1.5, -1.01, math.nan])
def test_what_is_out_of_range_is_refused(x):
    process = EProcess(0.0, 0.01)
    with pytest.raises(ValueError, match="x:"):
        process.add(x)
    assert process.count == 0


@pytest.mark.parametrize(
    ("null", "alpha", "more"),
    [
        (1.0, 0.01, {}),
        (-1.0, 0.01, {}),
        (0.0, 0.0, {}),
        (0.0, 1.0, {}),
        (0.0, 0.1, {"drop": 0.0}),
        (0.0, 0.1, {"scatter": -1.0}),
    ],
)
def test_impossible_questions_are_refused(null, alpha, more):
    with pytest.raises(ValueError, match="expected"):
        EProcess(null, alpha, **more)
