"""Requests that differ from a stored one by a word: accepted at most once in fifty, whatever was learned."""

import pytest
from support.adversarial_pairs import PAIRS

from benchmarks.cache_pairs import KINDS, pairs
from smallfirst.cache.semantic.differences import difference

_MOST = 0.02


@pytest.mark.parametrize("decides", [None, 2.0, -5.0], ids=["nothing learned", "all decides", "all is free"])
def test_pairs_written_by_hand_are_refused(decides):
    accepted = [
        pair for pair in PAIRS if not difference(pair[2], pair[1], similarity=0.95, decides=lambda _: decides)
    ]
    assert len(PAIRS) >= 150
    assert len(accepted) <= _MOST * len(PAIRS), accepted


@pytest.mark.parametrize("decides", [None, -5.0], ids=["nothing learned", "all is free"])
def test_generated_pairs_are_refused(decides):
    made = list(pairs([text for _, text, _ in PAIRS], seed=1))
    accepted = [
        pair
        for pair in made
        if not difference(pair.changed, pair.text, similarity=0.95, decides=lambda _: decides)
    ]
    assert {pair.kind for pair in made} == set(KINDS)
    assert len(accepted) <= _MOST * len(made), accepted


def test_the_generator_changes_what_it_says():
    assert [
        (pair.kind, pair.changed) for pair in pairs(["fly from Paris to Rome"], kinds=("direction",))
    ] == [("direction", "fly from Rome to Paris")]
    assert list(pairs(["nothing of the kind"], kinds=("number", "entity"))) == []
    assert list(pairs(["I can pay 3"], seed=3)) == list(pairs(["I can pay 3"], seed=3))
