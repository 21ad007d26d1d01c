"""Calls answered again, off their client's path: explored, checked on the spot, and by a shadow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

from smallfirst.ledger import Filter, Ledger
from smallfirst.ledger.records import Call
from smallfirst.limits import STOPS_EVERY_S
from smallfirst.stops import Stop, change_stops

TASKS = """
[tasks.explored]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["nano", "mini", "frontier"]
rollout = {{ explore = 1.0 }}

[tasks.written]
ladder = ["mini", "frontier"]
scorer = {{ kind = "chrf" }}
rollout = {{ explore = 1.0 }}
keep_bodies = true

[tasks.capped]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["mini", "frontier"]
rollout = {{ explore = 1.0, explore_usd_per_day = 0.0006 }}

[tasks.judged]
ladder = ["mini", "frontier"]
scorer = {{ kind = "judge", model = "claude", rubric = "Is it polite?" }}
rollout = {{ explore = 1.0 }}
"""
NANO, MINI, FRONTIER = {"model": "sim-nano"}, {"model": "sim-frontier-mini"}, {"model": "sim-frontier"}
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def exploring(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One gateway that explores every call of four tasks."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("aside"), (CONFIG + TASKS).format(sim=_simulator.base_url)
    )
    with running(gateway):
        yield gateway


@contextlib.contextmanager
def running(gateway: GatewayProcess) -> Iterator[None]:
    gateway.start()
    try:
        yield
        assert "Traceback" not in gateway.log_text()
    finally:
        if gateway._process is not None:
            gateway.stop()


def ask(gateway: GatewayProcess, task: str, **fields: Any) -> tuple[str, str]:
    """The call's id, and the text that its client got."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        raw = client.chat.completions.with_raw_response.create(
            **({"model": f"task/{task}", "messages": [{"role": "user", "content": "Hello"}]} | fields)
        )
        done = raw.parse()
        call = raw.headers["x-smallfirst-call"]
        if fields.get("stream"):
            parts = [choice.delta.content or "" for chunk in done for choice in chunk.choices]
            return call, "".join(parts)
        return call, done.choices[0].message.content or ""


def eventually(what: Callable[[], Any], within_s: float = 10.0) -> Any:
    """What is found as soon as it is something."""
    deadline_s = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.05)
    return found


def scores(gateway: GatewayProcess, call: str, at_least: int, source: str = "explore") -> dict[str, Any]:
    """What the ledger says of each model's answer, once it says something of so many."""

    def read() -> dict[str, Any] | None:
        with Ledger.read(gateway.state) as ledger:
            found = ledger.queries.latest_outcomes(call)
        by_model = {
            f"{told.value['model']}{'' if told.value['channel'] != 'shadow' else ' (shadow)'}": told.value
            for told in found
            if told.source == source
        }
        return by_model if len(by_model) >= at_least else None

    return eventually(read)


def again(gateway: GatewayProcess, call: str) -> list[Call]:
    """The calls that answered this one again."""
    with Ledger.read(gateway.state) as ledger:
        return ledger.queries.answered_again(call)


def counted(gateway: GatewayProcess, line: str) -> float:
    text = gateway.get("/metrics")[1].decode()
    found = [each.split()[-1] for each in text.splitlines() if each.startswith(line)]
    return float(found[0]) if found else 0.0


