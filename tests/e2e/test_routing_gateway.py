"""The router as the gateway lives with it: refused where it does not fit, kept over reloads, failing without harm, and flooded."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from support.gateway import CONFIG, GatewayProcess
from support.routed import EASY, EASY_CALL, HARD, HARD_CALL, UNLIKE_CALL, fit, give
from support.routing_gateway import KEYS, SMALL, TWO, RoutedGateway, said
from support.simulator import SimulatorProcess


def ask(client: openai.OpenAI, task: str, text: str, **more: Any) -> Any:
    return client.chat.completions.with_raw_response.create(model=f"task/{task}", messages=said(text), **more)


# At the start.


@pytest.fixture(scope="module")
def built(_upstream: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> GatewayProcess:
    """A gateway that is not started, with a router for `summary`."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("built"), CONFIG.format(sim=_upstream.base_url))
    give(gateway.state, fit(TWO), "summary", TWO)
    return gateway


def refusal(gateway: GatewayProcess, release: str) -> str:
    """What `serve` says when it does not start."""
    done = gateway.run(
        "serve", "--config", str(gateway.path), "--release", release, "--unproven", "tests", "--port", "0"
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_altered_weights_are_not_served(built: GatewayProcess) -> None:
    release = built.cli("release", "build")["id"]
    (weights,) = (built.state / "releases" / release / "weights").iterdir()
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert "were altered: their content no longer has their name's hash" in refusal(built, release)
    weights.unlink()
    assert "cannot be read" in refusal(built, release)


def test_a_router_of_another_embedder_is_not_served(built: GatewayProcess) -> None:
    give(built.state, fit(TWO), "summary", TWO, embedder_sha256="f" * 64)
    message = refusal(built, built.cli("release", "build")["id"])
    assert "was fitted with embedder wordllama ffffffffffff, and here it is" in message
    assert "fit the router again, or install the version of the embedder that it knew" in message


# While it serves.


def test_a_reload_keeps_the_routers_that_are_loaded(asker: openai.OpenAI, routed: RoutedGateway) -> None:
    release = routed.recorded(ask(asker, "reply", EASY_CALL).headers["x-smallfirst-call"]).release
    weights = routed.state / "releases" / release / "weights"
    away = weights.with_name("away")
    shutil.move(weights, away)
    try:
        before = len(routed.events("reloaded"))
        routed.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while len(routed.events("reloaded")) == before:
            assert time.monotonic() < deadline, routed.events("reload-refused")
            time.sleep(0.05)
        for text, rung in ((EASY_CALL, "0"), (HARD_CALL, "1")):
            assert ask(asker, "reply", text).headers["x-smallfirst-rung"] == rung
    finally:
        shutil.move(away, weights)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"status": 500}, "router failed (UpstreamBroken)"),
        ({"garbage_json": True}, "router failed (UpstreamBroken)"),
        ({"hang_before_headers": 1.0}, "router failed (TimeoutError)"),
    ],
)
def test_a_router_that_fails_costs_nothing_but_the_cheaper_model(
    asker: openai.OpenAI, routed: RoutedGateway, upstream: SimulatorProcess, fault: dict[str, Any], why: str
) -> None:
    assert ask(asker, "remote", EASY_CALL).headers["x-smallfirst-rung"] == "0"
    upstream.fault(match={"endpoint": "embeddings"}, **fault)
    response = ask(asker, "remote", EASY_CALL)
    assert response.headers["x-smallfirst-model"] == "frontier"
    call = routed.recorded(response.headers["x-smallfirst-call"])
    assert call.decision["judgement"]["unknown"] == call.decision["skipped"]["0"]
    assert call.decision["skipped"]["0"] == why
    upstream.clear_faults()
    assert ask(asker, "remote", EASY_CALL).headers["x-smallfirst-rung"] == "0"
    again = routed.cli("explain", "--call", call.id)
    assert (again["source"], again["same"]) == ("numbers", True)


# Floods.


async def flood(routed: RoutedGateway, tenant: str, texts: list[str]) -> float:
    """Sends the texts; the share that the frontier answered."""
    gate = asyncio.Semaphore(8)
    async with openai.AsyncOpenAI(
        base_url=f"{routed.url}/v1", api_key=KEYS[tenant], max_retries=0, timeout=20
    ) as client:

        async def one(text: str) -> bool:
            async with gate:
                raw = await client.chat.completions.with_raw_response.create(
                    model="task/bare", messages=said(text), max_tokens=3
                )
                return raw.headers["x-smallfirst-model"] == "frontier"

        found = await asyncio.gather(*(one(text) for text in texts))
    return sum(found) / len(found)


