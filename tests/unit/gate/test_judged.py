"""A judge's word at the gate: it counts as corrected by people's, or not at all."""

import numpy as np
import pytest
from support.evals import CONTRACT, answered
from support.evals import example as example_at

from smallfirst.config.schema import Scorer
from smallfirst.evals.arm import Arm
from smallfirst.evals.runner import Run
from smallfirst.evals.store import Manifest
from smallfirst.gate.judged import judge_corrected, labels_of, why_not
from smallfirst.gate.judging import Answers, Rows, Rule
from smallfirst.releases import Policy, RungPolicy
from smallfirst.scoring.measurement import Measurement, Pair

N = 2000
RULE = Rule(margin=0.05, alpha=0.025)


def rows(n=N, size=1):
    return Rows(groups=[str(at // size) for at in range(n)], slices=[{"channel": "mail"}] * n)


def drawn(worse, *, blind, n, seed):
    """People's and the judge's score(other) − score(candidate): the judge sees a loss only where it is not blind."""
    chance = np.random.default_rng(seed)
    human = (chance.random(n) < worse).astype(float)
    return human, np.where(chance.random(n) < blind, 0.0, human)


def judged(worse, *, blind, labels=600, rule=RULE, size=1):
    _, losses = drawn(worse, blind=blind, n=N, seed=1)
    human, said = drawn(worse, blind=blind, n=labels, seed=2)
    candidate = Answers(scores=(1 - losses).tolist(), costs=[1] * N, latencies=[1.0] * N)
    other = Answers(scores=[1.0] * N, costs=[1] * N, latencies=[1.0] * N)
    return judge_corrected(
        rows(size=size),
        candidate,
        {"frontier": other},
        rule,
        labels={"frontier": (human.tolist(), said.tolist())},
    )


def test_a_judge_that_does_not_see_the_loss_does_not_hide_it():
    found = judged(0.15, blind=0.9)
    (one,) = found.comparisons
    assert one.score > 0.97  # as the judge has it
    assert one.loss == pytest.approx(0.15, abs=0.04)
    assert found.finding == "fail"


def test_a_good_judge_passes_a_good_candidate():
    found = judged(0.01, blind=0.05)
    assert found.finding == "pass"
    assert found.comparisons[0].bound < 0.05
    assert "corrected by 600 of people's" in found.notes[0]


def test_few_labels_are_a_wide_bound():
    assert judged(0.02, blind=0.5, labels=80).finding == "not-enough-evidence"
    assert judged(0.02, blind=0.5, labels=40).comparisons[0].bound == 1.0


def test_groups_are_observations_here_too():
    alone, together = judged(0.02, blind=0.3), judged(0.02, blind=0.3, size=20)
    assert together.comparisons[0].bound > alone.comparisons[0].bound - 1e-9
    assert together.comparisons[0].groups == N // 20


def test_a_declared_slice_is_not_shown_by_a_judge():
    rule = Rule(margin=0.05, alpha=0.025, slices=("channel",))
    found = judged(0.01, blind=0.05, rule=rule)
    assert [one.finding for one in found.comparisons] == ["pass", "not-enough-evidence"]
    assert found.finding == "not-enough-evidence"


def arm(name, release, *models):
    rungs = tuple(RungPolicy(model=model, provider="p", upstream_id=model) for model in models)
    return Arm(
        name=name, policy=Policy(task="t", contract=CONTRACT, ladder=rungs, scorer=Scorer()), release=release
    )


CANDIDATE, FRONTIER = arm("candidate", "c" * 64, "mini", "big"), arm("frontier", "", "big")


def measured(*models, n=60):
    pairs = tuple(
        Pair(example=str(at), human=1.0, judge=0.5, model=model) for model in models for at in range(n)
    )
    return Measurement(task="t", scorer="judge@1:x", model="j", pairs=pairs, at_ms=0)


def run(*models):
    """A run in which the candidate's answers come from these models, in turn."""
    answers = {}
    for at in range(6):
        answers["candidate", f"e-{at}"] = answered("candidate", at, model=models[at % len(models)])
        answers["frontier", f"e-{at}"] = answered("frontier", at, model="big")
    manifest = Manifest(task="t", arms=(), scorer="s", examples="", count=6)
    return Run(manifest=manifest, examples=tuple(example_at(at).id for at in range(6)), answers=answers)


@pytest.mark.parametrize(
    ("labelled", "answering", "labels"),
    [
        (("release:" + "c" * 12, "frontier"), ("mini", "big"), 60),
        (("mini", "big"), ("mini",), 60),
        (("mini", "big"), ("mini", "big"), 0),  # of a ladder that shares the calls
        (("mini",), ("mini",), 0),
    ],
)
def test_labels_are_of_the_answers_that_are_compared(labelled, answering, labels):
    found = labels_of(measured(*labelled), run(*answering), CANDIDATE, {"frontier": FRONTIER})
    assert len(found["frontier"][0]) == labels


def test_why_a_judge_is_not_heard():
    assert "never measured" in why_not(None, {}, "judge@1:x")
    assert "to 3 examples, and 50 are needed" in why_not(measured("a"), {"live": ([0.0] * 3, [0.0] * 3)}, "j")
    assert why_not(measured("a"), {"live": ([0.0] * 50, [0.0] * 50)}, "j") == ""
