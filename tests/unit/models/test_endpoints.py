"""Breakers open after failures in a row and let one trial through; the least loaded endpoint is asked; retries have a budget."""

import pytest

from smallfirst import limits
from smallfirst.errors import UpstreamUnavailable
from smallfirst.models.endpoints import Breaker, Endpoint, Endpoints, RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(limits.BREAKER_FAILURES):
        breaker.begin()
        breaker.failure()
    return breaker


def test_it_opens_after_failures_in_a_row_and_a_success_forgets_them() -> None:
    breaker = Breaker(Clock())
    for _ in range(limits.BREAKER_FAILURES - 1):
        breaker.failure()
    breaker.success()
    for _ in range(limits.BREAKER_FAILURES - 1):
        breaker.failure()
    assert breaker.allows
    breaker.failure()
    assert not breaker.allows
    assert breaker.state == "open"


def test_half_open_lets_one_trial_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now_s += limits.BREAKER_OPEN_S
    assert breaker.allows
    breaker.begin()
    assert not breaker.allows
    breaker.success()
    assert breaker.state == "closed"


def test_a_failed_trial_opens_it_for_longer() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now_s += limits.BREAKER_OPEN_S
    breaker.begin()
    breaker.failure()
    clock.now_s += limits.BREAKER_OPEN_S * 1.5
    assert not breaker.allows
    clock.now_s += limits.BREAKER_OPEN_S * 0.5
    assert breaker.allows


def test_an_abandoned_trial_gives_the_next_request_its_chance() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now_s += limits.BREAKER_OPEN_S
    breaker.begin()
    breaker.abandon()
    assert breaker.allows


def test_the_least_loaded_is_chosen_and_a_retry_goes_elsewhere() -> None:
    first, second = Endpoint("http://127.0.0.1:1/v1"), Endpoint("http://127.0.0.1:2/v1")
    both = Endpoints([first, second])
    first.in_flight = 2
    assert both.choose() is second
    second.waiting = 5
    assert both.choose() is first
    assert both.choose(besides=first) is second


def test_nothing_usable_says_so() -> None:
    only = Endpoint("http://127.0.0.1:1/v1")
    only.ready = False
    with pytest.raises(UpstreamUnavailable, match="not ready"):
        Endpoints([only]).choose()


def test_an_endpoints_name_never_shows_credentials() -> None:
    assert "secret" not in Endpoint("http://user:secret@127.0.0.1:1/v1?key=secret").name


def test_retries_are_a_fifth_of_the_calls_plus_ten_a_second() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    granted = sum(budget.withdraw() for _ in range(100))
    assert granted == 10
    for _ in range(100):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 20
    clock.now_s += 1
    assert sum(budget.withdraw() for _ in range(100)) == 10
