"""Examples shown to a rung, from recorded calls to a served release: two tenants, both SDKs, what the record says, and what an erasure does to it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from support.examples import SAID
from support.gateway import GatewayProcess
from support.scripted import ScriptedUpstream, completion

KEYS = {"acme": "sf-acme-key", "globex": "sf-globex-key"}
CONFIG = """
[storage]
path = "state"

[providers.p]
base_url = "{url}/v1"

[models.small]
provider = "p"
prices = [{{ since = "2026-01-01", input = 0.1, output = 0.4 }}]

[models.frontier]
provider = "p"
prices = [{{ since = "2026-01-01", input = 2, output = 8 }}]

[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = [{{ model = "small", retrieve = {{ k = 2 }} }}, "frontier"]
instructions = "Sort the ticket."
keep_bodies = true

[tenants.acme]
[tenants.globex]

[keys.acme]
secret = "env:ACME_KEY"
tenant = "acme"

[keys.globex]
secret = "env:GLOBEX_KEY"
tenant = "globex"
"""
LABEL_OF = {text: label for label, texts in SAID.items() for text in texts}
CHARGED = "I was charged twice on my invoice"


class World:
    """A gateway whose release shows examples of its own earlier calls, and the upstream that answers everything."""

    def __init__(
        self, gateway: GatewayProcess, upstream: ScriptedUpstream, calls: dict[tuple[str, str], str]
    ) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.calls = calls  # by tenant and text

    def ask(self, text: str, tenant: str = "acme") -> tuple[str, dict[str, Any]]:
        """A call's id, and the request that its first model was sent."""
        before = len(self.upstream.bodies)
        call = call_id(self.gateway, tenant, text)
        return call, self.upstream.bodies[before]

    def shown(self, call: str) -> list[str]:
        """The calls that the examples of a call's first rung are from, by the record."""
        decision = self.gateway.call(call)["decision"]
        return [name for name, _ in decision["shots"]["0"]["shown"]]


def call_id(gateway: GatewayProcess, tenant: str, text: str) -> str:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEYS[tenant], max_retries=0) as client:
        answer = client.chat.completions.with_raw_response.create(
            model="task/triage", messages=[{"role": "user", "content": text}]
        )
    return answer.headers["x-smallfirst-call"]


