"""Budgets: all scopes or none, the worst case set aside, settled once, named when they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.errors import BudgetExceeded, NotAllowed
from smallfirst.gateway.budget import Budgets, Limit

KEY = ("key", "app")
TENANT = ("tenant", "acme")
DAY = 20_000


def budgets(spent: int = 0) -> Budgets:
    return Budgets(lambda scope, day: spent if day == DAY else 0)


def test_a_reservation_holds_in_every_scope_or_in_none() -> None:
    held = budgets()
    limits = (Limit(KEY, 100), Limit(TENANT, 50))
    held.reserve(limits, 40, day=DAY, model="m")
    with pytest.raises(BudgetExceeded, match="tenant 'acme'"):
        held.reserve(limits, 20, day=DAY, model="m")
    assert held.spent(KEY, DAY) == (0, 40)
    assert held.spent(TENANT, DAY) == (0, 40)


def test_settling_replaces_what_was_set_aside() -> None:
    held = budgets()
    reservation = held.reserve((Limit(KEY, 100),), 90, day=DAY, model="m")
    held.settle(reservation, 30)
    assert held.spent(KEY, DAY) == (30, 0)
    held.settle(held.reserve((Limit(KEY, 100),), 70, day=DAY, model="m"), None)
    assert held.spent(KEY, DAY) == (100, 0)


def test_what_the_ledger_says_was_spent_counts() -> None:
    held = budgets(spent=95)
    with pytest.raises(BudgetExceeded, match="key 'app'"):
        held.reserve((Limit(KEY, 100),), 6, day=DAY, model="m")
    held.reserve((Limit(KEY, 100),), 5, day=DAY, model="m")


def test_a_new_day_starts_anew_and_forgets_yesterdays_reservations() -> None:
    held = budgets()
    limits = (Limit(KEY, 100),)
    yesterday = held.reserve(limits, 100, day=DAY, model="m")
    held.reserve(limits, 100, day=DAY + 1, model="m")
    held.settle(yesterday, 100)
    assert held.spent(KEY, DAY + 1) == (0, 100)


def test_what_is_free_needs_no_budget_and_what_is_unknown_is_refused() -> None:
    held = budgets(spent=100)
    assert held.reserve((Limit(KEY, 100),), 0, day=DAY, model="own") is None
    assert held.reserve((), None, day=DAY, model="new") is None
    with pytest.raises(NotAllowed, match=r"no known price.*\[\[models\.new\.prices\]\]"):
        held.reserve((Limit(KEY, 100),), None, day=DAY, model="new")


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), max_size=60))
def test_a_budget_is_never_overshot_by_calls_that_cost_at_most_what_they_reserved(
    calls: list[tuple[int, float]],
) -> None:
    held = budgets()
    open_reservations = []
    for reserved, share in calls:
        try:
            open_reservations.append(
                (held.reserve((Limit(KEY, 100),), reserved, day=DAY, model="m"), int(reserved * share))
            )
        except BudgetExceeded:
            if open_reservations:
                held.settle(*open_reservations.pop())
        spent, set_aside = held.spent(KEY, DAY)
        assert spent + set_aside <= 100
    for reservation, cost in open_reservations:
        held.settle(reservation, cost)
    spent, set_aside = held.spent(KEY, DAY)
    assert set_aside == 0
    assert spent <= 100
