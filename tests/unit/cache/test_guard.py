"""The learned decision, served: what it answers, what it refuses, and that it is what its file says."""

from __future__ import annotations

import numpy as np
import pytest
from support.cache_topics import DIMENSIONS, candidates, topics

from smallfirst.cache.semantic.guard import PRIOR, Guard, guard_of, load_guard
from smallfirst.cache.semantic.guard_features import NAMES
from smallfirst.classify import artifact
from smallfirst.errors import ReleaseError


def a_guard(**given) -> Guard:
    weights = np.linspace(-1, 1, len(NAMES))
    metric = np.random.default_rng(0).normal(size=(DIMENSIONS, 4)).astype(np.float32)
    words = {7: (1.5, -0.25), 5: (3.0, 0.5)}
    return Guard(**({"weights": weights, "bias": -0.5, "metric": metric, "words": words} | given))


def test_the_prior_is_surer_of_a_paraphrase_than_of_something_else():
    known = topics(per_topic=3)
    near = PRIOR.judge("topic 0 alpha please", known.vectors[0], candidates(known, known.vectors[0]))
    far = PRIOR.judge("entirely unrelated", -known.vectors[0], candidates(known, -known.vectors[0]))
    assert near is not None
    assert far is not None
    assert near.candidate.answer == known.answers[0]
    assert near.probability > far.probability
    assert far.probability < 0.5


def test_one_entry_alone_proves_little():
    known = topics(per_topic=1)
    alone = candidates(known, known.vectors[0])[-1:]
    found = PRIOR.judge("something of other words", known.vectors[0], alone)
    assert found is not None
    assert found.probability < 0.9


def test_nothing_near_is_no_judgement():
    assert PRIOR.judge("anything", np.ones(DIMENSIONS, np.float32), []) is None


def test_another_embedders_vector_is_no_judgement():
    known = topics(per_topic=2)
    assert (
        a_guard().judge("x", np.ones(DIMENSIONS + 1, np.float32), candidates(known, known.vectors[0])) is None
    )


def test_what_is_refused_has_probability_0_and_says_why():
    known = topics(per_topic=2, text="enable the {topic} alarm")
    found = PRIOR.judge("disable the 0 alarm", known.vectors[0], candidates(known, known.vectors[0])[:1])
    assert found is not None
    assert (found.probability, found.refused) == (0.0, "opposites")
    assert len(found.features) == len(NAMES)


@pytest.mark.parametrize("metric", [True, False])
def test_features_are_finite_whatever_is_near(metric):
    known = topics(per_topic=4)
    guard = a_guard() if metric else a_guard(metric=None)
    for vector in (known.vectors[0], np.zeros(DIMENSIONS, np.float32)):
        for most in (1, 2, len(known.texts)):
            found = guard.judge("", vector, candidates(known, vector)[:most])
            assert found is not None
            assert np.isfinite(found.features).all()
            assert 0 <= found.probability <= 1


def test_the_order_of_candidates_decides_nothing():
    known = topics(per_topic=4)
    near = candidates(known, known.vectors[1])
    one, other = (
        a_guard().judge("topic 0", known.vectors[1], near),
        a_guard().judge("topic 0", known.vectors[1], near[::-1]),
    )
    assert one is not None
    assert other is not None
    assert one.candidate.answer == other.candidate.answer
    np.testing.assert_allclose(one.features, other.features, rtol=1e-5, atol=1e-5)


def test_a_guard_is_what_its_file_says(tmp_path):
    data = a_guard().packed()
    found = artifact.unpack(data)
    path = tmp_path / f"{found.sha256}.safetensors"
    path.write_bytes(data)
    guard = load_guard(path)
    assert guard.sha256 == found.sha256
    assert guard.packed() == data


def test_a_file_of_something_else_is_refused():
    with pytest.raises(ReleaseError, match="no cache guard"):
        guard_of(artifact.unpack(artifact.pack("router", {}, {})))


def test_a_guard_of_other_features_is_refused():
    packed = artifact.unpack(a_guard().packed())
    other = artifact.pack("cache-guard", {**packed.header, "features": ["similarity"]}, packed.arrays)
    with pytest.raises(ReleaseError, match="fitted again"):
        guard_of(artifact.unpack(other))