def test_every_model_is_asked_and_scored_beside_the_frontier(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.reset()
    simulator.fault(match=NANO, answer="billing")
    simulator.fault(match=MINI, answer="bug")
    simulator.fault(match=FRONTIER, answer="bug")
    call, text = ask(exploring, "explored", extra_headers={"x-smallfirst-train": "0"})
    assert text == "billing"
    found = scores(exploring, call, 3)
    assert {model: told["score"] for model, told in found.items()} == {"nano": 0, "mini": 1, "frontier": 1}
    assert [model for model, told in found.items() if told["answered"]] == ["nano"]
    assert {(told["reference"], told["p"], told["channel"]) for told in found.values()} == {
        ("frontier", 1.0, "live")
    }
    made = again(exploring, call)
    assert [(one.origin, one.model, one.rung) for one in made] == [
        ("explore", "frontier", 2),
        ("explore", "mini", 1),
    ]
    assert [one.attempts[-1].frontier for one in made] == [True, False]
    assert {one.id for one in made} == {found["frontier"]["by"], found["mini"]["by"]}
    assert not any(one.trainable for one in made)
    asked = exploring.call(call)
    assert asked["decision"]["explore"] == {"p": 1.0, "policy": asked["policy"][:12], "channel": "live"}


def test_the_bill_shows_it_apart_and_agrees_with_the_invoice(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    before = {section["origin"]: section["total"]["cost_nusd"] for section in exploring.bill()["sections"]}
    simulator.reset()
    simulator.fault(answer="bug")
    call, _ = ask(exploring, "explored")
    scores(exploring, call, 3)
    after = {section["origin"]: section["total"]["cost_nusd"] for section in exploring.bill()["sections"]}
    spent = {origin: after[origin] - before.get(origin, 0) for origin in after}
    assert spent["client"] > 0
    assert spent["explore"] > spent["client"]  # the frontier is the dearest
    assert sum(spent.values()) == simulator.invoice()["total_nusd"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_client_got_is_what_is_scored(
    exploring: GatewayProcess, simulator: SimulatorProcess, stream: bool
) -> None:
    simulator.fault(match=MINI, answer="We refund you today.")
    simulator.fault(match=FRONTIER, answer="We refund you tomorrow.")
    call, text = ask(exploring, "written", stream=stream)
    assert text == "We refund you today."
    found = scores(exploring, call, 2)
    assert 0.5 < found["mini"]["score"] < 1
    assert found["frontier"]["score"] == 1
    (made,) = again(exploring, call)
    assert not made.stream
    with Ledger.read(exploring.state) as ledger:
        bodies = ledger.queries.bodies(made.id)
        assert bodies is not None
        assert b"tomorrow" in bodies.answer


def test_the_client_has_its_answer_before_anybody_else_is_asked(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.reset()
    simulator.fault(match=MINI, answer="billing")
    simulator.fault(match=FRONTIER, hang_before_headers=1.0, answer="billing")
    call, _ = ask(exploring, "written")
    simulator.wait_until(lambda state: state["in_flight"] == 1)  # the client is gone, the frontier is asked
    assert again(exploring, call) == []
    scores(exploring, call, 2)
    (made,) = again(exploring, call)
    asked = exploring.call(call)
    assert made.at_ms >= asked["at_ms"] + asked["latency_ms"] - 1
    assert made.latency_ms > 900 > asked["latency_ms"]


def test_a_rung_that_fails_scores_nothing_and_says_why(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match=NANO, status=500)
    simulator.fault(match=MINI, answer="What do you mean?")
    simulator.fault(match=FRONTIER, answer="bug")
    call, text = ask(exploring, "explored")
    assert text == "bug"
    found = scores(exploring, call, 3)
    assert {model: told["score"] for model, told in found.items()} == {"nano": 0, "mini": 0, "frontier": 1}
    assert "not one of the 3 labels" in found["mini"]["reason"]
    assert found["nano"]["reason"]
    assert found["frontier"]["answered"]
    assert again(exploring, call) == []  # its own call has asked them all


def test_without_the_frontiers_answer_nothing_is_scored(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match=FRONTIER, status=400)
    simulator.fault(match=MINI, answer="Hello")
    line = 'smallfirst_aside_left_out_total{why="no_reference"}'
    before = counted(exploring, line)
    call, text = ask(exploring, "written")
    assert text == "Hello"
    eventually(lambda: counted(exploring, line) > before)
    (made,) = eventually(lambda: again(exploring, call))
    assert (made.status, made.model) == ("error", "")


def test_tools_choices_and_models_asked_by_name_are_left_alone(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(answer="billing")
    calls = [
        ask(exploring, "explored", tools=[TOOL])[0],
        ask(exploring, "explored", n=2)[0],
        ask(exploring, "", model="mini")[0],
        ask(exploring, "triage")[0],  # is not explored
    ]
    drawn, _ = ask(exploring, "explored")
    scores(exploring, drawn, 3)
    for call in calls:
        assert again(exploring, call) == []
        assert "explore" not in exploring.call(call)["decision"]


def test_a_days_money_ends_it_and_clients_notice_nothing(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(answer="billing")
    for _ in range(30):
        assert ask(exploring, "capped", max_tokens=5)[1] == "billing"
    eventually(lambda: counted(exploring, 'smallfirst_aside_left_out_total{why="budget"}') >= 5)
    eventually(lambda: counted(exploring, "smallfirst_aside_waiting") == 0)
    time.sleep(0.3)
    with Ledger.read(exploring.state) as ledger:
        made = ledger.queries.calls(Filter(task="capped", origin="explore"), limit=100)
    assert 1 <= len(made) < 25
    assert 0 < sum(one.call.cost_nusd or 0 for one in made) <= 600_000


def test_what_only_a_judge_can_score_is_noted_without_a_score(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(answer="Hello.")
    call, _ = ask(exploring, "judged")
    found = scores(exploring, call, 2)
    assert {(told["score"], told["unscored"]) for told in found.values()} == {(None, "judge")}


def test_a_label_that_comes_late_is_what_counts(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match=NANO, answer="billing")
    simulator.fault(answer="bug")
    call, _ = ask(exploring, "explored")
    assert scores(exploring, call, 3)["frontier"]["score"] == 1
    rows = exploring.folder / "labels.csv"
    rows.write_text(f"call,kind,value\n{call},label,billing\n")
    done = exploring.run("outcomes", "import", str(rows), "--config", str(exploring.path))
    assert done.returncode == 0, done.stderr

    def labelled() -> dict[str, Any] | None:
        found = scores(exploring, call, 3)
        return found if all(told["reference"] == "label" for told in found.values()) else None

    found = eventually(labelled)
    assert {model: told["score"] for model, told in found.items()} == {"nano": 1, "mini": 0, "frontier": 0}


@pytest.fixture
def held(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[tuple[GatewayProcess, str]]:
    """A gateway whose frontier is being asked, off the path of a call that has its answer, and hangs."""
    gateway = GatewayProcess(tmp_path, (CONFIG + TASKS).format(sim=simulator.base_url))
    with running(gateway):
        simulator.reset()
        simulator.fault(match=MINI, answer="Hello.")
        simulator.fault(match=FRONTIER, hang_before_headers=True)
        call, _ = ask(gateway, "written")
        simulator.wait_until(lambda state: state["in_flight"] == 1)
        yield gateway, call


def test_a_gateway_that_stops_records_what_it_was_asking(held: tuple[GatewayProcess, str]) -> None:
    gateway, call = held
    began_s = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began_s < 10
    (made,) = again(gateway, call)
    assert (made.origin, made.status, made.error) == ("explore", "cut", "shutdown")
    assert [attempt.status for attempt in made.attempts] == ["cancelled"]
    assert (made.cost_nusd or 0) > 0


def test_kill_9_loses_nothing_that_may_have_been_paid(held: tuple[GatewayProcess, str]) -> None:
    gateway, call = held
    gateway.kill()
    with Ledger.read(gateway.state) as ledger:
        assert ledger.queries.call(call).status == "ok"
        (lost,) = (one.call for one in ledger.queries.calls(Filter(origin="explore")))
        assert (lost.status, lost.task, lost.tenant) == ("lost", "written", "acme")
        assert (lost.cost_nusd or 0) > 0


def test_a_stop_ends_what_is_asked_off_a_clients_path_too(
    exploring: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match=NANO, answer="bug")
    simulator.fault(match=FRONTIER, hang_before_headers=True)
    call, _ = ask(exploring, "explored")
    simulator.wait_until(lambda state: state["in_flight"] == 1)
    now_ms = int(time.time() * 1000)
    stop = Stop(kind="task", name="explored", since_ms=now_ms, cut_ms=now_ms)
    change_stops(exploring.state, lambda now: (stop,))
    (ended,) = eventually(lambda: again(exploring, call))
    (attempt,) = ended.attempts
    assert (ended.status, ended.error, attempt.status) == ("cut", "stopped", "cancelled")
    assert attempt.cost_nusd
    change_stops(exploring.state, lambda now: ())
    simulator.clear_faults()
    simulator.fault(answer="bug")
    time.sleep(2 * STOPS_EVERY_S)
    later, _ = ask(exploring, "explored")
    assert scores(exploring, later, 3)  # those who ask go on


def test_a_canary_is_checked_on_the_spot_and_a_shadow_answers_for_nobody(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    tasks = TASKS.replace("explore = 1.0 }}", "explore = 0, pairs = 1.0 }}")
    gateway = GatewayProcess(tmp_path, (CONFIG + tasks).format(sim=simulator.base_url), unproven=False)
    simulator.fault(match=NANO, answer="billing")
    simulator.fault(answer="bug")
    with running(gateway):
        release = gateway.cli("release", "build")["id"]
        gateway.cli("release", "promote", release, "--shadow", "100%", "--unproven", "the tests")

        def shadowed() -> str | None:
            call, text = ask(gateway, "explored")
            assert text == "bug"  # the baseline answers
            return call if "shadow" in gateway.call(call)["decision"] else None

        found = scores(gateway, call := eventually(shadowed), 2, "shadow")
        assert (found["nano (shadow)"]["score"], found["frontier"]["score"]) == (0, 1)
        assert (found["nano (shadow)"]["release"], found["nano (shadow)"]["p"]) == (release, 1.0)
        (made,) = again(gateway, call)
        assert (made.origin, made.release, made.model) == ("shadow", release, "nano")
        assert made.decision["begin"] == 0
        gateway.cli("release", "rollback")
        gateway.cli("release", "promote", release, "--canary", "99%,100%", "--unproven", "the tests")

        def in_canary() -> str | None:
            call, text = ask(
                gateway, "explored", extra_headers={"x-smallfirst-conversation": str(time.time())}
            )
            return call if text == "billing" else None

        found = scores(gateway, call := eventually(in_canary), 2, "spot-check")
        assert {model: told["score"] for model, told in found.items()} == {"nano": 0, "frontier": 1}
        assert {told["channel"] for told in found.values()} == {"canary"}
        (made,) = again(gateway, call)
        assert (made.origin, made.model) == ("spot-check", "frontier")
