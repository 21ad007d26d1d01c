"""When the cache may serve an answer to another wording: what opens it, what closes it, and what it remembers."""

import math

import msgspec
import numpy as np
import pytest
from support.cache_traffic import calibrated, replay, shift

from smallfirst.cache.semantic.seen import Observation
from smallfirst.training.cache.threshold import Threshold, ThresholdState


def seen(probability, right, *, hit=False, check=1.0):
    return Observation(
        probability=probability, threshold=0.9 if hit else None, hit=hit, check=check, right=right
    )


def fed(rule, observations):
    for one in observations:
        rule.add(one)
    return rule


def misses(count, *, right=True, probability=0.999):
    return [seen(probability, right) for _ in range(count)]


def opened(delta=0.02, rows=800):
    return fed(Threshold(delta), misses(rows))


def test_nothing_is_served_before_anything_is_known():
    proven = Threshold(0.01).proven()
    assert proven.threshold is None
    assert "no threshold is known" in proven.why
    assert proven.figures.wrong_high == 1.0


def test_it_opens_on_evidence_and_later_for_a_smaller_share():
    needed = {}
    for delta in (0.05, 0.02, 0.01):
        rule = Threshold(delta)
        while rule.proven().threshold is None:
            rule.add(seen(0.999, True))
        needed[delta] = rule.proven().figures.requests
        assert needed[delta] >= 1 / delta
    assert needed[0.05] < needed[0.02] < needed[0.01] < 1000


def test_what_is_wrong_at_high_scores_is_never_opened():
    chance = np.random.default_rng(1)
    rule = Threshold(0.02)
    for _ in range(3000):
        rule.add(seen(0.999, bool(chance.random() > 0.1)))
        assert rule.proven().threshold is None


def test_a_request_without_a_candidate_counts():
    """One in twenty candidates is wrong: with few candidates that is below δ of all requests."""
    chance = np.random.default_rng(1)
    rule = Threshold(0.02)
    for t in range(4000):
        rule.add(seen(0.99, bool(chance.random() > 0.05)) if t % 10 == 0 else seen(0.0, None))
    assert rule.proven().threshold is not None
    assert rule.proven().figures.would_hit == pytest.approx(0.1, abs=0.02)


def test_wrong_hits_close_it_and_requests_open_it_again():
    rule = opened()
    check = rule.proven().check
    while rule.proven().threshold is not None:
        rule.add(seen(0.999, False, hit=True, check=check))
    shut = rule.proven()
    assert shut.why
    assert shut.figures.wrong_high <= 0.02 + 1e-9 or shut.figures.wrong >= 1
    for _ in range(60):
        fed(rule, misses(200))
        if rule.proven().threshold is not None:
            break
    assert rule.proven().threshold is not None


def test_hits_that_were_not_checked_are_no_evidence_that_they_are_right():
    rule = opened()
    check = rule.proven().check
    served = 0
    while rule.proven().threshold is not None and served < 500:
        rule.add(seen(0.999, None, hit=True, check=check))
        served += 1
    figures = rule.proven().figures
    assert figures.checked == 0
    assert figures.wrong_high > 0
    assert figures.wrong_high * figures.requests <= rule.proven().allowed


def test_room_is_kept_for_hits_that_are_under_way():
    rule = opened()
    assert rule.proven().threshold is not None
    assert rule.proven(in_flight=math.ceil(rule.proven().allowed)).threshold is None


def test_a_clients_word_counts_against_hits_and_its_silence_for_nothing():
    rule = fed(opened(), [seen(0.999, None, hit=True, check=0.5) for _ in range(3)])
    before = rule.proven().figures
    rule.told_wrong()
    after = rule.proven().figures
    assert after.wrong == before.wrong + 1
    assert after.wrong_high >= before.wrong_high


def test_more_is_not_told_wrong_than_was_served():
    rule = opened()
    for _ in range(50):
        rule.told_wrong()
    assert rule.proven().figures.wrong_high == 0


def test_rows_that_were_labelled_before_open_it_at_the_first_request():
    rule = Threshold(0.01)
    for _ in range(3000):
        rule.warm(0.999, True)
    proven = rule.proven()
    assert proven.threshold is not None
    assert proven.figures.requests == 0
    assert proven.allowed == pytest.approx(30)


def test_a_few_labelled_rows_lend_little():
    rule = Threshold(0.01)
    for _ in range(90):
        rule.warm(0.999, True)
    assert rule.proven().threshold is None


def test_what_good_times_save_is_limited():
    rule = fed(Threshold(0.01), misses(20_000))
    assert rule.proven().allowed == pytest.approx(50)


def test_a_sudden_change_is_noticed():
    kept = replay(shift(np.random.default_rng(3), 6000), delta=0.05, chance=np.random.default_rng(4), delay=1)
    assert kept.opened is not None
    assert not kept.broken_ever
    rule = opened()
    fed(rule, misses(30, right=False))
    assert rule.proven().changes >= 1
    assert rule.proven().threshold is None


def test_as_many_are_checked_as_must_be_at_least():
    rule = Threshold(0.05, least_check=0.4)
    fed(rule, misses(20_000))
    assert rule.proven().check >= 0.4
    everything = fed(Threshold(0.05, least_check=1.0), misses(500)).proven()
    assert everything.threshold is not None
    assert everything.check == 1.0


def test_checks_become_rarer_with_evidence():
    rule = opened()
    early = rule.proven().check
    for t in range(20_000):
        rule.add(seen(0.999, True if t % 5 == 0 else None, hit=True, check=rule.proven().check))
    assert rule.proven().check < early / 3


def test_after_a_restart_it_is_as_it_was_to_the_bit():
    chance = np.random.default_rng(5)
    scores, right = calibrated(chance, 3000)
    rule = Threshold(0.02, confidence=0.9, least_check=0.03)
    rule.warm(0.9, True)
    again = None
    for t, (score, is_right) in enumerate(zip(scores.tolist(), right.tolist(), strict=True)):
        proven = rule.proven()
        hit = proven.threshold is not None and score >= proven.threshold
        one = seen(
            score,
            is_right if not hit or chance.random() < proven.check else None,
            hit=hit,
            check=proven.check,
        )
        rule.add(one)
        if t == 1500:
            packed = msgspec.json.encode(rule.state)
            again = Threshold.from_state(msgspec.json.decode(packed, type=ThresholdState))
        elif again is not None:
            again.add(one)
    assert again is not None
    assert rule.proven().figures.hits > 100
    assert again.state == rule.state
    assert again.proven() == rule.proven()


def test_what_is_no_probability_is_refused_and_changes_nothing():
    rule = opened()
    before = rule.state
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="probability: expected"):
            rule.add(seen(wrong, True))
    with pytest.raises(ValueError, match="check: expected"):
        rule.add(seen(0.999, None, hit=True, check=0.0))
    assert rule.state == before


@pytest.mark.parametrize(("delta", "least"), [(0.0, 0.1), (1.0, 0.1), (0.01, -0.1), (0.01, 1.5)])
def test_settings_are_checked(delta, least):
    with pytest.raises(ValueError, match="expected a number"):
        Threshold(delta, least_check=least)


def test_hits_of_which_nothing_is_known_count_as_wrong():
    rule = opened()
    before = rule.proven().figures
    rule.lost(5)
    after = rule.proven().figures
    assert (after.requests, after.hits, after.wrong) == (before.requests + 5, before.hits + 5, 5)
    assert after.wrong_high * after.requests >= 5


def test_some_hits_are_checked_whatever_is_asked_for():
    assert Threshold(0.01, least_check=0.0).least_check > 0
