"""Judges that err in known ways, beside people whose scores they guess: populations with a known mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


class Judges(NamedTuple):
    """`draw(rng, n)`: n scores by people and by the judge. `mean`: of people's scores in the population."""

    mean: float
    draw: Callable[[np.random.Generator, int], tuple[Scores, Scores]]
    binary: bool = True


def yes_no(right: float, *, sensitivity: float, specificity: float) -> Judges:
    """People call `right` of all answers good; the judge agrees on so many of the good ones, and of the others."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
        good = rng.random(n) < right
        said = np.where(good, rng.random(n) < sensitivity, rng.random(n) >= specificity)
        return good.astype(float), said.astype(float)

    return Judges(right, draw)


def five_points(shift: float, noise: float) -> Judges:
    """People and judge on five points: the judge's are people's, moved and blurred, and rounded to a point."""
    shares = np.array([0.05, 0.1, 0.2, 0.35, 0.3])

    def draw(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
        human = rng.choice(5, size=n, p=shares) / 4
        return human, np.clip(np.round(4 * (human + shift + noise * rng.standard_normal(n))), 0, 4) / 4

    return Judges(float(shares @ np.arange(5)) / 4, draw, binary=False)


def differences(worse: float, better: float, *, flatters: float) -> Judges:
    """People's score(A) − score(B): −1 for `worse` of the examples, +1 for `better`. The judge misses half of what is worse, and in
    `flatters` of all examples likes A better for no reason."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
        human = rng.choice([-1.0, 0.0, 1.0], size=n, p=[worse, 1 - worse - better, better])
        seen = np.where((human < 0) & (rng.random(n) < 0.5), 0.0, human)
        return human, np.where(rng.random(n) < flatters, 1.0, seen)

    return Judges(better - worse, draw, binary=False)


JUDGES = {
    "too kind": yes_no(0.8, sensitivity=0.97, specificity=0.5),
    "too strict": yes_no(0.8, sensitivity=0.7, specificity=0.98),
    "nearly always right": yes_no(0.8, sensitivity=0.995, specificity=0.995),
    "guessing": yes_no(0.8, sensitivity=0.9, specificity=0.1),
    "the wrong way round": yes_no(0.8, sensitivity=0.1, specificity=0.1),
    "too kind, 97 % right": yes_no(0.97, sensitivity=0.98, specificity=0.4),
    "five points, a point too kind": five_points(0.25, 0.15),
    "five points, strict and blurred": five_points(-0.2, 0.3),
}
DIFFERENCES = {
    "3 points worse, judge flatters": differences(0.06, 0.03, flatters=0.04),
    "no difference, judge flatters": differences(0.05, 0.05, flatters=0.04),
}
