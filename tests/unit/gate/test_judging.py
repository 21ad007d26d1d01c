"""The gate's rule on paired scores: what passes, what fails, what is too little, and what only alerts."""

import pytest

from smallfirst.gate.judging import Answers, Rows, Rule, judge, worst
from smallfirst.statistics.noninferiority import sample_of

RULE = Rule(margin=0.05, alpha=0.025, next_alpha=0.01)


def answers(scores, *, cost=100, latency=10.0):
    return Answers(
        scores=[float(score) for score in scores],
        costs=[cost] * len(scores),
        latencies=[latency + at % 7 for at in range(len(scores))],
    )


def rows(n, *, slices=lambda _: {}, group=str):
    return Rows(groups=[group(at) for at in range(n)], slices=[slices(at) for at in range(n)])


def right(n, wrong):
    """n scores, of which those at `wrong` are 0."""
    return [float(at not in wrong) for at in range(n)]


def test_as_good_passes():
    mine, theirs = right(600, {1, 2, 3}), right(600, {4, 5, 6})
    found = judge(rows(600), answers(mine), {"frontier": answers(theirs)}, RULE)
    assert found.finding == "pass"
    (one,) = found.comparisons
    assert (one.examples, one.groups, one.against, one.slice) == (600, 600, "frontier", "")
    assert one.bound <= 0.05
    assert one.low < one.loss == 0 < one.high
    assert one.examples_needed is None


def test_worse_by_more_than_the_margin_fails():
    found = judge(rows(400), answers(right(400, range(60))), {"live": answers([1.0] * 400)}, RULE)
    assert found.finding == "fail"
    assert found.comparisons[0].loss == pytest.approx(0.15)


def test_too_few_say_how_many_it_takes():
    mine, theirs = right(80, {1, 2}), right(80, {3, 4})
    found = judge(rows(80), answers(mine), {"frontier": answers(theirs)}, RULE)
    assert found.finding == "not-enough-evidence"
    needed = found.comparisons[0].examples_needed
    assert needed is not None
    assert needed > 80


def test_a_loss_beyond_the_margin_that_may_be_chance_cannot_say_how_many():
    found = judge(rows(60), answers(right(60, range(4))), {"frontier": answers([1.0] * 60)}, RULE)
    assert found.finding == "not-enough-evidence"
    assert found.comparisons[0].examples_needed is None


def test_every_comparator_must_be_passed():
    mine, live, frontier = right(600, {1}), right(600, {2}), [1.0] * 600
    poor = right(600, range(90))
    good = judge(rows(600), answers(mine), {"live": answers(live), "frontier": answers(frontier)}, RULE)
    assert good.finding == "pass"
    # As good as a live release that is itself much worse than the frontier.
    bad = judge(rows(600), answers(poor), {"live": answers(poor), "frontier": answers(frontier)}, RULE)
    assert [one.finding for one in bad.comparisons] == ["pass", "fail"]
    assert bad.finding == "fail"


def test_a_declared_slice_must_pass_by_itself():
    """A hundred of 1,000 lose, all in one channel: within the margin of the whole, and far beyond that of the slice."""
    rule = Rule(margin=0.2, alpha=0.025, slices=("channel",), min_slice_rows=200, slice_margin=0.1)
    mine = right(1000, range(100))
    found = judge(
        rows(1000, slices=lambda at: {"channel": "fax" if at < 250 else "mail"}),
        answers(mine),
        {"frontier": answers([1.0] * 1000)},
        rule,
    )
    assert {one.slice: one.finding for one in found.comparisons} == {
        "": "pass",
        "channel=fax": "fail",
        "channel=mail": "pass",
    }
    assert found.finding == "fail"
    assert {one.margin for one in found.comparisons if one.slice} == {0.1}


def test_a_declared_slice_with_few_rows_is_noted():
    rule = Rule(margin=0.05, alpha=0.025, slices=("channel",), min_slice_rows=200)
    found = judge(
        rows(400, slices=lambda at: {"channel": "fax" if at < 31 else "mail"}),
        answers([1.0] * 400),
        {"frontier": answers([1.0] * 400)},
        rule,
    )
    assert [one.slice for one in found.comparisons] == ["", "channel=mail"]
    assert "channel=fax has 31 rows" in found.notes[0]