def junk(draw: random.Random) -> str:
    return " ".join("".join(draw.choices("bcdfghjklmnpqrstvwxz", k=5)) for _ in range(8))


async def test_a_flood_is_an_alarm_for_its_tenant_and_nothing_to_others(
    routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    draw = random.Random(7)
    normal = draw.sample(EASY, 95) + draw.sample(HARD, 40)
    draw.shuffle(normal)
    usual = await flood(routed, "flooded", normal)
    assert routed.events("frontier-share") == []
    gadget = "derive the determinant theorem of prime Hilbert integral lemma eigenvalues"
    crafted = [f"{text} {gadget}" for text in draw.choices(EASY, k=300)]
    share = await flood(routed, "flooded", [*crafted, *(junk(draw) for _ in range(300))])
    assert share > usual + 0.02  # it works, so that there must be an alarm
    deadline = time.monotonic() + 10
    while not (events := routed.events("frontier-share")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    (event,) = events
    assert (event.detail["tenant"], event.detail["task"]) == ("flooded", "bare")
    assert len(normal) < event.detail["calls"] < len(normal) + 400
    assert event.detail["frontier_share"] > event.detail["usual_share"] + 0.02
    assert "smallfirst_frontier_share_alarms 1.0" in routed.get("/metrics")[1].decode()
    assert await flood(routed, "rival", EASY[:20]) < 0.2


def test_calls_unlike_anything_go_to_the_frontier_only_up_to_their_share(routed: RoutedGateway) -> None:
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["rival"], max_retries=0) as rival:
        calls = [ask(rival, "bounded", f"{UNLIKE_CALL} {at}").headers["x-smallfirst-call"] for at in range(8)]
        seen = [routed.recorded(call) for call in calls]
        assert [call.rung for call in seen] == [1] * 5 + [0] * 3
        assert [call.outside_bound for call in seen] == [False] * 5 + [True] * 3
        assert all(call.decision["judgement"]["unknown"].startswith("unlike anything") for call in seen)
        assert seen[-1].decision["trusted"] is True
        assert routed.cli("explain", "--call", calls[-1])["same"]
        known = routed.recorded(ask(rival, "bounded", EASY_CALL).headers["x-smallfirst-call"])
        assert not known.outside_bound
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["acme"], max_retries=0) as other:
        assert ask(other, "bounded", UNLIKE_CALL).headers["x-smallfirst-rung"] == "1"


# What the frontier may cost.


def spend(client: openai.OpenAI) -> int:
    """Asks the frontier until its budget is spent; how often that went well."""
    for asked in range(50):
        try:
            ask(client, "bare", HARD_CALL, max_tokens=5)
        except openai.RateLimitError as error:
            assert error.body["code"] == "budget_exceeded"
            assert "the daily frontier budget of tenant 'capped' does not allow this call" in error.message
            assert error.response.headers["x-should-retry"] == "false"
            return asked
    raise AssertionError("the budget has no end")


def test_a_spent_frontier_budget_refuses_the_frontier_alone_also_after_a_restart(
    routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["capped"], max_retries=0) as client:
        assert spend(client) >= 1
        small = ask(client, "bare", EASY_CALL, max_tokens=5)
        assert small.headers["x-smallfirst-rung"] == "0"
        assert client.chat.completions.create(model="mini", messages=said("hi"), max_tokens=5)
        with pytest.raises(openai.RateLimitError):  # a model by its name, which ladders end with
            client.chat.completions.create(model="frontier", messages=said(HARD_CALL), max_tokens=5)
        upstream.fault(match=SMALL, status=500)
        with pytest.raises(openai.RateLimitError):  # what cannot be answered small would have to climb
            ask(client, "bare", f"{EASY_CALL} {EASY_CALL}", max_tokens=5)
        upstream.clear_faults()
        release = routed.recorded(small.headers["x-smallfirst-call"]).release
    routed.stop()
    routed.start("--release", release, "--unproven", "the tests again")
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["capped"], max_retries=0) as client:
        assert spend(client) == 0
        assert ask(client, "bare", EASY_CALL, max_tokens=5).headers["x-smallfirst-rung"] == "0"
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["rival"], max_retries=0) as other:
        assert ask(other, "bare", HARD_CALL).headers["x-smallfirst-rung"] == "1"


def test_the_state_holds_no_text_of_the_examples(routed: RoutedGateway) -> None:
    for path in Path(routed.state, "releases").rglob("*"):
        assert path.is_dir() or HARD[0].encode() not in path.read_bytes()
