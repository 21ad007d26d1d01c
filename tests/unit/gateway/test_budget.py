"""Budgets: all purses or none, the worst case set aside, settled once, named when they refuse; periods that end at UTC's boundaries."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.errors import BudgetExceeded, NotAllowed
from smallfirst.gateway.budget import Budgets, Limit, PurseName
from smallfirst.gateway.budget.period import MS_PER_DAY, first_day, hours, number

KEY = PurseName("key", "app")
TENANT = PurseName("tenant", "acme")
MONTH = PurseName("tenant", "acme", "month")
EVER = PurseName("key", "app", "total")
DAY = 20_000
AT_MS = DAY * MS_PER_DAY + 1


def at_ms(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def budgets(spent: int = 0) -> Budgets:
    return Budgets(lambda purse, number: spent if number == DAY else 0)


def test_a_reservation_holds_in_every_purse_or_in_none() -> None:
    held = budgets()
    limits = (Limit(KEY, 100), Limit(TENANT, 50), Limit(MONTH, 200), Limit(EVER, 1000))
    held.reserve(limits, 40, at_ms=AT_MS, model="m")
    with pytest.raises(BudgetExceeded, match="the daily budget of tenant 'acme'"):
        held.reserve(limits, 20, at_ms=AT_MS, model="m")
    for limit in limits:
        assert held.spent(limit, at_ms=AT_MS) == (0, 40)


def test_settling_replaces_what_was_set_aside() -> None:
    held, limit = budgets(), Limit(KEY, 100)
    held.settle(held.reserve((limit,), 90, at_ms=AT_MS, model="m"), 30)
    assert held.spent(limit, at_ms=AT_MS) == (30, 0)
    held.settle(held.reserve((limit,), 70, at_ms=AT_MS, model="m"), None)
    assert held.spent(limit, at_ms=AT_MS) == (100, 0)


def test_what_the_ledger_says_was_spent_counts() -> None:
    held = budgets(spent=95)
    with pytest.raises(BudgetExceeded, match="key 'app'"):
        held.reserve((Limit(KEY, 100),), 6, at_ms=AT_MS, model="m")
    held.reserve((Limit(KEY, 100),), 5, at_ms=AT_MS, model="m")


def test_what_is_free_needs_no_budget_and_what_is_unknown_is_refused() -> None:
    held = budgets(spent=100)
    assert held.reserve((Limit(KEY, 100),), 0, at_ms=AT_MS, model="own") is None
    assert held.reserve((), None, at_ms=AT_MS, model="new") is None
    with pytest.raises(
        NotAllowed, match=r"no known price, so the daily budget of key 'app'.*\[\[models\.new"
    ):
        held.reserve((Limit(KEY, 100),), None, at_ms=AT_MS, model="new")


# What a refusal says.


def test_a_refusal_names_the_purse_its_sums_and_when_it_starts_anew() -> None:
    held = budgets()
    limit = Limit(PurseName("tenant", "acme", "month", frontier=True), 2_000_000_000)
    moment = at_ms("2026-12-31T23:59:59")
    held.settle(held.reserve((limit,), 1_500_000_000, at_ms=moment, model="m"), 1_500_000_000)
    held.reserve((limit,), 250_000_000, at_ms=moment, model="m")
    with pytest.raises(BudgetExceeded) as refused:
        held.reserve((limit,), 300_000_000, at_ms=moment, model="m")
    assert refused.value.message == (
        "the monthly frontier budget of tenant 'acme' does not allow this call: $1.50 spent and $0.2500 set aside of $2.00; "
        "this call may cost up to $0.3000. It starts anew at 2027-01-01 00:00 UTC"
    )


def test_a_total_budget_does_not_start_anew() -> None:
    with pytest.raises(BudgetExceeded, match=r"the total budget of key 'app'.* It does not start anew$"):
        budgets().reserve((Limit(EVER, 1),), 2, at_ms=AT_MS, model="m")


@pytest.mark.parametrize("owner", [PurseName("gateway", ""), PurseName("task", "triage")])
def test_no_tenant_is_told_what_others_have_spent(owner: PurseName) -> None:
    held, limit = budgets(), Limit(owner, 2_000_000_000)
    held.settle(held.reserve((limit,), 1_234_000_000, at_ms=AT_MS, model="m"), 1_234_000_000)
    with pytest.raises(BudgetExceeded) as refused:
        held.reserve((limit,), 1_000_000_000, at_ms=AT_MS, model="m")
    assert "1.23" not in refused.value.message
    assert "$2.00 may be spent by all together" in refused.value.message


def test_a_budget_that_refuses_is_named_before_one_that_leaves_the_call_to_small_rungs() -> None:
    small, hard = Limit(KEY, 10, at_limit="small"), Limit(TENANT, 10)
    with pytest.raises(BudgetExceeded) as refused:
        budgets().reserve((small, hard), 11, at_ms=AT_MS, model="m")
    assert (refused.value.budget, refused.value.leaves_small) == ("the daily budget of tenant 'acme'", False)
    with pytest.raises(BudgetExceeded) as refused:
        budgets().reserve((small, Limit(TENANT, 11)), 11, at_ms=AT_MS, model="m")
    assert (refused.value.budget, refused.value.leaves_small) == ("the daily budget of key 'app'", True)


# Periods.


@pytest.mark.parametrize(
    ("purse", "before", "after"),
    [
        (KEY, "2026-11-26T23:59:59.999", "2026-11-27T00:00:00"),
        (MONTH, "2026-11-30T23:59:59.999", "2026-12-01T00:00:00"),
        (MONTH, "2026-12-31T23:59:59.999", "2027-01-01T00:00:00"),
        (MONTH, "2028-02-29T23:59:59.999", "2028-03-01T00:00:00"),
    ],
)
def test_a_period_ends_with_its_last_millisecond(purse: PurseName, before: str, after: str) -> None:
    held, limit = Budgets(lambda purse, number: 0), Limit(purse, 100)
    last = held.reserve((limit,), 100, at_ms=at_ms(before), model="m")
    with pytest.raises(BudgetExceeded):
        held.reserve((limit,), 1, at_ms=at_ms(before), model="m")
    held.reserve((limit,), 100, at_ms=at_ms(after), model="m")
    held.settle(last, 100)  # in the period in which it arrived
    assert held.spent(limit, at_ms=at_ms(before)) == (100, 0)
    assert held.spent(limit, at_ms=at_ms(after)) == (0, 100)


def test_a_month_does_not_end_with_a_day_and_all_time_never_does() -> None:
    held = Budgets(lambda purse, number: 0)
    for limit in (Limit(MONTH, 100), Limit(EVER, 100)):
        held.reserve((limit,), 60, at_ms=at_ms("2026-11-01T00:00:00"), model="m")
        with pytest.raises(BudgetExceeded):
            held.reserve((limit,), 60, at_ms=at_ms("2026-11-30T23:59:59"), model="m")
    with pytest.raises(BudgetExceeded):
        held.reserve((Limit(EVER, 100),), 60, at_ms=at_ms("2036-01-01T00:00:00"), model="m")


def test_a_clock_that_steps_back_over_a_boundary_spends_nothing_twice() -> None:
    read: list[int] = []

    def spent_before(purse: PurseName, number: int) -> int:
        read.append(number)
        return 0

    held, limit = Budgets(spent_before), Limit(KEY, 100)
    for _ in range(3):  # the ledger would not have these calls yet
        for moment, nusd in (("2026-11-26T23:59:59.9", 20), ("2026-11-27T00:00:00.1", 30)):
            held.settle(held.reserve((limit,), nusd, at_ms=at_ms(moment), model="m"), nusd)
    assert held.spent(limit, at_ms=at_ms("2026-11-26T12:00:00")) == (60, 0)
    assert held.spent(limit, at_ms=at_ms("2026-11-27T12:00:00")) == (90, 0)
    assert len(read) == 2


def test_what_is_known_of_a_period_that_has_just_begun_is_not_what_was_spent_before_it() -> None:
    held = Budgets(lambda purse, number: 0)
    held.settle(held.reserve((Limit(KEY, 100),), 30, at_ms=at_ms("2026-11-26T23:59:59"), model="m"), 30)
    assert held.known(KEY, at_ms=at_ms("2026-11-26T23:59:59.9")) == 30
    assert held.known(KEY, at_ms=at_ms("2026-11-27T00:00:00")) == 0
    held.settle(held.reserve((Limit(KEY, 100),), 20, at_ms=at_ms("2026-11-27T00:00:00"), model="m"), 20)
    assert held.known(KEY, at_ms=at_ms("2026-11-26T23:59:59.9")) == 30
    assert held.known(KEY, at_ms=at_ms("2026-11-27T12:00:00")) == 20
    assert held.known(TENANT, at_ms=AT_MS) == 0  # nobody has paid from it


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(2199, 12, 31)))
def test_periods_join_without_a_gap(date: datetime.date) -> None:
    day = (date - datetime.date(1970, 1, 1)).days
    for period in ("day", "month"):
        since, until = hours(period, number(period, day))
        assert since is not None
        assert until is not None
        assert since <= day * 24 < until
        assert hours(period, number(period, day) + 1)[0] == until
        begins = first_day(period, number(period, day))
        assert begins is not None
        assert (begins.year, begins.month) == (date.year, date.month)
    assert hours("total", number("total", day)) == (None, None)


# Reloads.


def test_a_reload_keeps_purses_and_holds_them_to_the_new_limit() -> None:
    held = budgets()
    reservation = held.reserve((Limit(KEY, 100),), 80, at_ms=AT_MS, model="m")
    with pytest.raises(BudgetExceeded):  # less than is set aside already
        held.reserve((Limit(KEY, 50),), 1, at_ms=AT_MS, model="m")
    held.settle(reservation, 80)
    assert held.spent(Limit(KEY, 50), at_ms=AT_MS) == (80, 0)
    held.reserve((Limit(KEY, 90),), 10, at_ms=AT_MS, model="m")


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1), st.booleans()), max_size=60))
def test_a_budget_is_never_overshot_by_calls_that_cost_at_most_what_they_reserved(
    calls: list[tuple[int, float, bool]],
) -> None:
    held = Budgets(lambda purse, number: 0)
    day, month = Limit(KEY, 100), Limit(MONTH, 150)
    spent = {0: 0, 1: 0}
    open_reservations = []
    for reserved, share, tomorrow in calls:
        moment = AT_MS + tomorrow * MS_PER_DAY
        try:
            made = held.reserve((day, month), reserved, at_ms=moment, model="m")
            open_reservations.append((made, int(reserved * share), tomorrow))
        except BudgetExceeded:
            if open_reservations:
                made, cost, when = open_reservations.pop()
                held.settle(made, cost)
                spent[when] += cost
        assert sum(held.spent(month, at_ms=moment)) <= 150
        assert sum(held.spent(day, at_ms=moment)) <= 100
    for made, cost, when in open_reservations:
        held.settle(made, cost)
        spent[when] += cost
    for when, nusd in spent.items():
        assert held.spent(day, at_ms=AT_MS + when * MS_PER_DAY) == (nusd, 0)
    assert held.spent(month, at_ms=AT_MS) == (sum(spent.values()), 0)
