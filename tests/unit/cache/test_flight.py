"""Single flight: one asks, the others wait, and nobody is worse off for it."""

from __future__ import annotations

import asyncio

import pytest

from smallfirst.cache.entry import Entry
from smallfirst.cache.flight import Flights, Seat


def entry(text: str = "billing") -> Entry:
    return Entry(
        key=b"k",
        tenant="acme",
        task="triage",
        policy="p",
        release="r",
        call="c",
        model="frontier",
        rung=1,
        dialect="openai",
        answer=b"{}",
        text=text,
        cost_nusd=7,
        at_ms=1,
        expires_ms=2,
    )


async def waiting(seats: list[Seat]) -> list[asyncio.Task[Entry | None]]:
    """A task for each seat, all of them waiting."""
    tasks = [asyncio.create_task(seat.wait()) for seat in seats]
    await asyncio.sleep(0)
    return tasks


async def test_the_first_leads_and_all_others_get_its_answer():
    flights = Flights()
    leader = flights.board(b"k")
    assert leader.leads
    assert await leader.wait() is None
    followers = [flights.board(b"k") for _ in range(20)]
    tasks = await waiting(followers)
    assert flights.waiting == 20
    leader.land(entry())
    assert {each.text for each in await asyncio.gather(*tasks)} == {"billing"}
    assert (len(flights), flights.waiting) == (0, 0)


async def test_other_keys_are_other_flights():
    flights = Flights()
    assert flights.board(b"a").leads
    assert flights.board(b"b").leads
    assert len(flights) == 2


async def test_who_comes_after_the_landing_leads_anew():
    flights = Flights()
    flights.board(b"k").land(entry())
    assert flights.board(b"k").leads


async def test_a_leader_that_fails_hands_over_to_the_one_that_has_waited_longest_and_the_others_go_on_waiting():
    flights = Flights()
    leader = flights.board(b"k")
    first, second = flights.board(b"k"), flights.board(b"k")
    tasks = await waiting([first, second])
    with pytest.raises(ZeroDivisionError), leader:
        1 / 0  # noqa: B018
    assert await tasks[0] is None
    assert first.leads
    assert not second.leads
    assert not tasks[1].done()
    late = flights.board(b"k")
    (task,) = await waiting([late])
    first.land(entry("from the second try"))
    assert [(await each).text for each in (tasks[1], task)] == ["from the second try"] * 2  # type: ignore[union-attr]


async def test_an_answer_that_may_not_be_shared_lets_all_ask_at_once():
    flights = Flights()
    leader = flights.board(b"k")
    followers = [flights.board(b"k") for _ in range(3)]
    tasks = await waiting(followers)
    leader.scatter()
    assert await asyncio.gather(*tasks) == [None] * 3
    assert not any(seat.leads for seat in followers)
    assert len(flights) == 0


async def test_a_follower_that_leaves_leaves_nothing_behind():
    flights = Flights()
    with flights.board(b"k") as leader:
        follower = flights.board(b"k")
        (task,) = await waiting([follower])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        follower.leave()
        leader.land(entry())
    assert (len(flights), flights.waiting) == (0, 0)


async def test_a_follower_that_leaves_as_it_is_to_lead_hands_on():
    flights = Flights()
    leader = flights.board(b"k")
    first, second = flights.board(b"k"), flights.board(b"k")
    tasks = await waiting([first, second])
    leader.leave()
    tasks[0].cancel()  # its client leaves before it has heard of it
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    first.leave()
    assert await tasks[1] is None
    assert second.leads
    second.leave()
    assert len(flights) == 0


async def test_nobody_waits_longer_than_the_bound():
    flights = Flights(wait_s=0.01)
    leader = flights.board(b"k")
    follower = flights.board(b"k")
    assert await follower.wait() is None
    assert not follower.leads
    follower.leave()
    leader.leave()
    assert (len(flights), flights.waiting) == (0, 0)


async def test_who_has_stopped_waiting_is_not_asked_to_lead():
    flights = Flights(wait_s=0.01)
    leader = flights.board(b"k")
    impatient = flights.board(b"k")
    await impatient.wait()
    patient = flights.board(b"k")
    (task,) = await waiting([patient])
    leader.leave()
    assert await task is None
    assert (patient.leads, impatient.leads) == (True, False)


async def test_where_there_are_too_many_flights_a_call_asks_alone():
    flights = Flights(most=1)
    flights.board(b"a")
    alone = flights.board(b"b")
    assert not alone.leads
    assert await alone.wait() is None
    alone.land(entry())  # nobody waits for it
    assert len(flights) == 1


async def test_landing_twice_tells_nobody_twice():
    flights = Flights()
    with flights.board(b"k") as leader:
        leader.land(entry())
        again = flights.board(b"k")
        leader.land(entry("late"))
        leader.scatter()
    assert again.leads
    assert len(flights) == 1
