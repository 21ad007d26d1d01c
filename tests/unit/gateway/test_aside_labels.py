"""What waits in memory for a corrected label is bounded, and what is looked for is looked for once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ledger import call

from smallfirst import limits
from smallfirst.contracts import TextContract
from smallfirst.gateway.aside_call import Said, Side
from smallfirst.gateway.aside_draw import EXPLORE
from smallfirst.gateway.aside_labels import Answers, LateLabels
from smallfirst.ledger import Ledger
from smallfirst.releases import Policy, RungPolicy

RUNG = RungPolicy(model="large", provider="p", upstream_id="large")
SIDE = Side(
    policy=Policy(task="triage", contract=TextContract(), ladder=(RUNG,)),
    policy_hash="h",
    release="r",
    channel="live",
)


def answers(of: str, text: str = "billing") -> Answers:
    said = Said(side=SIDE, rung=0, model="large", text=text, call=of, latency_ms=1.0, cost_nusd=1)
    return Answers(call=of, frontier=said, said={EXPLORE: [said]}, policies={}, chances={})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger.open(tmp_path)) as opened:
        yield opened


async def test_a_label_comes_once_and_the_newest_counts(ledger: Ledger) -> None:
    made, other = call(), call()
    ledger.notes.settle(made, other)
    labels = LateLabels(ledger)
    await labels.begin()
    for one in (made, other):
        labels.keep(answers(one.id))
    assert await labels.come() == []
    ledger.notes.outcome(made.id, "label", "bug", source="us", at_ms=made.at_ms + 2)
    ledger.notes.outcome(made.id, "label", "billing", source="them", at_ms=made.at_ms + 1)
    ledger.notes.outcome(other.id, "score", 1.0, source="us")
    assert await labels.come() == [(answers(made.id), "bug")]
    assert await labels.come() == []


async def test_no_more_is_kept_than_can_be_scored(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ASIDE_KEPT", 2)
    made = [call() for _ in range(4)]
    ledger.notes.settle(*made)
    labels = LateLabels(ledger)
    await labels.begin()
    labels.keep(answers(made[0].id))
    labels.keep(answers(made[1].id))
    labels.keep(answers(made[2].id))
    labels.keep(answers(made[3].id, "x" * (limits.ASIDE_SCORED_CHARS + 1)))
    for one in made:
        ledger.notes.outcome(one.id, "label", "bug", source="us")
    assert {each.call for each, _ in await labels.come()} == {made[1].id, made[2].id}
