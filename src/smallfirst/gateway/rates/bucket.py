"""A token bucket in whole numbers, whose takings may turn out smaller later: exactly as if no more had ever been taken than was used.

It counts what is missing, hole by hole, in the order in which it was taken. What flows in fills the newest hole first. What is given back fills the
hole that it left, then older ones, and never newer ones: the rest would have flowed over had it not been taken. So a call that holds much for
long and gives it back cannot pay for a burst with what nobody could have saved. `tests/property/gateway/test_rates_model.py` holds it
against the definition: no stretch of time, however long, has used more than what was in it at most and what flowed in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

_NS_PER_S = 1_000_000_000
_ONE = 60 * _NS_PER_S  # units that one request or token counts for: N a minute then gain N units a nanosecond


class Bucket:
    """Holds what `per_minute` gains in `burst_s` seconds, and at least one; begins full. `now_ns` is a monotonic clock's."""

    __slots__ = ("_at_ns", "_capacity", "_missing", "_next", "_numbers", "_open", "_sizes", "per_minute")

    def __init__(self, per_minute: int, burst_s: float, *, now_ns: int) -> None:
        self.per_minute = per_minute
        self._capacity = _capacity(per_minute, burst_s)
        self._at_ns = now_ns
        self._missing = 0  # the sum of all holes
        self._next = 0
        self._open: list[int] = []  # takings that are not settled, oldest first
        # The holes, oldest first, and the newest taking in each: two between which nothing is open are one, since nothing tells them apart.
        self._sizes: list[int] = []
        self._numbers: list[int] = []

    def refit(self, per_minute: int, burst_s: float, *, now_ns: int) -> None:
        """Another rate from now on. The share of it that was left stays."""
        self._gain(now_ns)
        before, self._capacity = self._capacity, _capacity(per_minute, burst_s)
        self.per_minute = per_minute
        self._sizes = [max(1, size * self._capacity // before) for size in self._sizes]
        self._missing = sum(self._sizes)

    @property
    def most(self) -> int:
        """What may be taken at once when it is full."""
        return self._capacity // _ONE

    def wait_ns(self, amount: int, *, now_ns: int) -> int | None:
        """How long until `amount` may be taken: 0 is now, None never."""
        units = amount * _ONE
        if units > self._capacity:
            return None
        self._gain(now_ns)
        return max(0, -((self._capacity - self._missing - units) // self.per_minute))

    def take(self, amount: int, *, now_ns: int) -> int:
        """Takes, and returns the number by which it is settled. Whoever must not owe asks `wait_ns` before."""
        self._gain(now_ns)
        self._dig(amount * _ONE)
        self._open.append(self._next)
        return self._next

    def settle(self, number: int, amount: int, used: int, *, now_ns: int) -> None:
        """Of the `amount` that was taken, `used` was needed. More than was taken is owed from now on."""
        self._gain(now_ns)
        if used < amount:
            self._fill((amount - used) * _ONE, bisect_right(self._numbers, number))
        self._close(number)
        if used > amount:
            self._dig((used - amount) * _ONE)

    def standing(self, *, now_ns: int) -> tuple[int, int]:
        """What may be taken now, and how long until it is full, if nothing is taken."""
        self._gain(now_ns)
        return max(0, (self._capacity - self._missing) // _ONE), -(-self._missing // self.per_minute)

    def _gain(self, now_ns: int) -> None:
        gone_ns = now_ns - self._at_ns
        if gone_ns > 0:
            self._at_ns = now_ns
            if self._missing:
                self._fill(gone_ns * self.per_minute, len(self._sizes))

    def _fill(self, units: int, end: int) -> None:
        """Fills the holes before `end`, the newest of them first."""
        sizes, at = self._sizes, end
        while at and units >= sizes[at - 1]:
            at -= 1
            units -= sizes[at]
            self._missing -= sizes[at]
        del sizes[at:end], self._numbers[at:end]
        if at:
            sizes[at - 1] -= units
            self._missing -= units

    def _dig(self, units: int) -> None:
        self._next += 1
        if not units:
            return
        self._missing += units
        if self._numbers and (not self._open or self._open[-1] < self._numbers[-1]):
            self._sizes[-1] += units
            self._numbers[-1] = self._next
        else:
            self._sizes.append(units)
            self._numbers.append(self._next)

    def _close(self, number: int) -> None:
        """Nothing of it will be given back any more: the holes that it kept apart are one, unless another keeps them apart too."""
        numbers, opened = self._numbers, self._open
        del opened[bisect_left(opened, number)]
        at = bisect_right(numbers, number)
        if 0 < at < len(numbers) and bisect_left(opened, numbers[at - 1]) == bisect_left(opened, numbers[at]):
            self._sizes[at] += self._sizes[at - 1]
            del self._sizes[at - 1], numbers[at - 1]


def _capacity(per_minute: int, burst_s: float) -> int:
    return max(_ONE, per_minute * round(burst_s * _NS_PER_S))
