"""Alarms: each once for its purse, period, limit and threshold, over reloads and restarts, and when a call was refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smallfirst.config.budget import Alarms as Rule
from smallfirst.errors import BudgetExceeded
from smallfirst.gateway.budget import Alarms, Budgets, Limit, PurseName
from smallfirst.gateway.budget.alarm import Alarm, alarm_of
from smallfirst.gateway.budget.period import MS_PER_DAY

AT_MS = 20_000 * MS_PER_DAY
PURSE = PurseName("tenant", "acme")
RULE = Rule(at=(0.5, 0.8, 1.0))
LIMIT = Limit(PURSE, 100, alarms=RULE)


class House:
    """Budgets whose alarms are kept: `told` as events, `sent` as deliveries."""

    def __init__(self, *, before: list[dict[str, Any]] = [], spent: int = 0) -> None:  # noqa: B006
        self.told: list[dict[str, Any]] = []
        self.sent: list[Alarm] = []
        alarms = Alarms(
            lambda kind, detail: self.told.append(detail),
            before=[alarm_of(detail) for detail in before],
            deliver=lambda alarm, limit: self.sent.append(alarm),
        )
        self.budgets = Budgets(lambda purse, number: spent, alarms=alarms)

    def spend(self, nusd: int, limit: Limit = LIMIT, *, at_ms: int = AT_MS) -> None:
        self.budgets.settle(self.budgets.reserve((limit,), nusd, at_ms=at_ms, model="m"), nusd)

    @property
    def of_limits(self) -> list[tuple[float, int]]:
        return [(detail["at"], detail["limit_nusd"]) for detail in self.told]

    @property
    def marks(self) -> list[tuple[float, bool]]:
        return [(detail["at"], detail["refused"]) for detail in self.told]


def test_each_threshold_is_told_once_and_not_before_it_is_reached() -> None:
    house = House()
    house.spend(49)
    assert house.marks == []
    house.spend(1)
    assert house.marks == [(0.5, False)]
    house.spend(29)
    assert house.marks == [(0.5, False)]
    house.spend(21)
    assert house.marks == [(0.5, False), (0.8, False), (1.0, False)]  # two by one call, in their order
    assert [alarm.at for alarm in house.sent] == [0.5, 0.8, 1.0]
    assert (
        house.sent[-1].text
        == "100% of the daily budget of tenant 'acme' reached: $0.000000100 of $0.000000100 spent since 2024-10-04"
    )


def test_what_is_only_set_aside_is_not_spent() -> None:
    house = House()
    reservation = house.budgets.reserve((LIMIT,), 100, at_ms=AT_MS, model="m")
    assert house.marks == []
    house.budgets.settle(reservation, 10)
    assert house.marks == []


def test_the_first_refusal_is_told_and_the_limit_too_when_it_is_reached() -> None:
    house = House()
    house.spend(60)
    for _ in range(3):
        with pytest.raises(BudgetExceeded):
            house.spend(41)
    assert house.marks == [(0.5, False), (1.0, True)]
    assert house.sent[-1].text.startswith("a call did not fit the daily budget of tenant 'acme'")
    house.spend(40)
    assert house.marks[2:] == [(0.8, False), (1.0, False)]
    assert len({alarm.id for alarm in house.sent}) == 4


def test_a_new_period_tells_anew_and_a_late_call_of_the_old_one_does_not() -> None:
    house = House()
    late = house.budgets.reserve((LIMIT,), 10, at_ms=AT_MS + MS_PER_DAY - 1, model="m")
    house.spend(50)
    house.spend(50, at_ms=AT_MS + MS_PER_DAY)
    house.budgets.settle(late, 10)
    assert [(detail["at"], detail["begins"]) for detail in house.told] == [
        (0.5, "2024-10-04"),
        (0.5, "2024-10-05"),
    ]


def test_a_restart_tells_nothing_twice_and_what_it_finds_unsaid() -> None:
    first = House()
    first.spend(55)
    second = House(before=first.told, spent=85)  # 30 more were settled just before it died
    second.budgets.open((LIMIT,), at_ms=AT_MS)
    assert second.marks == [(0.8, False)]
    third = House(before=[*first.told, *second.told], spent=85)
    third.budgets.open((LIMIT,), at_ms=AT_MS)
    assert third.marks == []
    third.budgets.open((LIMIT,), at_ms=AT_MS + MS_PER_DAY)
    assert third.marks == [(0.5, False), (0.8, False)]


def test_a_reload_that_lowers_a_limit_below_what_is_spent_tells_at_once() -> None:
    house = House()
    house.spend(60)
    lower = msgspec.structs.replace(LIMIT, nusd=30)
    house.budgets.open((lower,), at_ms=AT_MS)
    of_both = [(0.5, 100), (0.5, 30), (0.8, 30), (1.0, 30)]
    assert house.of_limits == of_both
    house.budgets.open((LIMIT,), at_ms=AT_MS)  # and back
    house.spend(40)
    assert house.of_limits == [*of_both, (0.8, 100), (1.0, 100)]
    assert len({alarm.id for alarm in house.sent}) == 6


def test_whoever_raises_a_limit_that_is_reached_is_told_of_the_new_one_too() -> None:
    house = House()
    house.spend(100)
    with pytest.raises(BudgetExceeded):
        house.spend(1)
    before = len(house.told)
    higher = msgspec.structs.replace(LIMIT, nusd=200)
    house.budgets.open((higher,), at_ms=AT_MS)
    house.spend(70, higher)
    with pytest.raises(BudgetExceeded):
        house.spend(31, higher)
    assert house.marks[before:] == [(0.5, False), (0.8, False), (1.0, True)]
    again = House(before=house.told, spent=170)  # and a restart tells none of it again
    again.budgets.open((higher,), at_ms=AT_MS)
    with pytest.raises(BudgetExceeded):
        again.spend(31, higher)
    assert again.told == []


def test_thresholds_are_exact_where_shares_of_a_sum_are_no_whole_nano_dollars() -> None:
    house = House()
    limit = Limit(PURSE, 7, alarms=Rule(at=(0.1, 0.3)))  # at 0.7 and 2.1
    house.spend(1, limit)
    house.spend(1, limit)
    assert house.marks == [(0.1, False)]
    house.spend(1, limit)
    assert house.marks == [(0.1, False), (0.3, False)]


def test_a_purse_without_alarms_and_one_of_nothing_tell_nothing_of_what_is_spent() -> None:
    house = House()
    house.spend(100, Limit(PURSE, 100))
    with pytest.raises(BudgetExceeded):
        house.spend(1, Limit(PURSE, 100, alarms=Rule(at=(0.5,))))
    nothing = Limit(PurseName("key", "web"), 0, alarms=RULE)
    house.budgets.open((nothing,), at_ms=AT_MS)
    assert house.marks == [(0.5, False)]
    with pytest.raises(BudgetExceeded):
        house.spend(1, nothing)
    assert house.marks[1:] == [(1.0, True)]


@pytest.mark.parametrize(
    ("own", "gateway", "together"),
    [
        (Rule(), Rule(), Rule(at=(0.5, 0.8, 1.0))),
        (Rule(at=(0.9,)), Rule(webhook="env:HOOK"), Rule(at=(0.9,), webhook="env:HOOK")),
        (Rule(webhook="env:MINE"), Rule(at=(1.0,), webhook="env:HOOK"), Rule(at=(1.0,), webhook="env:MINE")),
        (Rule(at=()), Rule(at=(0.5,)), Rule(at=())),
    ],
)
def test_what_a_budget_leaves_open_is_as_the_gateway_has_it(own: Rule, gateway: Rule, together: Rule) -> None:
    assert own.under(gateway) == together
