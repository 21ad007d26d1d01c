"""Entries' numbers grow, whatever the clock does, and are whole in JavaScript too."""

from __future__ import annotations

import time

import pytest

from smallfirst.cache.stores.numbers import Numbers


def test_numbers_grow_also_where_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: clock_ns)
    numbers = Numbers()
    first = [numbers.next() for _ in range(10_000)]  # more than one millisecond has room for
    clock_ns -= 3600 * 10**9
    later = [numbers.next() for _ in range(10)]
    assert sorted({*first, *later}) == first + later
    assert Numbers(later[-1]).next() == later[-1] + 1


def test_numbers_of_the_next_decades_are_whole_in_javascript(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 3_900_000_000 * 10**9)  # 2093
    assert 2**52 < Numbers().next() < 2**53
