"""What a cache rule decides by itself: what it may lose, and answers that are the live release's."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.config.schema import SemanticCache, TaskCache, TaskGate
from smallfirst.contracts import TextContract
from smallfirst.gate.cache_rule import Beside, cautions, refusal, settled
from smallfirst.gate.judging import Answers, Rows, Rule, judge
from smallfirst.gate.report import budget_words
from smallfirst.releases import Policy, RungPolicy
from smallfirst.releases.verdict import INTENTS, Comparison, TaskVerdict

SMALL = RungPolicy(model="small", provider="p", upstream_id="s")
LARGE = RungPolicy(model="large", provider="p", upstream_id="l")
LIVE = Policy(task="t", contract=TextContract(), ladder=(SMALL, LARGE), margin=0.05)
FRONTIER = Policy(task="t", contract=TextContract(), ladder=(LARGE,), margin=0.05)
EXACT = TaskCache(exact=True)


def semantic(delta: float) -> TaskCache:
    return TaskCache(exact=True, semantic=SemanticCache(delta=delta))


def cached(policy: Policy, rule: TaskCache) -> Policy:
    return msgspec.structs.replace(policy, cache=rule)


def compared(bound: float, *, name: str = "", against: str = "frontier") -> Comparison:
    return Comparison(
        against=against,  # type: ignore[arg-type]
        finding="pass",
        examples=500,
        groups=500,
        score=0.9,
        other_score=0.91,
        loss=0.01,
        low=0.0,
        high=0.02,
        bound=bound,
        margin=0.05,
        alpha=0.025,
        slice=name,
    )


def beside(
    *comparisons: Comparison, live: Policy = LIVE, proven: bool = True, is_baseline: bool = False
) -> Beside:
    said = TaskVerdict(
        task="t",
        finding="pass",
        policy=live.hash,
        live_policy="",
        rule="r",
        dataset="d",
        scorer="s",
        read=1,
        comparisons=comparisons,
    )
    return Beside(
        live=live,
        frontier=FRONTIER,
        rule_hash="r",
        proven=said if proven else None,
        is_baseline=is_baseline,
    )


def test_a_cache_rule_changes_the_policy_and_not_what_it_asks() -> None:
    assert cached(LIVE, EXACT).hash != LIVE.hash
    assert cached(LIVE, EXACT).answers_hash == LIVE.answers_hash == LIVE.hash
    assert cached(LIVE, semantic(0.01)).models_margin == pytest.approx(0.04)


def test_an_exact_cache_of_what_is_proven_asks_nobody() -> None:
    found = settled(cached(LIVE, EXACT), TaskGate(), beside(compared(0.049)))
    assert found is not None
    assert (found.finding, found.comparisons, found.read) == ("pass", (), 0)
    assert found.policy == cached(LIVE, EXACT).hash
    assert "only which answers are given again differs" in found.note


def test_other_answers_are_compared() -> None:
    other = msgspec.structs.replace(LIVE, instructions="Say it shortly.")
    assert settled(cached(other, EXACT), TaskGate(), beside(compared(0.01))) is None


def test_without_proof_of_what_is_live_answers_are_compared() -> None:
    assert settled(cached(LIVE, EXACT), TaskGate(), beside(proven=False)) is None


def test_a_semantic_cache_takes_up_what_the_live_one_has_left() -> None:
    found = settled(
        cached(LIVE, semantic(0.01)), TaskGate(), beside(compared(0.039), compared(0.2, name=INTENTS))
    )
    assert found is not None
    (one,) = found.comparisons
    assert (found.finding, one.bound, one.margin) == ("pass", 0.039, pytest.approx(0.04))
    assert found.dataset == "d"
    assert "0.05 less the 0.01" in found.note


@pytest.mark.parametrize(
    "comparisons",
    [
        (compared(0.041),),
        (),
        (compared(0.01, against="live"),),
        (compared(0.01), compared(0.045, name="channel=mail")),
        (compared(0.01, name="channel=mail"),),
    ],
    ids=["narrow", "none", "live alone", "in a slice", "no whole"],
)
def test_what_the_live_one_has_not_left_is_gathered_anew(comparisons: tuple[Comparison, ...]) -> None:
    assert settled(cached(LIVE, semantic(0.01)), TaskGate(), beside(*comparisons)) is None


def test_a_margin_of_slices_is_not_touched() -> None:
    proven = beside(compared(0.01), compared(0.045, name="channel=mail"))
    found = settled(cached(LIVE, semantic(0.01)), TaskGate(slice_margin=0.05), proven)
    assert found is not None
    assert [one.margin for one in found.comparisons] == [pytest.approx(0.04), 0.05]


def test_less_of_a_semantic_cache_needs_nothing_new() -> None:
    live = cached(LIVE, semantic(0.02))
    for rule in (TaskCache(), EXACT, semantic(0.01)):
        found = settled(cached(LIVE, rule), TaskGate(), beside(live=live))
        assert found is not None
        assert found.finding == "pass"


def test_the_baseline_may_be_cached_without_a_dataset() -> None:
    for rule in (EXACT, semantic(0.01)):
        found = settled(
            cached(FRONTIER, rule), TaskGate(), beside(live=FRONTIER, proven=False, is_baseline=True)
        )
        assert found is not None
        assert (found.finding, found.dataset) == ("pass", "")


def test_more_than_the_gate_allows_fails_whatever_the_answers() -> None:
    other = msgspec.structs.replace(LIVE, instructions="Say it shortly.", cache=semantic(0.02))
    found = settled(other, TaskGate(cache_error_max=0.01), beside())
    assert found is not None
    (budget,) = found.budgets
    assert (found.finding, budget.finding) == ("fail", "fail")
    assert "gate.cache_error_max is 0.01" in found.note
    assert budget_words(budget) == "what the cache may answer wrongly, of all calls: 0.02, the limit is 0.01"


def test_a_cache_that_may_lose_the_whole_margin_fails() -> None:
    policy = cached(LIVE, semantic(0.05))
    found = settled(policy, TaskGate(), beside(compared(0.0)))
    assert found is not None
    assert found.finding == "fail"
    assert "the whole margin is 0.05" in found.note
    assert refusal(cached(LIVE, semantic(0.04)), TaskGate()) == ""


def test_no_margin_at_all_is_no_matter_of_the_cache() -> None:
    assert (
        refusal(msgspec.structs.replace(cached(LIVE, EXACT), margin=0.0), TaskGate(cache_error_max=0.0)) == ""
    )


def test_a_verdict_says_what_came_off_the_margin() -> None:
    assert cautions(cached(LIVE, EXACT)) == ()
    assert cautions(cached(LIVE, semantic(0.01))) == (
        "the margin is 0.05 less the 0.01 that the semantic cache may lose",
    )


@pytest.mark.parametrize(("error", "finding"), [(0.0, "pass"), (0.01, "pass"), (0.011, "fail")])
def test_the_rule_holds_the_cache_to_its_limit(error: float, finding: str) -> None:
    rule = Rule(margin=0.05, alpha=0.025, cache_error=error, cache_error_max=0.01)
    some = Answers(scores=[1.0] * 400, costs=[1] * 400, latencies=[1.0] * 400)
    rows = Rows(groups=[str(at) for at in range(400)], slices=[{}] * 400)
    found = judge(rows, some, {"frontier": some}, rule)
    assert [(one.of, one.finding) for one in found.budgets] == [("cache_error", finding)]
    assert found.finding == finding