def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    content = body["messages"][-1]["content"]
    asked = content if isinstance(content, str) else content[0]["text"]
    return 200, completion(LABEL_OF.get(asked.split(" (")[0], "billing"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    environ = {"ACME_KEY": KEYS["acme"], "GLOBEX_KEY": KEYS["globex"]}
    with ScriptedUpstream(answer) as upstream:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("retrieval"),
            CONFIG.format(url=upstream.base_url),
            unproven=False,
            environ=environ,
        )
        with gateway:
            calls = {
                (tenant, text): call_id(gateway, tenant, text)
                for tenant in KEYS
                for text in (f"{said} (for {tenant})" for said in LABEL_OF)
            }
            gateway.call(list(calls.values())[-1])
            gateway.cli("dataset", "build", "--task", "triage", "--split", "98/1/1", "--near", "2")
            made = gateway.cli("train", "triage", "--method", "retrieval")
            assert made["tenants"] == 2
            assert made["everybodys"] == 0
            assert made["examples"] >= 14
            release = gateway.cli("release", "build")["id"]
            gateway.cli("release", "promote", release, "--unproven", "the tests")
            deadline = time.monotonic() + 10
            while gateway.call(call_id(gateway, "acme", CHARGED))["release"] != release:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield World(gateway, upstream, calls)


def pairs(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (one["content"], other["content"]) for one, other in zip(messages[::2], messages[1::2], strict=True)
    ]


def test_the_model_sees_the_tenants_own_nearest_calls_and_the_record_names_them(world: World) -> None:
    for tenant in KEYS:
        call, body = world.ask("I was charged again, on an invoice", tenant)
        system, *shots, asked = body["messages"]
        assert (system["role"], system["content"]) == ("system", "Sort the ticket.")
        assert asked["content"] == "I was charged again, on an invoice"
        assert len(shots) == 4
        assert all(f"(for {tenant})" in said for said, _ in pairs(shots))
        assert pairs(shots)[-1][1] == "billing"
        assert len(world.shown(call)) == 2
        assert world.gateway.call(call)["model"] == "small"


def test_in_anthropics_dialect(world: World) -> None:
    with anthropic.Anthropic(base_url=world.gateway.url, api_key=KEYS["acme"], max_retries=0) as claude:
        said = claude.messages.create(
            model="task/triage", max_tokens=9, messages=[{"role": "user", "content": "Refund my payment"}]
        )
    assert said.content[0].text == "billing"
    system, *shots, _ = world.upstream.bodies[-1]["messages"]
    assert system["content"] == "Sort the ticket."
    assert [one["role"] for one in shots] == ["user", "assistant"] * 2


def test_explain_shows_them_and_a_recorded_call_is_shown_the_same_again(world: World) -> None:
    text = "How do I add a colleague"
    call, _ = world.ask(text, "globex")
    told = world.gateway.cli("explain", text, "--task", "triage", "--tenant", "globex")
    assert [one["id"] for one in told["steps"][0]["shots"]] == world.shown(call)
    assert all("(for globex)" in one["question"] for one in told["steps"][0]["shots"])
    nobody = world.gateway.cli("explain", text, "--task", "triage", "--tenant", "initech")
    assert nobody["steps"][0]["why"] == "none of its examples is this tenant's"
    again = world.gateway.cli("explain", "--call", call)
    assert [one["same"] for one in again["shots"]] == [True]
    shown = world.gateway.run("explain", "--call", call, "--config", str(world.gateway.path))
    assert "the same now" in shown.stdout


def test_recorded_calls_are_decided_again_with_their_tenants_examples(world: World) -> None:
    """By the live release and by the baseline, which asks the frontier alone."""
    (told,) = world.gateway.cli("release", "diff", "baseline")["recorded"]
    assert told["different"] > 0
    assert set(told["moves"]) <= {"small → frontier"}


def test_an_erased_call_is_shown_to_nobody_any_more_and_its_text_is_off_the_disk(world: World) -> None:
    """Without a restart, and without another release: the one that answers keeps its name and its proof."""
    gateway = world.gateway
    text = f"{CHARGED} (for acme)"
    _, body = world.ask("I was charged twice on an invoice")
    assert text in [said for said, _ in pairs(body["messages"][1:-1])]
    erased = gateway.run(
        "calls", "erase", "--call", world.calls["acme", text], "--yes", "--config", str(gateway.path)
    )
    assert "erased 1 examples that models were shown, from index" in erased.stdout, erased.stderr
    for path in gateway.state.rglob("*.rows"):
        assert text.encode() not in path.read_bytes()
    time.sleep(0.3)
    call, body = world.ask("I was charged twice on an invoice")
    assert text not in json.dumps(body)
    assert len(world.shown(call)) == 2, "others are there still"


def test_where_all_of_a_tenants_are_erased_its_calls_climb(world: World) -> None:
    gateway = world.gateway
    erased = gateway.run("calls", "erase", "--tenant", "acme", "--yes", "--config", str(gateway.path))
    assert erased.returncode == 0, erased.stderr
    kept = [path.read_bytes() for path in gateway.state.rglob("*.rows")]
    assert len(kept) == 2, "the index's own, and its release's"
    assert all(b"(for acme)" not in data and b"(for globex)" in data for data in kept)
    time.sleep(0.3)
    mine, theirs = (gateway.call(world.ask(CHARGED, tenant)[0]) for tenant in ("acme", "globex"))
    assert mine["release"] == theirs["release"]
    assert mine["decision"]["skipped"]["0"] == "none of its examples is this tenant's"
    assert (mine["model"], theirs["model"]) == ("frontier", "small")
