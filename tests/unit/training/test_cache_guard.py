"""What is learned of a task's look-ups."""

from __future__ import annotations

import numpy as np
import pytest
from support.cache_topics import DIMENSIONS, candidates, topics

from smallfirst.cache.semantic.guard import PRIOR
from smallfirst.cache.semantic.guard_features import NAMES
from smallfirst.cache.semantic.seen import Observation
from smallfirst.training.cache.guard import Known, fit_guard, fit_metric, fit_weights, fit_words


def observation(
    *, right: bool | None, hit: bool = False, check: float = 0.0, **features: float
) -> Observation:
    row = tuple(features.get(name, 0.0) for name in NAMES)
    return Observation(probability=0.5, threshold=None, hit=hit, check=check, right=right, features=row)


def observed(count: int, *, seed: int = 0) -> list[Observation]:
    """Right where the margin is wide, mostly."""
    chance = np.random.default_rng(seed)
    margins = chance.uniform(size=count)
    return [
        observation(
            right=bool(chance.uniform() < 1 / (1 + np.exp(-20 * (margin - 0.5)))),
            margin=float(margin),
            learned=1.0,
        )
        for margin in margins
    ]


def test_the_metric_ignores_what_varies_within_answers():
    known, other = topics(per_topic=20), topics(per_topic=20, seed=1)
    metric = fit_metric(known.vectors, known.answers)
    assert metric is not None
    assert metric.shape == (DIMENSIONS, DIMENSIONS)

    def nearest_are_right(vectors: np.ndarray, entries: np.ndarray) -> float:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        entries = entries / np.linalg.norm(entries, axis=1, keepdims=True)
        return float((known.answers[(vectors @ entries.T).argmax(axis=1)] == other.answers).mean())

    plain = nearest_are_right(other.vectors, known.vectors)
    learned = nearest_are_right(other.vectors @ metric, known.vectors @ metric)
    assert plain < 0.5
    assert learned > 0.8


def test_there_is_no_metric_where_no_answers_are_shared():
    vectors = np.eye(DIMENSIONS, dtype=np.float32)
    assert fit_metric(vectors, np.arange(DIMENSIONS)) is None


def test_words_that_vary_within_answers_are_free_and_those_that_tell_them_apart_decide():
    known = topics(per_topic=30, text="topic{topic} {word}")
    exact = np.repeat(np.eye(DIMENSIONS, dtype=np.float32)[None, :8], 30, axis=0).reshape(-1, DIMENSIONS)
    mixed = Known(vectors=exact + 0.01 * known.vectors, answers=known.answers, texts=known.texts)
    texts = [text.replace("topic", "abcdefgh"[int(text[5])]) for text in mixed.texts]
    found = fit_guard(observed(100), Known(vectors=mixed.vectors, answers=mixed.answers, texts=texts))
    free = [found.decides(word) for word in ("alpha", "beta", "gamma")]
    assert all(far is not None and far <= 0 for far in free)
    assert found.decides("unheard") is None


def test_rare_words_weigh_more():
    known = Known(
        vectors=np.eye(4, dtype=np.float32),
        answers=np.arange(4),
        texts=["my card", "my phone", "my card", "my pin"],
    )
    guard = fit_guard([], known)
    assert guard.weigh("phone")[0] > guard.weigh("my")[0]
    assert guard.weigh("unheard")[0] == pytest.approx(
        max(weight for weight, _ in fit_words(known, None).values())
    )


def test_weights_are_the_priors_until_there_are_observations_enough():
    weights, bias = fit_weights(observed(10), PRIOR)
    assert weights is PRIOR.weights
    assert bias == PRIOR.bias


def test_weights_find_what_tells_right_from_wrong():
    weights, bias = fit_weights(observed(4000), PRIOR)
    margin, learned = NAMES.index("margin"), NAMES.index("learned")
    odds = [bias + weights[learned] + weights[margin] * value for value in (0.1, 0.5, 0.9)]
    assert odds[0] < -4
    assert odds[1] == pytest.approx(0, abs=0.5)
    assert odds[2] > 4


def test_a_checked_hit_counts_for_those_that_were_not():
    misses = [observation(right=at % 2 == 0, learned=1.0) for at in range(300)]
    checked = [observation(right=True, hit=True, check=0.05, learned=1.0) for _ in range(30)]
    unchecked = [observation(right=None, hit=True, check=0.05, learned=1.0) for _ in range(570)]
    weights, bias = fit_weights(misses + checked + unchecked, PRIOR)
    share = 1 / (1 + np.exp(-(bias + weights[NAMES.index("learned")])))
    assert share == pytest.approx((150 + 600) / 900, abs=0.02)


def test_observations_of_other_features_are_left_out():
    strange = [
        Observation(probability=0.5, threshold=None, hit=False, check=0.0, right=True, features=(1.0,))
    ] * 500
    weights, _ = fit_weights(strange, PRIOR)
    assert weights is PRIOR.weights


def test_the_same_evidence_makes_the_same_guard():
    one, other = (fit_guard(observed(500), topics(per_topic=10)) for _ in range(2))
    assert one.sha256 == other.sha256 != ""


def test_a_learned_guard_judges_better_than_the_prior():
    known, asked = topics(per_topic=20), topics(per_topic=5, seed=2)
    seen = []
    for at, text in enumerate(known.texts):
        found = PRIOR.judge(text, known.vectors[at], candidates(known, known.vectors[at], but=[at]))
        assert found is not None
        right = found.candidate.answer == known.answers[at]
        seen.append(
            Observation(
                probability=found.probability,
                threshold=None,
                hit=False,
                check=0.0,
                right=right,
                features=found.features,
            )
        )
    guard = fit_guard(seen, known)

    def found_right(judge) -> int:
        found = [judge("something", vector, candidates(known, vector)) for vector in asked.vectors]
        return sum(one.candidate.answer == answer for one, answer in zip(found, asked.answers, strict=True))

    assert found_right(guard.judge) > found_right(PRIOR.judge)


@pytest.mark.parametrize("entries", [0, 1, 2])
def test_hardly_any_entries_are_no_error(entries):
    known = topics(per_topic=1)
    few = Known(vectors=known.vectors[:entries], answers=known.answers[:entries], texts=known.texts[:entries])
    assert fit_guard(observed(50), few).metric is None
