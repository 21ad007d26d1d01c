"""Wrong hits stay below δ of the requests: surely where all hits are checked, else on at least nineteen of twenty streams, at every moment of each,
whatever the scores are worth and whoever chooses what is wrong.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cache_traffic import POPULATIONS, replay

from smallfirst.cache.semantic.seen import Observation
from smallfirst.training.cache.threshold import Threshold

STREAMS, REQUESTS = 20, 1000


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.02, 0.05, 0.2]), st.floats(0, 1))
def test_where_all_hits_are_checked_it_is_never_broken(seed, delta, wrong):
    chance = np.random.default_rng(seed)
    rule, wrong_hits = Threshold(delta, least_check=1.0), 0
    for t in range(1, 700):
        proven = rule.proven()
        hit = proven.threshold is not None
        right = bool(chance.random() > (wrong if hit else 0.0))
        wrong_hits += hit and not right
        rule.add(Observation(probability=0.999, threshold=proven.threshold, hit=hit, check=1.0, right=right))
        assert wrong_hits <= delta * t + 1e-9


@pytest.mark.parametrize(
    ("name", "warm", "delay"),
    [
        *((name, 0, 1) for name in POPULATIONS),
        *((name, 1000, 1) for name in ("calibrated", "shift", "adversary")),
        *((name, 0, 4) for name in ("calibrated", "adversary")),
    ],
)
def test_it_is_broken_on_at_most_one_stream_in_twenty(name, warm, delay):
    found = [
        replay(
            POPULATIONS[name](np.random.default_rng([seed, 1]), warm + REQUESTS),
            delta=0.05,
            chance=np.random.default_rng([seed, 2]),
            warm=warm,
            hostile=name == "adversary",
            delay=delay,
        )
        for seed in range(STREAMS)
    ]
    most = 0.05 * STREAMS + 3 * math.sqrt(0.05 * 0.95 * STREAMS)
    assert sum(one.broken_ever for one in found) <= most
    assert sum(one.bound_broken_ever for one in found) <= most
    assert all(one.opened is not None for one in found)  # a bound that serves nothing is no use
