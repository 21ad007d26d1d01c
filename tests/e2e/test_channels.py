"""Which release answers a running gateway's calls: promoted, in canary, rolled back, lapsed."""

from __future__ import annotations

import contextlib
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess
from support.verdicts import prove

from smallfirst.config import load
from smallfirst.releases import Channels, change_channels, read_channels
from smallfirst.releases.moves import advanced, renewed
from smallfirst.releases.verdict import Fingerprint

WITHIN_S = 10.0  # a second is promised, where the machine has nothing else to do


@pytest.fixture
def serving(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that serves the baseline; nobody renews leases."""
    simulator.fault(answer="billing")
    gateway = GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url), unproven=False)
    gateway.start()
    with stopped_at_the_end(gateway):
        yield gateway
        assert "Traceback" not in gateway.log_text()


@contextlib.contextmanager
def stopped_at_the_end(gateway: GatewayProcess) -> Iterator[None]:
    try:
        yield
    finally:
        if gateway._process is not None:
            gateway.stop()


def build(gateway: GatewayProcess) -> str:
    return gateway.cli("release", "build")["id"]


def proven(gateway: GatewayProcess, **changes: Any) -> str:
    """A release of the configuration with a passing verdict; its id."""
    name = build(gateway)
    prove(name, gateway.state, load(gateway.path), **changes)
    return name


def ask(gateway: GatewayProcess, conversation: str = "", *, task: str = "triage") -> dict[str, str]:
    """The headers of one answer."""
    body = {"model": f"task/{task}", "messages": [{"role": "user", "content": "hello"}]}
    told = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    if conversation:
        told["x-smallfirst-conversation"] = conversation
    request = urllib.request.Request(
        f"{gateway.url}/v1/chat/completions", data=msgspec.json.encode(body), headers=told
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return dict(response.headers)


def release_of(gateway: GatewayProcess) -> str:
    return ask(gateway)["x-smallfirst-release"]


def soon(holds: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.02)


def events(gateway: GatewayProcess, kind: str) -> list[dict[str, Any]]:
    """The events of that kind, once the importer has them."""
    from smallfirst.ledger import Ledger

    with Ledger.read(gateway.state) as ledger:
        return [event.detail for event in ledger.queries.events() if event.kind == kind]


def test_a_promoted_release_answers_within_a_second_and_a_rollback_takes_it_away_as_fast(
    serving: GatewayProcess,
) -> None:
    assert release_of(serving) == "baseline"
    name = build(serving)
    config = ("--config", str(serving.path))
    refused = serving.run("release", "promote", name, *config)
    assert refused.returncode == 1
    assert "no passing verdict" in refused.stderr
    prove(name, serving.state, load(serving.path))
    promoted = serving.cli("release", "promote", name)
    assert promoted["live"]["release"] == name
    soon(lambda: release_of(serving) == name[:12])
    told = ask(serving)
    assert (told["x-smallfirst-channel"], told["x-smallfirst-model"]) == ("live", "mini")
    assert "x-smallfirst-unproven" not in told
    assert serving.cli("release", "rollback")["after"]["live"]["release"] == "baseline"
    soon(lambda: release_of(serving) == "baseline")
    soon(lambda: bool(events(serving, "rolled-back")), 10)
    assert events(serving, "channels")[0]["live"] == name


def test_what_may_not_be_served_is_refused_and_what_is_live_stays(serving: GatewayProcess) -> None:
    name = proven(serving)
    serving.cli("release", "promote", name)
    soon(lambda: release_of(serving) == name[:12])
    path = serving.state / "channels.json"
    good = path.read_bytes()
    for bad, why in (
        (good[:-5], "cannot be read"),
        (good.replace(name.encode(), b"f" * 64), "no release begins with"),
    ):
        path.with_suffix(".new").write_bytes(bad)
        path.with_suffix(".new").replace(path)
        soon(lambda why=why: why in " ".join(serving.log_text().split()))
        assert release_of(serving) == name[:12]
    rolled = serving.cli("release", "rollback")
    assert rolled["after"]["live"]["release"] == "baseline"
    soon(lambda: release_of(serving) == "baseline")


def test_a_release_that_was_altered_meanwhile_gives_way_to_baseline_on_a_rollback(
    serving: GatewayProcess,
) -> None:
    first = proven(serving)
    serving.cli("release", "promote", first)
    text = serving.path.read_text()
    serving.path.write_text(
        text.replace('labels = ["billing", "bug", "how-to"]', 'labels = ["billing", "bug"]')
    )
    second = proven(serving, comparator=first)
    serving.cli("release", "promote", second)
    soon(lambda: release_of(serving) == second[:12])
    kept = serving.state / "releases" / first / "release.json"
    kept.write_bytes(kept.read_bytes().replace(b"mini", b"nano"))
    rolled = serving.cli("release", "rollback")
    assert "was altered" in rolled["why_baseline"]
    soon(lambda: release_of(serving) == "baseline")


def test_a_rollback_to_what_is_gone_from_the_disk_gives_way_to_baseline(serving: GatewayProcess) -> None:
    name = proven(serving)
    serving.cli("release", "promote", name)
    soon(lambda: release_of(serving) == name[:12])
    (serving.state / "releases" / name / "release.json").unlink()

    def back(now: Channels) -> Channels:
        return msgspec.structs.replace(now, rolled_back_ms=1)

    change_channels(serving.state, back)
    soon(lambda: release_of(serving) == "baseline")


def test_a_verdict_against_another_than_what_is_live_promotes_nothing(serving: GatewayProcess) -> None:
    name = proven(serving, comparator="f" * 64)
    refused = serving.run("release", "promote", name, "--config", str(serving.path))
    assert refused.returncode == 1
    assert "baseline is live now" in " ".join(refused.stderr.split())
    assert read_channels(serving.state) == Channels()


def test_a_rule_that_was_edited_refuses_the_reload_and_config_check_says_so(serving: GatewayProcess) -> None:
    name = proven(serving)
    serving.cli("release", "promote", name)
    soon(lambda: release_of(serving) == name[:12])
    serving.path.write_text(serving.path.read_text() + "\n[gate]\nalpha = 0.01\n")
    found = serving.cli("config", "check")["findings"]
    assert any("what is live" in one["message"] and "another rule" in one["message"] for one in found)
    serving.process.send_signal(signal.SIGHUP)
    soon(lambda: "the configuration was not reloaded" in " ".join(serving.log_text().split()))
    assert release_of(serving) == name[:12]
    serving.stop()
    with pytest.raises(RuntimeError, match="another rule"):
        serving.start()
    serving.start("--release", "baseline")
    assert release_of(serving) == "baseline"


def test_a_canary_answers_its_share_of_conversations_until_its_lease_is_over(serving: GatewayProcess) -> None:
    name = proven(serving)
    begun = serving.cli("release", "promote", name, "--canary", "40%,70%,100%")
    began_ms = begun["canary"]["began_ms"]
    names = [f"conversation {number}" for number in range(40)]
    stages: list[set[str]] = []
    for share in (0.4, 0.7):
        change_channels(serving.state, lambda now: renewed(now, began_ms, now_ms=int(time.time() * 1000)))
        soon(lambda share=share: metric(serving, "smallfirst_canary_share") == share)
        first, second = canaries(serving, names), canaries(serving, names)
        assert first == second
        assert abs(len(first) / len(names) - share) < 0.3
        stages.append(first)
        change_channels(serving.state, lambda now: advanced(now, began_ms, now_ms=int(time.time() * 1000)))
    assert stages[0] < stages[1]
    soon(lambda: metric(serving, "smallfirst_canary_share") == 1.0)
    serving.process.send_signal(signal.SIGHUP)
    soon(lambda: "the configuration was reloaded" in " ".join(serving.log_text().split()), 5)
    assert metric(serving, "smallfirst_canary_share") == 1.0  # its stage and its lease are those of the file

    def nearly_over(now: Channels) -> Channels:
        assert now.canary is not None
        over = msgspec.structs.replace(now.canary, lease_until_ms=int(time.time() * 1000) + 400)
        return msgspec.structs.replace(now, canary=over)

    change_channels(serving.state, nearly_over)
    soon(lambda: not canaries(serving, names[:5]), 2)
    assert ask(serving, names[0])["x-smallfirst-release"] == "baseline"
    assert serving.cli("release", "channels")["canary"]["lapsed"]
    change_channels(serving.state, lambda now: renewed(now, began_ms, now_ms=int(time.time() * 1000)))
    soon(lambda: len(canaries(serving, names[:5])) == 5)
    serving.cli("release", "rollback")
    soon(lambda: not canaries(serving, names[:5]))


def canaries(gateway: GatewayProcess, names: list[str]) -> set[str]:
    """Those conversations that the canary answers."""
    return {name for name in names if ask(gateway, name)["x-smallfirst-channel"] == "canary"}


def metric(gateway: GatewayProcess, name: str) -> float:
    text = gateway.get("/metrics")[1].decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_a_model_that_answers_under_another_name_lapses_the_evidence_for_good(
    serving: GatewayProcess,
) -> None:
    name = proven(serving, fingerprints={"mini": Fingerprint(upstream_models=("sim-frontier-mini-2025",))})
    serving.cli("release", "promote", name)
    soon(lambda: release_of(serving) == name[:12])
    soon(lambda: ask(serving)["x-smallfirst-model"] == "frontier")
    assert metric(serving, "smallfirst_lapsed_tasks") > 0
    folder = serving.state / "verdicts" / name
    soon(lambda: any(folder.glob("*.lapsed")))
    lapsed = next(folder.glob("*.lapsed"))
    assert "was compared as 'sim-frontier-mini-2025'" in lapsed.read_text()
    assert ask(serving, task="broken")["x-smallfirst-release"] == name[:12]  # it does not ask that model
    serving.cli(
        "release", "promote", name, "--shadow", "5%"
    )  # all is built anew, and what has lapsed stays so
    soon(lambda: "shadow" in serving.log_text())
    assert ask(serving)["x-smallfirst-model"] == "frontier"
    serving.stop()
    serving.start()
    assert ask(serving)["x-smallfirst-model"] == "frontier"
    refused = serving.run("release", "promote", name, "--config", str(serving.path))
    assert "has lapsed" in refused.stderr
    assert len(events(serving, "lapsed")) == 1
    prove(name, serving.state, load(serving.path), at_ms=2)
    serving.cli("release", "promote", name)
    soon(lambda: ask(serving)["x-smallfirst-model"] == "mini")


def test_calls_in_flight_are_finished_by_the_release_that_began_them(
    serving: GatewayProcess, simulator: SimulatorProcess
) -> None:
    name = proven(serving)
    simulator.clear_faults()
    with openai.OpenAI(base_url=f"{serving.url}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
        stream = client.chat.completions.create(
            model="task/summary", messages=[{"role": "user", "content": "Tell me more."}], stream=True
        )
        parts = iter(stream)
        next(parts)
        serving.cli("release", "promote", name)
        soon(lambda: release_of(serving) == name[:12])
        assert list(parts)[-1].choices[0].finish_reason == "stop"


def test_the_command_lines_release_holds_until_a_rollback(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    simulator.fault(answer="billing")
    gateway = GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url))
    gateway.start()
    with stopped_at_the_end(gateway):
        assert ask(gateway)["x-smallfirst-unproven"] == "1"
        gateway.cli("release", "rollback")
        soon(lambda: release_of(gateway) == "baseline")


def test_a_diff_says_what_changes_and_which_calls_would_be_decided_differently(
    serving: GatewayProcess,
) -> None:
    text = serving.path.read_text().replace(
        "[tasks.summary]\n", '[tasks.summary]\ninstructions = "Be brief."\n'
    )
    serving.path.write_text(text)
    ask(serving, task="summary")
    name = build(serving)
    soon(lambda: len(serving.calls()) == 1, 10)
    told = serving.cli("release", "diff", name, "--task", "summary")
    (task,) = told["tasks"]
    assert task["changes"] == ["ladder: frontier → mini, frontier"]
    (recorded,) = told["recorded"]
    assert (recorded["calls"], recorded["different"]) == (1, 1)
    assert recorded["moves"] == {"frontier → mini": 1}
    assert recorded["examples"][0]["text"] == "hello"
    shown = serving.run("release", "diff", "baseline", name, "--config", str(serving.path)).stdout
    assert "1 would begin at mini instead of frontier" in shown
