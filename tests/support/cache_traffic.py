"""Requests whose candidates' scores and rightness are made, and what the cache's threshold does with them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.cache.semantic.seen import Observation
from smallfirst.training.cache.threshold import HEAD_START, Threshold

Chance = np.random.Generator
Stream = tuple[NDArray[np.float64], NDArray[np.bool_]]  # scores; whether the candidate's answer is right


def _made(chance: Chance, requests: int, *, mean: float = 2.6, spread: float = 3.6) -> Stream:
    """Scores that are the true probabilities; one request in ten has no candidate."""
    score = 1 / (1 + np.exp(-chance.normal(mean, spread, requests)))
    score = np.where(chance.random(requests) < 0.1, 0.0, score)
    return score, chance.random(requests) < score


def calibrated(chance: Chance, requests: int) -> Stream:
    return _made(chance, requests)


def weak(chance: Chance, requests: int) -> Stream:
    return _made(chance, requests, mean=2.2, spread=2.2)


def overconfident(chance: Chance, requests: int) -> Stream:
    score, right = weak(chance, requests)
    odds = score / (1 - score)
    return np.where(score > 0, 1 / (1 + 1 / (2.7 * odds**2 + 1e-12)), 0.0), right


def plateau(chance: Chance, requests: int) -> Stream:
    """One request in a hundred is wrong at the highest of scores."""
    score, right = weak(chance, requests)
    sure = chance.random(requests) < 0.01
    return np.where(sure, 0.9999, score), right & ~sure


def noise(chance: Chance, requests: int) -> Stream:
    """The scorer finds every two hundredth right answer wrong."""
    score, right = calibrated(chance, requests)
    return score, right & (chance.random(requests) > 0.005)


def improving(chance: Chance, requests: int) -> Stream:
    """The scores are learned as the requests come: noise at first, the truth from the middle on."""
    score, right = calibrated(chance, requests)
    learned = np.minimum(1.0, 2 * np.arange(requests) / requests)
    logit = np.log(np.maximum(score, 1e-12) / np.maximum(1 - score, 1e-12))
    blurred = logit * (0.6 + 0.4 * learned) + chance.normal(0, 2, requests) * (1 - learned)
    return np.where(score > 0, 1 / (1 + np.exp(-blurred)), 0.0), right


def drift(chance: Chance, requests: int) -> Stream:
    """More and more answers are out of date: one in twenty at the end."""
    score, right = calibrated(chance, requests)
    return score, right & (chance.random(requests) > 0.05 * np.arange(requests) / requests)


def shift(chance: Chance, requests: int) -> Stream:
    """From the middle on nineteen of twenty candidates are wrong, whatever their score."""
    score, right = calibrated(chance, requests)
    late = np.arange(requests) >= requests // 2
    return score, np.where(late, chance.random(requests) < 0.05, right)


POPULATIONS: dict[str, Callable[[Chance, int], Stream]] = {
    "calibrated": calibrated,
    "weak": weak,
    "over-confident": overconfident,
    "wrong at the top": plateau,
    "label noise": noise,
    "improving": improving,
    "drift": drift,
    "shift": shift,
    "adversary": calibrated,  # whose hits are all wrong
}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the requests that count, and whether the promise was broken: at the end, or ever."""

    hits: float
    wrong: float
    checked: float
    opened: int | None
    broken_at_the_end: bool
    broken_ever: bool
    bound_broken_ever: bool


def replay(
    stream: Stream, *, delta: float, chance: Chance, warm: int = 0, hostile: bool = False, delay: int = 1
) -> Outcome:
    """Serves the requests by what is proven, which is looked at every `delay` requests; the first `warm` ones come labelled, and do not count.

    Up to `delay` hits are served before the rule is asked again: room is asked for as many.
    """
    rule = Threshold(delta)
    scores, right = (part.tolist() for part in stream)
    for score, is_right in zip(scores[:warm], right[:warm], strict=True):
        rule.warm(score, is_right)
    proven, hits, wrong, checked, opened = rule.proven(), 0, 0, 0, None
    broken = bound_broken = False
    coins = chance.random(len(scores)).tolist()
    for t in range(warm, len(scores)):
        hit = proven.threshold is not None and scores[t] >= proven.threshold
        is_right = right[t] and not (hit and hostile)
        drawn = coins[t] < proven.check
        if hit:
            hits, wrong, checked = hits + 1, wrong + (not is_right), checked + drawn
            opened = t - warm if opened is None else opened
        rule.add(
            Observation(
                probability=scores[t],
                threshold=proven.threshold,
                hit=hit,
                check=proven.check,
                right=is_right if drawn or not hit else None,
            )
        )
        count = t + 1 - warm
        if not count % delay:
            proven = rule.proven(in_flight=delay - 1)
            bound_broken |= wrong > proven.figures.wrong_high * count + 1e-6
        broken |= wrong > delta * max(count, min(warm, HEAD_START)) + 1e-9
    count = len(scores) - warm
    return Outcome(
        hits=hits / count,
        wrong=wrong / count,
        checked=checked / count,
        opened=opened,
        broken_at_the_end=wrong > delta * count + 1e-9,
        broken_ever=broken,
        bound_broken_ever=bound_broken,
    )
