"""What a run found: figures by hand, differences with their errors, slices that are corrected, runs beside one another."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support.evals import example, run_of

from smallfirst.errors import EvalError
from smallfirst.evals.columns import table_of
from smallfirst.evals.comparison import arm_reports, difference, p_value
from smallfirst.evals.run_report import compare_runs, run_report
from smallfirst.evals.slices import slices
from smallfirst.statistics.paired import Estimate


def test_figures_by_hand() -> None:
    examples = [example(at) for at in range(4)]
    run = run_of({"small": [1, 0, 1, 0], "big": [1, 1, 1, 0]}, examples)
    report = run_report("r-1", run, examples, scorer=None)
    small, big = report.arms
    assert (small.score.mean, big.score.mean) == (0.5, 0.75)
    assert small.cost_usd_per_1000 is not None
    assert small.cost_usd_per_1000.mean == pytest.approx(0.001)
    assert small.latency.ratio["p50"].mean == pytest.approx(1.0)
    assert not big.latency.ratio  # the reference itself
    (one,) = report.differences
    assert (one.one, one.other, one.better, one.worse) == ("small", "big", 0, 1)
    # d = 0, −1, 0, 0: mean −¼, standard error of the mean ¼
    assert (one.score.mean, one.score.se) == (pytest.approx(-0.25), pytest.approx(0.25))
    assert one.p == pytest.approx(0.391, abs=0.001)  # t = −1, 3 degrees of freedom


def test_only_what_all_have_answered_is_compared() -> None:
    examples = [example(at) for at in range(5)]
    run = run_of({"small": [1, 1, 1, 1, 1], "big": [1, 1, 1]}, examples)
    report = run_report("r-1", run, examples, scorer=None)
    assert (report.compared, report.left_out) == (3, 2)
    assert {arm.answers for arm in report.arms} == {3}


def test_an_unknown_price_is_unknown() -> None:
    examples = [example(at) for at in range(3)]
    run = run_of({"small": [1, 1, 1], "big": [1, 1, 1]}, examples)
    answers = dict(run.answers)
    key = ("small", "e-1")
    answers[key] = msgspec.structs.replace(answers[key], cost_nusd=None)
    report = run_report("r-1", msgspec.structs.replace(run, answers=answers), examples, scorer=None)
    assert report.arms[0].cost_usd_per_1000 is None
    assert report.arms[1].cost_usd_per_1000 is not None
    assert report.differences[0].cost_ratio is None
    assert report.spent_usd is None


def test_rows_of_one_group_count_as_one() -> None:
    """A conversation that is told ten times says no more than once."""
    once = [example(at, group=f"g-{at}") for at in range(20)]
    scores = [float(at % 4 > 0) for at in range(20)]
    often = [example(20 * time + at, group=f"g-{at}") for time in range(10) for at in range(20)]
    one = arm_reports(table_of(run_of({"a": scores}, once), once), None, reference="a")[0].score
    ten = arm_reports(table_of(run_of({"a": scores * 10}, often), often), None, reference="a")[0].score
    assert ten.mean == pytest.approx(one.mean)
    assert ten.se == pytest.approx(one.se)


def test_a_planted_slice_is_found_and_chance_is_not() -> None:
    chance = np.random.default_rng(3)
    found = alarms = 0
    for _ in range(20):
        examples = [example(at, slices={"shop": f"shop-{at % 8}"}, label="bug") for at in range(400)]
        big = (chance.random(400) < 0.9).astype(float)
        same = np.where(chance.random(400) < 0.9, big, 1 - big)
        worse = np.where((np.arange(400) % 8 == 3) & (chance.random(400) < 0.6), 0.0, big)
        run = run_of({"same": same.tolist(), "worse": worse.tolist(), "big": big.tolist()}, examples)
        told = slices(table_of(run, examples), reference="big", fields=["shop"])
        found += any(one.worse for one in told if one.arm == "worse" and one.value == "shop-3")
        alarms += any(
            one.worse
            for one in told
            if not (one.arm == "worse" and one.value == "shop-3") and one.arm != "same"
        )
    assert found >= 19
    assert alarms == 0  # the other shops are answered by the same scores


def test_slices_of_ones_own_are_made_and_small_ones_left_out() -> None:
    examples = [
        example(
            at,
            messages=[
                {"role": "user", "content": "Where is the invoice of the order that I have paid? " + "x" * at}
            ],
        )
        for at in range(90)
    ]
    run = run_of({"small": [1.0] * 90, "big": [1.0] * 90}, examples)
    told = slices(table_of(run, examples), reference="big")
    assert {(one.field, one.examples) for one in told if one.field == "length"} == {("length", 30)}
    assert {one.value for one in told if one.field == "label"} == {"billing", "bug", "how-to"}
    assert {one.value for one in told if one.field == "language"} == {"en"}
    with pytest.raises(EvalError, match="no such field"):
        slices(table_of(run, examples), reference="big", fields=["colour"])


def test_p_values_where_there_is_no_scatter() -> None:
    assert p_value(Estimate(mean=0.0, low=0, high=0, se=0.0, rows=9, groups=9)) == 1
    assert p_value(Estimate(mean=1.0, low=0, high=0, se=0.0, rows=9, groups=9)) == 2**-8
    assert p_value(Estimate(mean=None, low=None, high=None)) == 1


def test_runs_are_compared_by_example() -> None:
    one, two = [example(at) for at in range(30)], [example(at) for at in range(10, 40)]
    before = run_of({"small": [0.0] * 30, "big": [1.0] * 30}, one)
    after = run_of({"small": [1.0] * 30, "other": [1.0] * 30}, two)
    compared = compare_runs(("a", before, one), ("b", after, two))
    assert (compared.compared, compared.only_one, compared.only_two) == (20, 10, 10)
    (only,) = compared.differences
    assert (only.one, only.other, only.score.mean) == ("b:small", "a:small", 1.0)


def test_runs_of_other_questions_are_not_compared() -> None:
    one = [example(at) for at in range(3)]
    run = run_of({"small": [1, 1, 1]}, one)
    altered = [example(at, label="bug") for at in range(3)]
    with pytest.raises(EvalError, match="asks or wants something else"):
        compare_runs(("a", run, one), ("b", run, altered))
    elsewhere = [example(at) for at in range(5, 8)]
    with pytest.raises(EvalError, match="no answered example in common"):
        compare_runs(("a", run, one), ("b", run_of({"small": [1, 1, 1]}, elsewhere), elsewhere))
    other = msgspec.structs.replace(run, manifest=msgspec.structs.replace(run.manifest, task="else"))
    with pytest.raises(EvalError, match="nothing to compare"):
        compare_runs(("a", run, one), ("b", other, one))


def test_a_difference_is_that_of_its_columns() -> None:
    examples = [example(at) for at in range(4)]
    table = table_of(run_of({"a": [1, 1, 1, 1], "b": [0, 1, 0, 1]}, examples), examples)
    told = difference(table.columns[1], table.columns[0], table.groups)
    assert (told.score.mean, told.better, told.worse) == (-0.5, 0, 2)
