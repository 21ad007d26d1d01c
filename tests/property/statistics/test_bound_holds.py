"""The quality bound: the certified policy's true loss exceeds the margin at most δ of the times, and a plug-in
threshold's far more often.

The small-sample property is exact: every sample that there can be is weighed. The rest are seeded draws from populations
whose true loss is known, held to δ and three standard errors.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.statistics import betting, binomial, fixed_sequence

DELTA, MARGIN, EXAMPLES, DRAWS = 0.05, 0.05, 500, 200
MOST = DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / DRAWS)


def chances(sample: tuple[int, ...], weights: list[float]) -> float:
    """The probability of a sample of values, in any order."""
    counts = Counter(sample)
    ways = math.factorial(len(sample)) / math.prod(math.factorial(n) for n in counts.values())
    return ways * math.prod(weights[i] ** n for i, n in counts.items())


@settings(max_examples=60)
@given(
    values=st.lists(st.floats(-1, 1), min_size=2, max_size=3, unique=True),
    raw=st.lists(st.floats(0.02, 1), min_size=3, max_size=3),
    size=st.integers(1, 7),
    below=st.floats(0, 0.3),
    level=st.floats(0.02, 0.6),
)
def test_a_true_hypothesis_is_refuted_at_most_as_often_as_said(values, raw, size, below, level):
    weights = [weight / sum(raw[: len(values)]) for weight in raw]
    mean = sum(value * weight for value, weight in zip(values, weights, strict=False))
    margin = max(-0.999, min(0.999, mean - below))  # the mean is at least the margin
    if mean < margin:
        return
    refuted = sum(
        chances(sample, weights)
        for sample in itertools.combinations_with_replacement(range(len(values)), size)
        if betting.p_value([values[i] for i in sample], margin) <= level
    )
    assert refuted <= level + 1e-9


@settings(max_examples=60)
@given(st.integers(1, 60), st.floats(0.01, 0.9), st.floats(0.01, 0.6))
def test_counting_refutes_a_true_hypothesis_at_most_as_often_as_said(trials, share, level):
    refuted = sum(
        math.comb(trials, failures) * share**failures * (1 - share) ** (trials - failures)
        for failures in range(trials + 1)
        if binomial.p_value(failures, trials, margin=share) <= level
    )
    assert refuted <= level + 1e-9


@settings(max_examples=40)
@given(st.lists(st.sampled_from([-1.0, -0.4, 0.0, 0.0, 0.3, 1.0]), min_size=1, max_size=80))
def test_the_test_and_its_bound_agree(losses):
    bound = betting.upper_bound(losses)
    assert bound >= sum(losses) / len(losses) - 1e-12
    if bound < 1:
        assert betting.p_value(losses, bound) <= DELTA * (1 + 1e-9)
        assert betting.p_value(losses, bound - 1e-5) > DELTA * (1 - 1e-3)


def binary(chance):
    """Twenty policies that share their examples: policy j fails on its r_j hardest. Each is as daring as the last, and more."""
    rates = np.linspace(0.005, 0.1, 20)
    return (chance.random((EXAMPLES, 1)) < rates).astype(float), rates


def graded(chance):
    """Scores, not flags: policy j answers its s_j easiest with a loss that is a gain as often as one in four."""
    shares = np.linspace(0.03, 0.6, 20)
    size = chance.beta(2, 2, (EXAMPLES, 1)) * np.where(chance.random((EXAMPLES, 1)) < 0.25, -0.7, 0.5)
    return size * (chance.random((EXAMPLES, 1)) < shares), shares * 0.5 * (0.75 * 0.5 - 0.25 * 0.7)


def ladder(chance):
    """Three rungs: more stay on the cheapest, then on the middle one; each example is hard for both or for neither."""
    shares = np.linspace(0.02, 0.4, 20)
    hard = chance.random((EXAMPLES, 1))
    draw = chance.random((EXAMPLES, 1))
    cheap, middle = draw < shares, (draw >= shares) & (draw < 2 * shares)
    losses = cheap * (hard < 0.2) + middle * 0.5 * (hard < 0.1)
    return losses, shares * 0.2 + shares * 0.05


def edge(chance):
    """Policies that do not depend on one another, all a hair above the margin: whatever is certified is wrong."""
    rate = MARGIN + 1e-9
    return (chance.random((EXAMPLES, 5)) < rate).astype(float), np.full(5, rate)


def broken(population, choose) -> float:
    """The share of draws after which the chosen policy's true loss is above the margin."""
    chance = np.random.default_rng(20_26)
    wrong = 0
    for _ in range(DRAWS):
        losses, truth = population(chance)
        chosen = choose(losses)
        wrong += chosen is not None and bool(truth[chosen] > MARGIN)
    return wrong / DRAWS


def certified(losses):
    return fixed_sequence(losses, margin=MARGIN, delta=DELTA).certified


AIMED = {
    name: population(np.random.default_rng(1))[0]
    for name, population in (("binary", binary), ("graded", graded), ("ladder", ladder), ("edge", edge))
}


def aimed(name):
    """As `certified`, with the bets aimed by one other sample."""

    def choose(losses):
        return fixed_sequence(losses, margin=MARGIN, delta=DELTA, expected=AIMED[name]).certified

    return choose


def counted(losses):
    return fixed_sequence(losses, margin=MARGIN, delta=DELTA, binary=True).certified


def plug_in(losses):
    """The most daring policy whose loss on these examples is within the margin: what a threshold picked by eye is."""
    kept = np.flatnonzero(losses.mean(axis=0) <= MARGIN)
    return int(kept[-1]) if kept.size else None


@pytest.mark.parametrize("population", [binary, graded, ladder, edge])
def test_the_bound_holds_by_betting(population):
    assert broken(population, certified) <= MOST


@pytest.mark.parametrize("population", [binary, graded, ladder, edge])
def test_the_bound_holds_by_betting_that_is_aimed(population):
    assert broken(population, aimed(population.__name__)) <= MOST


@pytest.mark.parametrize("population", [binary, edge])
def test_the_bound_holds_by_counting(population):
    assert broken(population, counted) <= MOST


@pytest.mark.parametrize("population", [binary, graded, ladder, edge])
def test_a_plug_in_threshold_breaks_it(population):
    """So the tests above can fail."""
    assert broken(population, plug_in) > 5 * DELTA


@pytest.mark.parametrize("population", [binary, graded, ladder])
def test_the_bound_is_of_use(population):
    """It certifies something in nearly every draw: what never certifies keeps every bound."""
    chance = np.random.default_rng(7)
    chosen = [certified(population(chance)[0]) for _ in range(50)]
    assert sum(index is not None for index in chosen) >= 48


def test_stopping_when_it_looks_best_is_covered_by_anytime_alone():
    """Peeking after every example and stopping at the best moment."""
    chance = np.random.default_rng(11)
    losses = (chance.random((DRAWS, EXAMPLES)) < MARGIN).astype(float)
    refuted = [betting.p_value(row, MARGIN, anytime=True) <= DELTA for row in losses]
    assert np.mean(refuted) <= MOST
