"""The quality bound through the whole fit: of routers fitted on draws from populations whose true loss is known, at most one in twenty breaks it.

In process and in small; `benchmarks/bound.py` does the same through the command line, in full.
"""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
import pytest
from support.populations import Population, population

from smallfirst.classify.artifact import unpack
from smallfirst.classify.embedders import open_embedder
from smallfirst.routing.second_look import looks_of
from smallfirst.routing.thresholds import Thresholds
from smallfirst.training.bound import Goal
from smallfirst.training.learned_source import LearnedSource
from smallfirst.training.looks import seen_by
from smallfirst.training.outcomes import Example, prompt_of
from smallfirst.training.pareto import candidates
from smallfirst.training.router_fit import Fit, Wanted, fit_router, split
from smallfirst.training.source import Read, read_examples
from smallfirst.training.table import Seen, Worth, play

MARGIN, POOL = 0.1, 1200
SOURCE = LearnedSource(open_embedder("wordllama"))
POPULATIONS = [(2, False), (3, False), (2, True), (3, True)]


class Draw(msgspec.Struct, frozen=True):
    """What came of one draw: the true loss of the chosen policy, of what a naive choice would have been, and the share that stays small."""

    loss: float
    naive: float
    small_share: float


@cache
def pool(rungs: int, graded: bool) -> Population:
    return population(rungs=rungs, graded=graded, size=POOL, seed=rungs)


def fitted(found: Population, examples: list[Example], seed: int) -> Fit:
    wanted = Wanted(task="t", ladder=found.ladder, goal=Goal(margin=MARGIN), seed=seed)
    return fit_router(examples, wanted, SOURCE, lambda *_: None)


def drawn(found: Population, *, examples: int, seed: int) -> Draw:
    chosen = np.random.default_rng(seed).integers(POOL, size=examples)
    rows = [found.read.examples[at] for at in chosen]
    fit = fitted(found, rows, seed)
    artifact = unpack(fit.data)
    router, looks = SOURCE.router(fit.fitted, artifact), looks_of(artifact.arrays, len(found.ladder))
    seen = seen_by(router, found.read, looks)
    _, calibration = split(rows, Wanted(task="t", ladder=found.ladder, goal=Goal(margin=MARGIN), seed=seed))
    kept = chosen[calibration]
    guess = naive(seen.rows(kept), found.read.worth.rows(kept))
    truth = play(fit.fitted.thresholds, seen, found.read.worth)
    return Draw(
        loss=float(truth.loss.mean()),
        naive=float(play(guess, seen, found.read.worth).loss.mean()),
        small_share=float((truth.rung < len(found.ladder) - 1).mean()),
    )


def naive(seen: Seen, worth: Worth) -> Thresholds:
    """The cheapest whose mean loss on the calibration part is within the margin: what a threshold picked by eye is."""
    played = [(option, play(option, seen, worth)) for option in candidates(seen, looks=True)]
    within = [(one.cost.mean(), option) for option, one in played if one.loss.mean() <= MARGIN]
    return min(within, key=lambda pair: pair[0])[1]


def held(draws: list[Draw], *, most: int) -> None:
    """`most`: in hardly one of a hundred such experiments more would break it, were each draw to do so with probability .05."""
    assert sum(draw.loss > MARGIN for draw in draws) <= most
    assert sum(draw.naive > MARGIN for draw in draws) > 1.5 * most, "so this test can fail"
    assert sum(draw.small_share > 0 for draw in draws) >= 0.8 * len(draws), (
        "what sends all to the frontier keeps every bound"
    )


def test_the_bound_holds_through_the_fit() -> None:
    draws = [drawn(pool(*one), examples=300, seed=seed) for one in POPULATIONS for seed in range(3)]
    held(draws, most=3)


@pytest.mark.slow
@pytest.mark.parametrize("one", POPULATIONS)
def test_the_bound_holds_in_each_population(one: tuple[int, bool]) -> None:
    held([drawn(pool(*one), examples=500, seed=seed) for seed in range(100)], most=12)


def test_what_is_easy_stays_small() -> None:
    found = pool(2, False)
    rows = []
    for at, example in enumerate(found.read.examples[:400]):
        small, frontier = (example.row.outcomes[name] for name in found.ladder)
        score = frontier.score if at % 50 else 0.0
        outcomes = {found.ladder[0]: msgspec.structs.replace(small, score=score), found.ladder[1]: frontier}
        row = msgspec.structs.replace(example.row, outcomes=outcomes)
        rows.append(Example(row=row, prompt=prompt_of(row), line=at + 1))
    fit = fitted(found, rows, 0)
    assert fit.chosen.bound.small_share > 0.9
    assert fit.chosen.bound.loss < MARGIN
    read: Read = read_examples(rows, found.ladder, SOURCE, lambda *_: None)
    artifact = unpack(fit.data)
    seen = seen_by(SOURCE.router(fit.fitted, artifact), read, looks_of(artifact.arrays, 2))
    assert (play(fit.fitted.thresholds, seen, read.worth).rung == 0).mean() > 0.9
