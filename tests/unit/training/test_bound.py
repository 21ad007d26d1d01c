"""The choice of thresholds: the cheapest that is shown to keep the margin, or the frontier and how much is missing."""

from __future__ import annotations

import numpy as np
import pytest

from smallfirst.errors import ConfigError
from smallfirst.routing.thresholds import frontier_only
from smallfirst.training.bound import Chosen, Goal, Trial, choose
from smallfirst.training.table import Seen, Worth

Part = tuple[Seen, Worth]


def part(rows: int, *, hard: float = 0.3, seed: int = 0, noise: float = 0.1, priced: bool = True) -> Part:
    """Calls of which a share is too hard for the small model, and a router that nearly knows which. The frontier is always right."""
    rng = np.random.default_rng(seed)
    wrong = (rng.random(rows) < hard).astype(float)
    uplift = np.clip(wrong + rng.normal(0, noise, rows), -1, 1)[:, None]
    seen = Seen(uplift=uplift, accept=1 - uplift, accept_after=1 - uplift)
    score = np.stack([1 - wrong, np.ones(rows)], axis=1)
    return seen, Worth(score=score, cost=np.tile([0.001, 0.01], (rows, 1)), priced=priced)


def chosen(rows: int = 1000, *, goal: Goal | None = None, looks: bool = False, **fields: float) -> Chosen:
    return choose(
        part(rows, seed=1, **fields),
        part(rows, seed=2, **fields),
        goal=goal or Goal(margin=0.05),
        looks=looks,
    )


def test_what_is_easy_stays_small_within_the_margin() -> None:
    found = chosen()
    assert 0.6 < found.bound.small_share < 0.8
    assert found.bound.loss <= found.bound.loss_bound == found.bound.margin == 0.05
    assert (found.bound.kept, found.bound.examples, found.bound.confidence) == (True, 1000, 0.95)
    assert found.cost < 0.5 * found.frontier_cost == pytest.approx(0.005)
    assert found.tested >= found.certified > 0


def test_not_enough_data_is_an_answer_that_says_how_much_is_missing() -> None:
    few = chosen(20)
    assert few.thresholds == frontier_only(2)
    assert (few.bound.small_share, few.bound.loss, few.bound.loss_bound) == (0, 0, 0)
    assert few.certified == 0
    assert few.examples_needed is not None
    assert 20 < few.examples_needed < 200
    assert chosen(few.examples_needed * 2).bound.small_share > 0


def test_a_smaller_margin_keeps_less_small_and_needs_more() -> None:
    shares = [chosen(goal=Goal(margin=margin)).bound.small_share for margin in (0.2, 0.05, 0.01)]
    assert shares == sorted(shares, reverse=True)
    nothing = chosen(goal=Goal(margin=0.0005))
    assert nothing.bound.small_share == 0
    assert nothing.examples_needed is not None
    assert nothing.examples_needed > 1000


