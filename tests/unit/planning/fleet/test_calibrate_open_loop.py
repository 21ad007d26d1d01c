"""Requests are sent when they are due, and waits are counted from then: against an engine in this process whose costs are known."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator

import pytest
from support.paced_engine import FIXED_TOKENS, PacedEngine

from smallfirst.errors import ConfigError, StateError
from smallfirst.planning.fleet.calibrate.endpoint import Endpoint, checked_url, connected, is_clear
from smallfirst.planning.fleet.calibrate.engine_metrics import EngineMetrics
from smallfirst.planning.fleet.calibrate.lengths import Lengths
from smallfirst.planning.fleet.calibrate.open_loop import Offer, offer_of, run_offer
from smallfirst.planning.fleet.calibrate.plan import Plan
from smallfirst.planning.fleet.calibrate.point import summary_of
from smallfirst.planning.fleet.calibrate.prompts import Prompts

SHORT = Lengths(input_tokens=60, output_tokens=4)


async def offered(
    endpoint: Endpoint, rate: float, seconds: float, lengths: Lengths = SHORT
) -> tuple[Offer, EngineMetrics]:
    prompts = Prompts()
    known = await endpoint.known(prompts)
    offer = offer_of(
        endpoint, Plan(lengths=lengths, seed=3), prompts, known.rate, rate_per_s=rate, seconds=seconds
    )
    return offer, EngineMetrics(endpoint.session, endpoint.base_url)


@pytest.fixture
async def engine() -> AsyncIterator[PacedEngine]:
    async with PacedEngine(step_s=0.005, prompt_token_s=0.0001) as running:
        yield running


async def test_what_comes_back_is_what_was_asked_and_no_sooner_than_it_can(engine: PacedEngine) -> None:
    async with connected(engine.base_url, "tiny", "secret") as endpoint:
        offer, metrics = await offered(endpoint, 30, 1.0)
        point = await run_offer(endpoint, offer, metrics)
    found = summary_of(point)
    assert (found.failed, found.given_up) == (0, 0)
    assert all(shot.ended and shot.output_tokens == 4 for shot in point.shots)
    assert all(abs(shot.input_tokens - 60) <= 2 for shot in point.shots)
    assert found.ttft_p50_ms >= 1000 * (0.005 + 60 * 0.0001)
    assert found.between_p50_ms >= 4.5
    assert point.engine is not None
    assert point.engine.kv_usage_most == 0.25
    assert engine.keys == {"Bearer secret"}


async def test_an_engine_that_stands_still_is_sent_to_all_the_same(engine: PacedEngine) -> None:
    """A closed loop would send one request and wait. Here all arrive, and those that were due first have waited longest."""
    async with connected(engine.base_url, "tiny", None) as endpoint:
        offer, metrics = await offered(endpoint, 20, 1.0)
        before = len(engine.bodies)
        engine.stalled.clear()
        running = asyncio.create_task(run_offer(endpoint, offer, metrics))
        async with asyncio.timeout(30):
            while len(engine.bodies) - before < len(offer.requests):
                await asyncio.sleep(0.01)
        engine.stalled.set()
        point = await running
    waits = [shot.first_s - shot.due_s for shot in point.shots if shot.first_s is not None]
    assert len(waits) == 20
    assert waits[0] > 0.5
    assert waits[0] > waits[-1]


async def test_a_late_sender_does_not_hide_what_its_users_waited(engine: PacedEngine) -> None:
    async with connected(engine.base_url, "tiny", None) as endpoint:
        offer, metrics = await offered(endpoint, 20, 1.0)
        blocked = False

        def told(sent: int, _of: int) -> None:
            nonlocal blocked
            if sent == 10 and not blocked:
                blocked = True
                time.sleep(0.4)

        point = await run_offer(endpoint, offer, metrics, told)
    late = [shot for shot in point.shots if shot.sent_s - shot.due_s > 0.2]
    assert late
    assert all(
        shot.first_s is not None and shot.first_s - shot.due_s >= shot.sent_s - shot.due_s for shot in late
    )
    assert summary_of(point).late_p99_ms > 200


async def test_what_does_not_end_is_given_up_and_counts_with_what_it_waited() -> None:
    async with (
        PacedEngine(step_s=0.02, most=1) as engine,
        connected(engine.base_url, "tiny", None) as endpoint,
    ):
        offer, metrics = await offered(endpoint, 40, 1.0, Lengths(input_tokens=40, output_tokens=20))
        point = await run_offer(endpoint, offer, metrics)
        found = summary_of(point)
        await metrics.until_idle(5)
        looks = await metrics.look()
    assert found.given_up > 20
    assert found.saturated
    assert found.at_least
    assert found.total_p95_ms > 1000
    assert found.achieved_per_s < 20
    assert looks is not None
    assert looks.running == 0


async def test_failures_are_counted_and_not_waited_for(engine: PacedEngine) -> None:
    async with connected(engine.base_url, "tiny", "secret") as endpoint:
        offer, metrics = await offered(endpoint, 40, 1.0)
        engine.fails = len(offer.requests)
        point = await run_offer(endpoint, offer, metrics)
    found = summary_of(point)
    assert found.failed == found.asked
    assert found.saturated
    assert (found.ttft_p50_ms, found.output_tokens_per_s) == (0, 0)
    assert "503" in point.shots[0].error
    assert "busy with Bearer ***" in point.shots[0].error  # what a server says may have the key in it


async def test_no_two_prompts_begin_alike_but_for_what_is_shared(engine: PacedEngine) -> None:
    async with connected(engine.base_url, "tiny", None) as endpoint:
        alone, _ = await offered(endpoint, 20, 1.0)
        together, _ = await offered(
            endpoint, 20, 1.0, Lengths(input_tokens=60, output_tokens=4, shared_share=0.5)
        )
    first = {body.split(b'"content":"')[1].split(b" ")[0] for _, body in alone.requests}
    assert len(first) == len(alone.requests)
    shared = {b" ".join(body.split(b'"content":"')[1].split(b" ")[:23]) for _, body in together.requests}
    assert len(shared) == 1
    assert len({body for _, body in together.requests}) == len(together.requests)


@pytest.mark.parametrize("takes", [True, False])
async def test_a_server_that_does_not_take_ignore_eos_is_asked_without(takes: bool) -> None:
    async with (
        PacedEngine(takes_ignore_eos=takes) as engine,
        connected(engine.base_url, "tiny", None) as endpoint,
    ):
        known = await endpoint.known(Prompts())
        assert known.wording == ("ignore_eos" if takes else "max_tokens")
        assert ("ignore_eos" in engine.bodies[-1]) is takes
        assert known.rate.tokens_per_word == pytest.approx(1.0)
        assert known.rate.fixed_tokens == pytest.approx(FIXED_TOKENS)


async def test_a_server_without_usage_or_without_an_answer_is_refused() -> None:
    async with (
        PacedEngine(tells_usage=False) as engine,
        connected(engine.base_url, "tiny", None) as endpoint,
    ):
        with pytest.raises(StateError, match="ended without usage"):
            await endpoint.known(Prompts())
        engine.fails = 1
        with pytest.raises(StateError, match="HTTP 503"):
            await endpoint.known(Prompts())
    async with connected(engine.base_url, "tiny", None) as gone:
        with pytest.raises(StateError, match="does not answer"):
            await gone.known(Prompts())


async def test_an_engine_without_metrics_is_asked_for_them_once() -> None:
    async with (
        PacedEngine(has_metrics=False) as engine,
        connected(engine.base_url, "tiny", None) as endpoint,
    ):
        metrics = EngineMetrics(endpoint.session, endpoint.base_url)
        assert await metrics.look() is None
        assert not metrics.there
        offer, _ = await offered(endpoint, 20, 0.5)
        assert (await run_offer(endpoint, offer, metrics)).engine is None


def test_arrivals_are_those_of_the_seed_and_as_many_as_the_rate_says() -> None:
    async def due(rate: float) -> list[float]:
        async with connected("http://127.0.0.1:9/v1", "tiny", None) as endpoint:
            from smallfirst.planning.fleet.calibrate.prompts import TokenRate

            rate_of = TokenRate(tokens_per_word=1, fixed_tokens=0)
            offer = offer_of(
                endpoint, Plan(lengths=SHORT, seed=1), Prompts(), rate_of, rate_per_s=rate, seconds=50
            )
            return [shot.due_s for shot, _ in offer.requests]

    one, again, other = asyncio.run(due(8)), asyncio.run(due(8)), asyncio.run(due(4))
    assert one == again
    assert (len(one), len(other)) == (400, 200)
    gaps = [b - a for a, b in itertools.pairwise(one)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert spread == pytest.approx(mean, rel=0.2)  # exponential gaps, not even ones


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://a/v1", "http:// or https://"),
        ("127.0.0.1:8000", "http:// or https://"),
        ("http://user:secret@a/v1", "--api-key-env"),
        ("http://a/v1?key=1", "without \\?"),
        ("http://a:99999/v1", "--endpoint"),
        ("", "http:// or https://"),
    ],
)
def test_a_wrong_url_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        checked_url(text)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("http://127.0.0.1:1/v1", False),
        ("http://localhost/v1", False),
        ("http://[::1]:1/v1", False),
        ("https://gpu.example/v1", False),
        ("http://gpu.example/v1", True),
        ("http://10.0.0.5/v1", True),
    ],
)
def test_what_can_be_read_on_the_way(text: str, clear: bool) -> None:
    assert is_clear(text) is clear
