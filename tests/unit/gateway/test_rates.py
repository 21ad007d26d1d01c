"""Rate limits of one process: all scopes or none, tokens set aside and given back, limits that change while calls are under way."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from smallfirst.config.rates import RateLimits
from smallfirst.errors import RateLimited
from smallfirst.gateway.rates.local import LocalAdmission, LocalRates
from smallfirst.gateway.rates.rates import ScopeLimits

SECOND_NS = 1_000_000_000


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 5 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


def of(kind: str, name: str = "app", **limits: float) -> ScopeLimits:
    return ScopeLimits((kind, name), msgspec.convert(limits, RateLimits))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> LocalRates:
    return LocalRates(clock)


def entered(rates: LocalRates, *limits: ScopeLimits) -> LocalAdmission:
    admission = rates.admission(limits)
    asyncio.run(admission.enter())
    return admission


def took(rates: LocalRates, limits: ScopeLimits, read: int, written: int) -> LocalAdmission:
    admission = entered(rates, limits)
    asyncio.run(admission.take_tokens(read, written))
    return admission


def left(rates: LocalRates, *limits: ScopeLimits) -> dict[str, int]:
    return {one.counted: one.left for one in rates.admission(limits).standings()}


def test_a_minutes_worth_at_once_then_one_as_each_flows_in(rates: LocalRates, clock: Clock) -> None:
    key = of("key", requests_per_minute=60)
    for _ in range(60):
        entered(rates, key)
    with pytest.raises(RateLimited, match=r"key 'app': 60 requests a minute.*try again in 1s") as told:
        entered(rates, key)
    assert told.value.retry_after_s == 1.0
    assert told.value.retry
    clock.pass_s(1)
    entered(rates, key)
    with pytest.raises(RateLimited):
        entered(rates, key)


def test_a_short_burst_spreads_calls(rates: LocalRates, clock: Clock) -> None:
    key = of("key", requests_per_minute=60, burst_s=0.5)
    entered(rates, key)
    with pytest.raises(RateLimited, match="try again in 1s"):
        entered(rates, key)
    clock.pass_s(3600)
    entered(rates, key)
    with pytest.raises(RateLimited):
        entered(rates, key)


def test_all_scopes_or_none(rates: LocalRates) -> None:
    key, tenant = of("key", requests_per_minute=10), of("tenant", "acme", requests_per_minute=2)
    entered(rates, key, tenant)
    entered(rates, key, tenant)
    for _ in range(5):
        with pytest.raises(RateLimited, match="tenant 'acme'"):
            entered(rates, key, tenant)
    assert left(rates, key) == {"requests": 8}


def test_the_longest_wait_is_told(rates: LocalRates) -> None:
    slow, fast = of("gateway", "", requests_per_minute=1), of("key", requests_per_minute=2, burst_s=30)
    entered(rates, fast, slow)
    with pytest.raises(RateLimited, match=r"this gateway: 1 request a minute.*try again in 1m0s"):
        entered(rates, fast, slow)


def test_what_was_not_used_is_given_back(rates: LocalRates) -> None:
    key = of("key", tokens_per_minute=1000)
    admission = took(rates, key, 100, 900)
    with pytest.raises(RateLimited, match=r"1000 tokens a minute; 0 are left, and this call may take 50\."):
        took(rates, key, 25, 25)
    admission.settle(100, 20)
    assert left(rates, key) == {"tokens": 880}
    took(rates, key, 440, 440)


def test_a_call_that_used_more_than_was_set_aside_makes_the_next_one_wait_for_it(
    rates: LocalRates, clock: Clock
) -> None:
    key = of("key", tokens_per_minute=600)
    took(rates, key, 100, 100).settle(300, 600)
    assert left(rates, key) == {"tokens": 0}
    with pytest.raises(RateLimited) as told:
        took(rates, key, 0, 1)
    assert told.value.retry_after_s == pytest.approx(30.1)
    clock.pass_s(30.1)
    took(rates, key, 0, 1)


def test_a_call_that_can_never_fit_is_told_so_and_not_to_come_again(rates: LocalRates) -> None:
    key = of("key", tokens_per_minute=1000, burst_s=30, requests_per_minute=5)
    with pytest.raises(
        RateLimited, match=r"at most 500 in at once \(1000 a minute\).*never.*max_tokens"
    ) as told:
        took(rates, key, 1, 500)
    assert not told.value.retry
    assert told.value.retry_after_s is None
    took(rates, key, 0, 500)


def test_a_call_refused_for_its_tokens_is_no_request_either(rates: LocalRates) -> None:
    key = of("key", requests_per_minute=5, tokens_per_minute=10, calls_at_once=1)
    with pytest.raises(RateLimited):
        took(rates, key, 10, 10)
    assert left(rates, key) == {"requests": 5, "tokens": 10}


def test_tokens_read_and_written_are_limited_apart(rates: LocalRates) -> None:
    key = of("key", input_tokens_per_minute=100, output_tokens_per_minute=50)
    took(rates, key, 90, 10)
    with pytest.raises(RateLimited, match="100 input tokens a minute"):
        took(rates, key, 11, 0)
    with pytest.raises(RateLimited, match="50 output tokens a minute"):
        took(rates, key, 0, 41)
    took(rates, key, 10, 40)


def test_calls_at_once_ends_with_each_call(rates: LocalRates) -> None:
    key = of("key", calls_at_once=2)
    first = entered(rates, key)
    entered(rates, key)
    with pytest.raises(RateLimited, match="2 calls under way") as told:
        entered(rates, key)
    assert told.value.retry_after_s == 1.0
    first.leave()
    first.leave()
    entered(rates, key)
    with pytest.raises(RateLimited):
        entered(rates, key)


def test_looking_takes_nothing(rates: LocalRates) -> None:
    key = of("key", requests_per_minute=1, calls_at_once=1)
    for _ in range(3):
        asyncio.run(rates.admission((key,)).check())
    entered(rates, key)
    with pytest.raises(RateLimited):
        asyncio.run(rates.admission((key,)).check())


def test_a_call_that_leaves_unsettled_has_used_what_it_took(rates: LocalRates) -> None:
    key = of("key", tokens_per_minute=100)
    admission = took(rates, key, 10, 20)
    admission.leave()
    admission.settle(0, 0)
    assert left(rates, key) == {"tokens": 70}


def test_a_limit_that_is_lowered_holds_at_once_and_keeps_the_share_that_was_left(
    rates: LocalRates, clock: Clock
) -> None:
    before, after = of("key", tokens_per_minute=1000), of("key", tokens_per_minute=100)
    admission = took(rates, before, 0, 500)
    assert left(rates, after) == {"tokens": 50}
    with pytest.raises(RateLimited, match="100 tokens a minute"):
        took(rates, after, 0, 51)
    admission.settle(0, 0)
    assert left(rates, after) == {"tokens": 100}
    clock.pass_s(600)
    assert left(rates, after) == {"tokens": 100}
    assert left(rates, before) == {"tokens": 1000}


def test_a_limit_that_is_taken_away_is_gone(rates: LocalRates) -> None:
    entered(rates, of("key", requests_per_minute=1))
    free = of("key", tokens_per_minute=5)
    entered(rates, free)
    assert left(rates, free) == {"tokens": 5}


def test_memory_is_bounded_by_the_scopes_that_are_configured(rates: LocalRates) -> None:
    kept, gone, busy = (of("key", name, requests_per_minute=1) for name in ("kept", "gone", "busy"))
    entered(rates, kept).leave()
    entered(rates, gone).leave()
    under_way = entered(rates, busy)
    rates.keep((kept,))
    assert left(rates, kept) == {"requests": 0}
    assert left(rates, gone) == {"requests": 1}  # known anew
    assert left(rates, busy) == {"requests": 0}  # while a call of it is under way
    under_way.leave()
    rates.keep(())
    assert left(rates, busy) == {"requests": 1}


def test_the_tightest_scope_is_told(rates: LocalRates) -> None:
    key, tenant = of("key", tokens_per_minute=1000), of("tenant", "acme", tokens_per_minute=900)
    admission = entered(rates, key, tenant)
    asyncio.run(admission.take_tokens(10, 80))
    (standing,) = admission.standings()
    assert (standing.per_minute, standing.left, standing.full_in_ns) == (900, 810, 6 * SECOND_NS)
