"""The gate's promises: a candidate past its margin passes at most as often as α says, in every kind of data; one without loss passes with the
sample that the plan asked for; a canary without a drop is rarely rolled back, however often one looks.

The small-sample property is exact: every sample that there can be is weighed. The rest are seeded draws whose true loss is known.
`python -m benchmarks.gate` does the same with more of them.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.statistics import EProcess, noninferiority, power, spending
from smallfirst.statistics.noninferiority import Sample, aimed_stakes, p_value, sample_of
from smallfirst.statistics.sequences import mixed, scatter_so_far, stakes_for

MARGIN, ALPHA, DRAWS = 0.05, 0.05, 200
MOST = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / DRAWS)


@settings(max_examples=60)
@given(
    values=st.lists(st.floats(-1, 1), min_size=2, max_size=3, unique=True),
    raw=st.lists(st.floats(0.02, 1), min_size=3, max_size=3),
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    below=st.floats(0, 0.3),
    level=st.floats(0.02, 0.6),
)
def test_a_true_hypothesis_is_refuted_at_most_as_often_as_said(values, raw, sizes, below, level):
    """Groups of given sizes whose examples all lose the same: each group draws one of the values."""
    weights = [weight / sum(raw[: len(values)]) for weight in raw]
    mean = sum(value * weight for value, weight in zip(values, weights, strict=False))
    margin = max(0.0, min(0.999, mean - below))
    if mean < margin:
        return
    refuted = 0.0
    for drawn in itertools.product(range(len(values)), repeat=len(sizes)):
        sums = np.asarray([values[at] * size for at, size in zip(drawn, sizes, strict=True)])
        if p_value(Sample(sums, np.asarray(sizes)), margin) <= level:
            refuted += math.prod(weights[at] for at in drawn)
    assert refuted <= level + 1e-9


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([-1.0, -0.4, 0.0, 0.0, 0.3, 1.0]), st.integers(0, 9)),
        min_size=1,
        max_size=60,
    )
)
def test_the_test_and_its_bound_agree(rows):
    losses, groups = zip(*rows, strict=True)
    found = noninferiority.judge(losses, 0.1, groups=groups)
    assert found.bound >= found.loss - 1e-9
    assert found.floor <= found.loss + 1e-9
    assert found.shown == (found.bound <= 0.1 + 2e-6) or abs(found.bound - 0.1) < 1e-5


def ternary(chance, examples, loss):
    drawn = chance.random(examples)
    worse, better = (0.15 + loss) / 2, (0.15 - loss) / 2
    return np.where(drawn < worse, 1.0, np.where(drawn < worse + better, -1.0, 0.0))


def single(chance, examples, loss):
    return sample_of(ternary(chance, examples, loss))


def graded(chance, examples, loss):
    size = chance.beta(1, 2, examples) * (chance.random(examples) < 0.6)
    return sample_of(size * np.where(chance.random(examples) < (1 + loss / 0.2) / 2, 1.0, -1.0))


def grouped(chance, examples, loss):
    """Conversations of one to six examples that go one way as a whole."""
    sizes = chance.integers(1, 7, max(2, examples // 3))
    groups = np.repeat(np.arange(sizes.size), sizes)
    return sample_of(ternary(chance, sizes.size, loss)[groups], groups)


def passes(sample, expected, alpha=ALPHA):
    return (
        p_value(sample, MARGIN, stakes=aimed_stakes(sample, MARGIN, alpha=alpha, expected=expected)) <= alpha
    )


@pytest.mark.parametrize("draw", [single, graded, grouped])
@pytest.mark.parametrize("examples", [60, 800])
def test_a_candidate_just_past_the_margin_rarely_passes(draw, examples):
    chance = np.random.default_rng(7)
    expected = draw(chance, 300, 0.0)
    passed = sum(passes(draw(chance, examples, MARGIN + 1e-6), expected) for _ in range(DRAWS))
    assert passed / DRAWS <= MOST


@pytest.mark.parametrize("draw", [single, graded, grouped])
def test_with_the_sample_it_asked_for_a_candidate_without_loss_passes(draw):
    chance, passed, times = np.random.default_rng(8), 0, 20
    for at in range(times):
        expected = draw(chance, 300, 0.0)
        examples = power.examples_needed(expected, MARGIN, power=0.9, seed=at)
        passed += passes(draw(chance, examples, 0.0), expected)
    assert passed / times >= 0.9 - 2 * math.sqrt(0.9 * 0.1 / times)


def test_four_points_worse_do_not_pass():
    chance = np.random.default_rng(9)
    expected = single(chance, 300, 0.0)
    samples = [single(chance, 1000, 0.04) for _ in range(DRAWS)]
    stakes = aimed_stakes(samples[0], 0.02, alpha=ALPHA, expected=expected)
    assert sum(p_value(one, 0.02, stakes=stakes) <= ALPHA for one in samples) <= 1  # .5 %


def test_many_bad_candidates_on_one_set_pass_together_as_rarely_as_one():
    chance = np.random.default_rng(10)
    expected = single(chance, 300, 0.0)
    wrong = sum(
        any(
            passes(single(chance, 500, MARGIN + 1e-6), expected, alpha=spending.spent_at(read, ALPHA))
            for read in range(1, 9)
        )
        for _ in range(100)
    )
    assert wrong / 100 <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 100)


def rolled_back(drop, *, alpha, pairs, streams):
    """At which pair each stream is rolled back: the class's own arithmetic, for many streams at once."""
    chance, means = np.random.default_rng(11), np.zeros(streams)
    squares, at = np.zeros(streams), np.full(streams, pairs + 1)
    wealth: np.ndarray | float = 0.0
    for pair in range(pairs):
        x = ternary(chance, streams, drop)
        wealth = wealth + np.log1p(
            stakes_for(means, -1.0, drop=0.05, scatter=scatter_so_far(0.15, squares, pair)) * x[:, None]
        )
        squares += x**2
        at = np.where((mixed(wealth) >= -math.log(alpha)) & (at > pairs), pair + 1, at)
    return at


def test_many_streams_at_once_are_the_class_one_by_one():
    at = rolled_back(0.08, alpha=0.05, pairs=150, streams=3)
    chance = np.random.default_rng(11)
    processes, one_by_one = [EProcess(0.0, 0.05) for _ in range(3)], [151] * 3
    for pair in range(150):
        for stream, x in enumerate(ternary(chance, 3, 0.08)):
            if processes[stream].add(float(x)):
                one_by_one[stream] = min(one_by_one[stream], pair + 1)
    assert at.tolist() == one_by_one


def test_a_canary_without_a_drop_is_rarely_rolled_back_however_often_one_looks():
    at = rolled_back(0.0, alpha=0.05, pairs=3000, streams=300)
    assert np.mean(at <= 3000) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize(("drop", "alpha", "median"), [(0.05, 0.01, 600), (0.08, 0.05, 200)])
def test_a_drop_is_caught_in_time(drop, alpha, median):
    assert np.median(rolled_back(drop, alpha=alpha, pairs=1500, streams=400)) <= median
