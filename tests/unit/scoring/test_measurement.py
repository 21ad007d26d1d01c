"""What was measured of a judge: figures, and the file that keeps it."""

import msgspec
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from smallfirst.errors import ScorerError
from smallfirst.scoring.agreement import agreement_of
from smallfirst.scoring.measurement import Measurement, Measurements, Pair

PAIRS = (
    Pair(example="1", model="a", human=1.0, judge=0.75),
    Pair(example="1", model="b", human=0.5, judge=0.75),
    Pair(example="2", model="a", human=0.0, judge=0.5),
    Pair(example="3", model="b", human=1.0, judge=1.0),
)


def measurement(**fields):
    told = {"task": "t", "scorer": "judge@1:abc", "model": "m", "pairs": PAIRS, "at_ms": 1}
    return Measurement(**(told | fields))


def test_agreement_is_what_the_libraries_say():
    rng = np.random.default_rng(3)
    human = rng.integers(0, 5, 200)
    judge = np.clip(human + rng.integers(-1, 2, 200), 0, 4)
    told = agreement_of((human / 4).tolist(), (judge / 4).tolist())
    assert told.agreement == pytest.approx((human == judge).mean())
    low, high = proportion_confint(int((human == judge).sum()), 200, method="wilson")
    assert (told.agreement_low, told.agreement_high) == pytest.approx((low, high))
    assert told.kappa == pytest.approx(cohen_kappa_score(human, judge, weights="quadratic"))
    assert (told.bias_low, told.bias_high) == pytest.approx(DescrStatsW((judge - human) / 4).tconfint_mean())
    assert told.confusion["0.25"].get("0.5", 0) == int(((human == 1) & (judge == 2)).sum())


def test_agreement_of_next_to_nothing():
    told = agreement_of([1.0], [0.0])
    assert (told.bias, told.bias_low, told.bias_high) == (-1.0, -1.0, 1.0)
    assert agreement_of([1.0, 1.0], [1.0, 1.0]).kappa is None
    with pytest.raises(ValueError, match="at least one"):
        agreement_of([], [])


def test_scores_and_differences_of_models():
    found = measurement()
    assert found.scores("b") == ([0.5, 1.0], [0.75, 1.0])
    assert len(found.scores()[0]) == 4
    assert found.differences("a", "b") == ([0.5], [0.0])
    assert found.differences("a", "c") == ([], [])


def test_measurements_are_kept_and_found(tmp_path):
    kept = Measurements(tmp_path)
    assert (kept.list(), kept.newest("t")) == ([], None)
    first = kept.save(measurement())
    second = kept.save(measurement(at_ms=2, scorer="judge@1:def"))
    other = kept.save(measurement(at_ms=3, task="u"))
    assert [one.id for one in kept.list()] == [other, second, first]
    assert kept.newest("t").id == second
    assert kept.newest("t", "judge@1:abc").id == first
    assert kept.newest("t", "judge@1:xyz") is None
    assert kept.find(first[:8]).measurement == measurement()
    path = kept.folder / f"{first}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ScorerError, match="no measurement begins with 'zz'"):
        kept.find("zz")
    with pytest.raises(ScorerError, match="3 measurements begin"):
        kept.find("")


def test_an_altered_measurement_is_refused(tmp_path):
    kept = Measurements(tmp_path)
    path = kept.folder / f"{kept.save(measurement())}.json"
    better = msgspec.structs.replace(PAIRS[2], judge=0.0)
    path.write_bytes(msgspec.json.encode(measurement(pairs=(*PAIRS[:2], better))))
    with pytest.raises(ScorerError, match="it was altered"):
        kept.newest("t")
