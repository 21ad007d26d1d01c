"""Corrected intervals cover what people would say, where those of the judge alone do not."""

import numpy as np
import pytest
from scipy.stats import binom
from support.judges import DIFFERENCES, JUDGES

from smallfirst.scoring.correction import corrected_difference, corrected_mean

DRAWS = 200
BIASED = [name for name in JUDGES if name not in ("nearly always right", "too kind, 97 % right")]
KINDS = [(name, found, corrected_mean) for name, found in JUDGES.items()]
KINDS += [(name, found, corrected_difference) for name, found in DIFFERENCES.items()]


@pytest.mark.parametrize(("name", "found", "correct"), KINDS, ids=[kind[0] for kind in KINDS])
def test_corrected_intervals_cover(name, found, correct):
    held = naive = 0
    for seed in range(DRAWS):
        rng = np.random.default_rng([1, *name.encode(), seed])
        human, judge = found.draw(rng, 300)
        _, others = found.draw(rng, 2000)
        told = correct(human, judge, others)
        held += told.low <= found.mean <= told.high
        naive += abs(others.mean() - found.mean) <= 1.96 * others.std() / np.sqrt(len(others))
    assert held >= binom.ppf(
        1e-4, DRAWS, 0.93
    )  # with 93 % in the long run, fewer come about once in ten thousand times
    if name in BIASED or correct is corrected_difference:
        assert naive < DRAWS / 2
