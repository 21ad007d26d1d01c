"""What is certified is what is served: `play` chooses for every example the rung that the gateway's own rule would, one call after another."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.answering.decide import unwise
from smallfirst.routing.judgement import Judgement
from smallfirst.routing.thresholds import ALWAYS, NEVER, UNKNOWN, Thresholds
from smallfirst.training.table import Seen, Worth, play

LEVELS = (-1.0, -0.25, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Thresholds, Seen, Worth, list[bool]]:
    """A policy of two to four rungs, examples with their numbers, and which of them are unknown."""
    rows, lower = draw(st.integers(1, 6)), draw(st.integers(1, 3))

    def matrix(values: tuple[float, ...], columns: int) -> np.ndarray:
        cells = st.lists(st.sampled_from(values), min_size=columns, max_size=columns)
        return np.array([draw(cells) for _ in range(rows)])

    shares = tuple(level for level in LEVELS if level >= 0)
    ask = draw(st.lists(st.sampled_from((NEVER, *LEVELS, ALWAYS)), min_size=lower, max_size=lower))
    accept = draw(st.lists(st.sampled_from((0.0, *shares)), min_size=lower, max_size=lower))
    uplift = matrix(LEVELS, lower)
    unknown = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    uplift[np.array(unknown)] = UNKNOWN
    seen = Seen(uplift=uplift, accept=matrix(shares, lower), accept_after=matrix(shares, lower))
    worth = Worth(score=matrix(shares, lower + 1), cost=matrix((0.1, 1.0, 10.0), lower + 1), priced=True)
    return Thresholds(tuple(ask), tuple(accept)), seen, worth, unknown


def served(thresholds: Thresholds, seen: Seen, worth: Worth, at: int, *, unknown: bool) -> tuple[int, float]:
    """The rung that answers example `at` and the cost of all that were asked, as `decide` and then `climb` have it."""
    last = worth.score.shape[1] - 1
    judgement = Judgement(
        adequate=(0.5,) * (last + 1),
        uplift=(*map(float, seen.uplift[at]), 0.0),
        unknown="odd" if unknown else "",
    )
    asked = [rung for rung in range(last) if not unwise(rung, judgement, thresholds)]
    cost, before = 0.0, -2
    for rung in asked:
        cost += worth.cost[at, rung]
        agreement_known = before == rung - 1
        sure = seen.accept_after[at, rung] if agreement_known else seen.accept[at, rung]
        if not thresholds.looks_again(rung) or sure >= thresholds.accept[rung]:
            return rung, cost
        before = rung
    return last, cost + worth.cost[at, last]


@settings(max_examples=300)
@given(tables())
def test_play_does_what_the_gateway_does(table: tuple[Thresholds, Seen, Worth, list[bool]]) -> None:
    thresholds, seen, worth, unknown = table
    played = play(thresholds, seen, worth)
    for at in range(len(worth.score)):
        rung, cost = served(thresholds, seen, worth, at, unknown=unknown[at])
        assert played.rung[at] == rung
        assert np.isclose(played.cost[at], cost)
        assert played.loss[at] == worth.score[at, -1] - worth.score[at, rung]


@given(tables())
def test_a_loss_lies_between_minus_one_and_one_and_the_frontier_loses_nothing(
    table: tuple[Thresholds, Seen, Worth, list[bool]],
) -> None:
    thresholds, seen, worth, _ = table
    played = play(thresholds, seen, worth)
    assert (np.abs(played.loss) <= 1).all()
    assert not played.loss[played.rung == worth.score.shape[1] - 1].any()