def test_a_slice_that_nobody_declared_alerts_and_stops_nothing():
    found = judge(
        rows(2000, slices=lambda at: {"kind": "odd" if at < 100 else f"k{at % 9}"}),
        answers(right(2000, range(40))),
        {"frontier": answers([1.0] * 2000)},
        Rule(margin=0.05, alpha=0.025),
    )
    assert found.finding == "pass"
    assert [alert.slice for alert in found.alerts] == ["kind=odd"]
    assert found.alerts[0].loss == pytest.approx(0.4)
    assert found.alerts[0].p <= 0.05


def test_ten_small_slices_without_loss_do_not_alert():
    mine, theirs = right(500, range(0, 500, 21)), right(500, range(7, 500, 21))
    found = judge(
        rows(500, slices=lambda at: {"intent": str(at % 10)}),
        answers(mine),
        {"frontier": answers(theirs)},
        RULE,
    )
    assert found.alerts == ()


def test_groups_are_what_is_counted():
    """Every example eight times is not eight times the evidence."""
    mine, theirs = right(640, set(range(8))), right(640, set(range(8, 16)))
    alone = judge(rows(640), answers(mine), {"frontier": answers(theirs)}, RULE)
    together = judge(
        rows(640, group=lambda at: str(at // 8)), answers(mine), {"frontier": answers(theirs)}, RULE
    )
    assert alone.finding == "pass"
    assert together.finding == "not-enough-evidence"
    assert together.comparisons[0].groups == 80


def test_an_aim_helps_and_is_not_needed():
    mine, theirs = right(600, {1, 2, 3}), right(600, {4, 5, 6})
    aim = sample_of([1.0, -1.0] + [0.0] * 198)
    plain = judge(rows(600), answers(mine), {"frontier": answers(theirs)}, RULE)
    aimed = judge(rows(600), answers(mine), {"frontier": answers(theirs)}, RULE, expected={"frontier": aim})
    assert aimed.comparisons[0].bound < plain.comparisons[0].bound


@pytest.mark.parametrize(
    ("mine", "limit", "finding"),
    [(50, 0.6, "pass"), (100, 1.0, "pass"), (150, 1.2, "fail"), (None, 1.0, "not-enough-evidence")],
)
def test_cost_is_held_against_what_is_live(mine, limit, finding):
    rule = Rule(margin=0.05, alpha=0.025, cost_ratio_max=limit)
    candidate = answers([1.0] * 300, cost=mine)
    found = judge(
        rows(300),
        candidate,
        {"live": answers([1.0] * 300), "frontier": answers([1.0] * 300, cost=10_000)},
        rule,
    )
    assert found.budgets[0].finding == finding
    assert found.finding == finding
    assert (found.budgets[0].value is None) == (mine is None)


def test_free_stays_free():
    rule = Rule(margin=0.05, alpha=0.025, cost_ratio_max=1.0)
    for cost, finding in ((0, "pass"), (1, "fail")):
        found = judge(
            rows(300), answers([1.0] * 300, cost=cost), {"live": answers([1.0] * 300, cost=0)}, rule
        )
        assert found.budgets[0].finding == finding


@pytest.mark.parametrize(("latency", "finding"), [(10.0, "pass"), (40.0, "fail")])
def test_latency_is_held_against_what_is_live(latency, finding):
    rule = Rule(margin=0.05, alpha=0.025, latency_ratio_max=1.5)
    found = judge(rows(300), answers([1.0] * 300, latency=latency), {"live": answers([1.0] * 300)}, rule)
    assert found.budgets[0].of == "latency_p95"
    assert found.budgets[0].finding == finding


def test_the_worst_counts():
    assert worst([]) == "pass"
    assert worst(["pass", "not-enough-evidence"]) == "not-enough-evidence"
    assert worst(["not-enough-evidence", "fail", "pass"]) == "fail"
