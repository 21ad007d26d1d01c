"""Samples are uniform, also of groups that are joined; different things are counted exactly, and beyond a bound nearly."""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import Any

import pytest

from smallfirst.planning.assess.feature import SAMPLE_CALLS
from smallfirst.planning.assess.finding.counted import Counted, Distinct, Sample, hold_down
from smallfirst.planning.assess.finding.passing import Recent, passing
from smallfirst.planning.assess.observed import Observed


def call(number: int) -> Observed:
    return Observed(messages=[{"role": "user", "content": f"call {number}"}], at_ms=number + 1)


def spread(number: int) -> int:
    return int.from_bytes(blake2b(str(number).encode(), digest_size=8).digest(), "little")


def sample(numbers: range, seed: int) -> Sample:
    draw, made = random.Random(seed), Sample()
    for number in numbers:
        made.offer(draw.random(), number, call(number))
    return made


def test_a_sample_of_few_is_all_of_them_in_their_order() -> None:
    assert [one.at_ms for one in sample(range(9), 0).calls()] == [*range(1, 10)]


def test_a_sample_of_two_joined_groups_has_each_as_its_share_is() -> None:
    joined = sample(range(9000), 1)
    joined.join(sample(range(9000, 12_000), 2))
    calls = joined.calls()
    assert len(calls) == SAMPLE_CALLS
    share = sum(one.at_ms > 9000 for one in calls) / len(calls)
    assert share == pytest.approx(0.25, abs=0.04)  # four standard errors


def test_large_samples_give_way_when_memory_is_short() -> None:
    groups = [Counted(), Counted()]
    for number in range(3000):
        for group, text in zip(groups, ("x" * 1000, "y"), strict=True):
            one = Observed(messages=[{"role": "user", "content": text}])
            group.add(passing(one, lot=random.Random(number).random(), order=number, recent=Recent()))
    hold_down(groups, 1_000_000)
    large, small = (group.sample for group in groups)
    assert large.bytes + small.bytes <= 1_000_000
    assert len(small.calls()) == SAMPLE_CALLS
    assert 100 < len(large.calls()) < 1000


@pytest.mark.parametrize(("different", "within"), [(1000, 0.0), (200_000, 0.03)])
def test_different_things_are_counted(different: int, within: float) -> None:
    counted = Distinct()
    for number in range(different):
        counted.add(spread(number))
    counted.add(spread(0))
    assert counted.count() == pytest.approx(different, rel=within, abs=0)


def test_what_two_groups_have_in_common_is_counted_once() -> None:
    one, other = Distinct(), Distinct()
    for number in range(3000):
        one.add(spread(number))
        other.add(spread(number + 1000))
    one.join(other)
    assert one.count() == 4000


# What an exact cache had answered.

HOUR_MS = 3_600_000


def hits(*calls: Observed) -> list[bool]:
    recent = Recent()
    return [
        passing(one, lot=0.0, order=number, recent=recent).again for number, one in enumerate(calls, start=1)
    ]


def asked(text: str, hour: float, **told: Any) -> Observed:
    return Observed(messages=[{"role": "user", "content": text}], at_ms=int((1000 + hour) * HOUR_MS), **told)


def test_an_answer_lasts_from_when_it_was_given_however_often_it_is_given_again() -> None:
    assert hits(*(asked("a", hour) for hour in (0, 23, 25, 48, 50))) == [False, True, False, True, False]


def test_a_log_may_lie_with_the_newest_first() -> None:
    assert hits(*(asked("a", hour) for hour in (50, 30, 10, 0))) == [False, True, False, True]


def test_calls_that_come_at_regular_times_longer_apart_than_answers_last_are_no_hits() -> None:
    assert not any(hits(*(asked("daily", 25.0 * day) for day in range(50))))


@pytest.mark.parametrize("told", [{"tenant": "b"}, {"model": "m"}, {"tools": ("look",)}, {"schema": "json"}])
def test_the_same_words_with_something_else_beside_them_are_another_request(told: dict[str, Any]) -> None:
    assert hits(asked("a", 0), asked("a", 1, **told)) == [False, False]


def test_a_system_prompt_with_the_time_in_it_keeps_a_cache_from_answering() -> None:
    def call(minute: int) -> Observed:
        told = {"role": "system", "content": f"It is 10:{minute:02}."}
        return Observed(messages=[told, {"role": "user", "content": "a"}], at_ms=HOUR_MS + minute)

    counted, recent = Counted(), Recent()
    for minute in range(10):
        counted.add(passing(call(minute), lot=0.0, order=minute, recent=recent))
    figures = counted.figures()
    assert (figures["inputs"], figures["distinct_inputs"]) == (10, 1)
    assert (figures["requests"], figures["distinct_requests"], figures.get("repeated_requests", 0)) == (
        10,
        10,
        0,
    )


def test_a_call_that_failed_is_answered_by_no_cache_and_leaves_nothing_to_the_next() -> None:
    assert hits(asked("a", 0, failed=True), asked("a", 1), asked("a", 2, failed=True)) == [False] * 3


def test_where_prompts_are_kept_of_some_calls_alone_the_others_are_no_repeats() -> None:
    counted, recent = Counted(), Recent()
    for number in range(10):
        for one in (asked(f"{number}", number), Observed(messages=[], at_ms=HOUR_MS)):
            counted.add(passing(one, lot=0.0, order=number, recent=recent))
    figures = counted.figures()
    assert (figures["calls"], figures["inputs"], figures["distinct_inputs"]) == (20, 10, 10)
