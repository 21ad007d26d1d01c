"""What calibration leads to expect, and when a read is not worth spending."""

from smallfirst.gate.judging import Rows, Rule
from smallfirst.gate.plan import Plan, prospects
from smallfirst.gate.report import plan_words

RULE = Rule(margin=0.05, alpha=0.025, slices=("channel",), min_slice_rows=200)


def planned(losses, *, heldout, slice_rows=None):
    rows = Rows(groups=[str(at) for at in range(len(losses))], slices=[{}] * len(losses))
    found = prospects(rows, {"frontier": losses}, RULE, heldout=heldout, slice_rows=slice_rows or {})
    return Plan(task="t", read=1, alpha=0.025, claimed=False, power=0.9, prospects=found)


def pairs(n, *, worse, better):
    return [1.0] * worse + [-1.0] * better + [0.0] * (n - worse - better)


def test_enough_examples_are_promising():
    plan = planned(pairs(300, worse=6, better=6), heldout=600)
    (one,) = plan.prospects
    assert plan.hopeless is None
    assert plan.worse is None
    assert one.needed <= 600
    assert one.chance >= 0.9
    assert one.disagreement == 0.04


def test_too_few_for_any_candidate_are_hopeless():
    plan = planned(pairs(300, worse=20, better=20), heldout=150)
    assert plan.hopeless is not None
    assert plan.hopeless.needed > 150


def test_a_slice_can_be_the_one_that_is_hopeless():
    plan = planned(
        pairs(300, worse=12, better=12), heldout=5000, slice_rows={"channel=fax": 210, "channel=fog": 40}
    )
    assert [one.slice for one in plan.prospects] == ["", "channel=fax"]
    assert plan.hopeless.slice == "channel=fax"


def test_a_candidate_that_is_clearly_worse_need_not_be_read():
    plan = planned(pairs(300, worse=60, better=3), heldout=1000)
    assert plan.worse is not None
    assert planned(pairs(300, worse=20, better=12), heldout=1000).worse is None


def test_the_words_say_what_it_costs_and_what_it_takes():
    first, second = plan_words(planned(pairs(300, worse=6, better=6), heldout=600))
    assert "read 1" in first
    assert "α = 0.025" in first
    assert "disagreement 4.0 %" in second
    assert "would make it 90 %" in second
