"""The bucket against its definition, which adds up every stretch of time: exact to the token and the nanosecond."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from smallfirst.gateway.rates.bucket import Bucket

_MINUTE_NS = 60_000_000_000
_SECOND_NS = 1_000_000_000
_GAPS = st.one_of(
    st.integers(0, 12).map(lambda seconds: seconds * _SECOND_NS),
    st.integers(1, 20 * _SECOND_NS),
    st.integers(1, 3 * _MINUTE_NS),
)
_RATES = st.sampled_from([60, 60, 7, 100])  # of 60 a minute, one flows in each second
_BURSTS = st.sampled_from([10.0, 10.0, 0.001, 60.0])


class _Charge:
    def __init__(self, at_ns: int, amount: int) -> None:
        self.at_ns, self.amount = at_ns, amount


class Model:
    """Every charge there was, at the time it was taken; what is left is what the worst stretch of time until now leaves."""

    def __init__(self, per_minute: int, burst_s: float) -> None:
        self.rate = Fraction(per_minute, _MINUTE_NS)
        self.most = max(Fraction(1), self.rate * round(burst_s * 10**9))
        self.charges: list[_Charge] = []

    def left(self, now_ns: int) -> Fraction:
        found = self.most
        used = 0
        for charge in reversed(self.charges):
            used += charge.amount
            found = min(found, self.most + self.rate * (now_ns - charge.at_ns) - used)
        return found


@st.composite
def _days(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """What happens: the time since the last, and a call of some size, or the end of one of those under way, that used a share of its size."""
    kinds = st.sampled_from(["take", "take", "settle"])
    return draw(st.lists(st.tuples(kinds, _GAPS, st.integers(0, 12)), min_size=1, max_size=40))


def _play(bucket: Bucket, model: Model, day: list[tuple[str, int, int]]) -> list[tuple[int, bool, Fraction]]:
    """Plays the day in both; each call with whether the bucket let it in and what the model had left."""
    now_ns = 0
    under_way: list[tuple[int, int, _Charge]] = []
    calls = []
    for kind, gap_ns, size in day:
        now_ns += gap_ns
        if kind == "settle" and under_way:
            number, amount, charge = under_way.pop(size % len(under_way))
            used = amount * (size % 3) // 2
            bucket.settle(number, amount, used, now_ns=now_ns)
            charge.amount = used
            continue
        left = model.left(now_ns)
        wait_ns = bucket.wait_ns(size, now_ns=now_ns)
        charge = _Charge(now_ns, size)
        calls.append((size, wait_ns == 0, left))
        if wait_ns == 0:
            model.charges.append(charge)
            under_way.append((bucket.take(size, now_ns=now_ns), size, charge))
    return calls


@given(_RATES, _BURSTS, _days())
def test_a_call_is_let_in_exactly_where_every_stretch_of_time_has_room_for_it(
    per_minute: int, burst_s: float, day: list[tuple[str, int, int]]
) -> None:
    for size, let_in, left in _play(Bucket(per_minute, burst_s, now_ns=0), Model(per_minute, burst_s), day):
        assert let_in == (size <= left)


def test_so_it_is_on_busy_days_when_many_calls_are_under_way_and_give_back_late() -> None:
    """Chance finds what hypothesis rarely does: holes that are filled, and shared, while others are open."""
    chance = random.Random(7)
    for _ in range(700):
        day = [
            (
                chance.choice(["take", "take", "settle"]),
                chance.randrange(4) * _SECOND_NS
                if chance.random() < 0.8
                else chance.randrange(20 * _SECOND_NS),
                chance.randrange(1, 9),
            )
            for _ in range(40)
        ]
        model = Model(60, 10.0)
        for size, let_in, left in _play(Bucket(60, 10.0, now_ns=0), model, day):
            assert let_in == (size <= left)


@given(_RATES, _BURSTS, _days())
def test_no_minute_uses_more_than_the_limit_and_the_burst(
    per_minute: int, burst_s: float, day: list[tuple[str, int, int]]
) -> None:
    model = Model(per_minute, burst_s)
    _play(Bucket(per_minute, burst_s, now_ns=0), model, day)
    for first in model.charges:
        used = sum(
            charge.amount
            for charge in model.charges
            if first.at_ns <= charge.at_ns <= first.at_ns + _MINUTE_NS
        )
        assert used <= model.most + per_minute


@given(_RATES, _BURSTS, _days(), st.integers(1, 99))
def test_whoever_waits_as_told_is_let_in_and_not_a_nanosecond_sooner(
    per_minute: int, burst_s: float, day: list[tuple[str, int, int]], amount: int
) -> None:
    bucket = Bucket(per_minute, burst_s, now_ns=0)
    _play(bucket, Model(per_minute, burst_s), day)
    now_ns = sum(gap_ns for _, gap_ns, _ in day)
    wait_ns = bucket.wait_ns(amount, now_ns=now_ns)
    if wait_ns is None:
        assert amount > bucket.most
        assert bucket.wait_ns(amount, now_ns=now_ns + 10**18) is None
    elif wait_ns:
        assert bucket.wait_ns(amount, now_ns=now_ns + wait_ns - 1) == 1
        assert bucket.wait_ns(amount, now_ns=now_ns + wait_ns) == 0


@given(_RATES, _BURSTS, _days(), st.integers(0, 500))
def test_what_was_used_beyond_what_was_taken_is_owed_before_anybody_gets_in(
    per_minute: int, burst_s: float, day: list[tuple[str, int, int]], beyond: int
) -> None:
    bucket = Bucket(per_minute, burst_s, now_ns=0)
    model = Model(per_minute, burst_s)
    _play(bucket, model, day)
    now_ns = sum(gap_ns for _, gap_ns, _ in day)
    left = bucket.standing(now_ns=now_ns)[0]
    full_in_ns = bucket.standing(now_ns=now_ns)[1]
    bucket.settle(bucket.take(0, now_ns=now_ns), 0, beyond, now_ns=now_ns)
    assert bucket.standing(now_ns=now_ns)[0] <= max(0, left - beyond)
    owed_ns = -(-beyond * _MINUTE_NS // per_minute)
    assert full_in_ns + owed_ns - 1 <= bucket.standing(now_ns=now_ns)[1] <= full_in_ns + owed_ns
    assert bucket.standing(now_ns=now_ns + full_in_ns + owed_ns)[0] == bucket.most