def test_more_confidence_keeps_less_small() -> None:
    shares = [
        chosen(300, noise=0.4, goal=Goal(margin=0.1, confidence=c)).bound.small_share
        for c in (0.6, 0.95, 0.9999)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_where_the_small_model_is_always_wrong_no_number_of_examples_would_do() -> None:
    none = chosen(hard=1.0, noise=0.0)
    assert none.thresholds == frontier_only(2)
    assert none.examples_needed is None


def test_without_calibration_rows_nothing_is_promised_but_the_frontier() -> None:
    found = choose(part(500), part(0), goal=Goal(margin=0.05), looks=False)
    assert found.thresholds == frontier_only(2)
    assert (found.bound.examples, found.bound.loss, found.cost) == (0, 0.0, 0.0)


def test_calibration_alone_certifies_and_training_alone_orders() -> None:
    """A router that was right on its training part and is wrong on the rest is not believed."""
    seen, worth = part(1000, seed=2)
    lying = Seen(uplift=-seen.uplift, accept=seen.accept, accept_after=seen.accept)
    found = choose(part(1000, seed=1), (lying, worth), goal=Goal(margin=0.05), looks=False)
    assert found.bound.loss <= 0.05
    rng = np.random.default_rng(3)
    shuffled = rng.permutation(1000)
    same = choose(
        part(1000, seed=1), (seen.rows(shuffled), worth.rows(shuffled)), goal=Goal(margin=0.05), looks=False
    )
    assert same.thresholds == chosen().thresholds, "the order of the rows does not matter"


def test_with_a_trial_ahead_a_policy_is_taken_that_is_likely_to_stand_it() -> None:
    """The cheapest that is certified stands at the edge of the margin, where a second test fails about every other time."""
    alone = chosen()
    trials = [Trial(examples, alpha=0.025, power=0.9) for examples in (100_000, 1500, 700)]
    taken = [chosen(goal=Goal(margin=0.05, trial=trial)) for trial in trials]
    shares = [one.bound.small_share for one in taken]
    assert taken[0].thresholds == alone.thresholds, "so large a trial shows whatever is true"
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < alone.bound.small_share
    assert all(one.bound.kept and one.certified == alone.certified for one in taken)


def test_where_no_policy_is_likely_to_stand_it_the_likeliest_is_taken() -> None:
    found = chosen(goal=Goal(margin=0.05, trial=Trial(40, alpha=0.001, power=0.9)))
    assert found.bound.kept
    assert found.bound.small_share <= chosen().bound.small_share


def test_losses_of_zero_and_one_are_counted_which_is_sharper() -> None:
    goal = Goal(margin=0.05, binary=True)
    assert chosen(200, noise=0.4, goal=goal).bound.small_share >= chosen(200, noise=0.4).bound.small_share
    seen, worth = part(200, seed=2)
    graded = Worth(score=worth.score * 0.9, cost=worth.cost, priced=True)
    with pytest.raises(ConfigError, match=r"a loss is neither 0 nor 1.*fit without --binary"):
        choose(part(200, seed=1), (seen, graded), goal=goal, looks=False)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_is_kept_where_it_was_chosen_and_nothing_is_promised(share: float) -> None:
    found = choose(part(1000), part(1000), goal=Goal(margin=0.02, frontier_share=share), looks=False)
    assert 1 - found.bound.small_share <= share
    assert not found.bound.kept
    assert found.bound.loss <= found.bound.loss_bound
    assert found.examples_needed is None


def test_of_policies_with_the_same_loss_the_cheapest_is_taken() -> None:
    seen, worth = part(200, hard=0.0)
    found = choose((seen, worth), (seen, worth), goal=Goal(margin=0.02, frontier_share=0.9), looks=False)
    assert found.bound.small_share == 1


@pytest.mark.parametrize("usd", [0.001, 0.004, 0.02])
def test_a_budget_is_kept_where_it_was_chosen(usd: float) -> None:
    found = choose(part(1000), part(1000), goal=Goal(margin=0.02, usd_per_call=usd), looks=False)
    assert found.cost <= usd * (1 + 1e-9)
    losses = chosen(goal=Goal(margin=0.02, usd_per_call=0.001)).bound.loss
    assert found.bound.loss <= losses + 0.02


def test_a_budget_that_nothing_keeps_is_refused_with_what_would() -> None:
    with pytest.raises(ConfigError, match="the cheapest come to 1 US dollars for 1,000 calls"):
        chosen(goal=Goal(margin=0.02, usd_per_call=0.0005))
    with pytest.raises(ConfigError, match="needs `cost_usd` in every outcome"):
        choose(
            part(100, priced=False),
            part(100, priced=False),
            goal=Goal(margin=0.02, usd_per_call=1),
            looks=False,
        )


def test_a_second_look_finds_what_the_first_cannot() -> None:
    """The router knows nothing before the answer, and much after it."""
    parts = []
    for seed in (1, 2):
        seen, worth = part(1000, seed=seed)
        blind = np.zeros_like(seen.uplift)
        parts.append((Seen(uplift=blind, accept=seen.accept, accept_after=seen.accept_after), worth))
    assert choose(*parts, goal=Goal(margin=0.05), looks=False).bound.small_share == 0
    found = choose(*parts, goal=Goal(margin=0.05), looks=True)
    assert found.bound.small_share > 0.6
    assert found.thresholds.accept[0] > 0
    assert found.cost == pytest.approx(0.001 + 0.01 * (1 - found.bound.small_share)), (
        "what was spent and not used is in it"
    )
