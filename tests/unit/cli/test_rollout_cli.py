"""`smallfirst rollout`: what it shows of a canary, of how the last one ended, and of what is live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rollout import RolledOut
from typer.testing import CliRunner

from smallfirst.cli.main import app
from smallfirst.gate.outlook import Watcher
from smallfirst.ledger import Ledger
from smallfirst.releases import Channels

TOML = """
[storage]
path = "state"

[providers.p]
base_url = "http://127.0.0.1:1/v1"

[models.small]
provider = "p"

[models.large]
provider = "p"

[tasks.triage]
contract = { type = "label", labels = ["a", "b"] }
ladder = ["small", "large"]
margin = 0.05
rollout = { pairs = 1.0 }
"""


@pytest.fixture
def rolled(tmp_path: Path) -> Iterator[RolledOut]:
    (tmp_path / "smallfirst.toml").write_text(TOML, "utf-8")
    made = RolledOut(tmp_path / "state")
    yield made
    made.close()


def run(rolled: RolledOut, *arguments: str) -> str:
    config = rolled.state.parent / "smallfirst.toml"
    done = CliRunner().invoke(app, ["rollout", *arguments, "--config", str(config)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_a_canary_is_shown_with_what_it_waits_for(rolled: RolledOut) -> None:
    assert "nothing is being rolled out" in run(rolled, "status")
    rolled.usual()
    rolled.canary(0.05, 1.0)
    assert "no controller" in run(rolled, "status")
    rolled.turn()
    rolled.pairs(30, 0.1)
    rolled.turn()
    shown = run(rolled, "status")
    assert f"canary {rolled.release[:12]}: stage 1 of 2, 5% of calls" in shown
    assert "30 of " in shown
    assert "more pairs and 70 more calls" in shown
    told = json.loads(run(rolled, "status", "--json"))
    (task,) = told["rollouts"][0]["tasks"]
    assert (task["pairs"], task["calls"], task["finds"]) == (30, 30, 0.05)
    assert [each["question"] for each in task["estimates"]] == [
        "quality",
        "labels",
        "cost",
        "latency",
        "errors",
    ]


def test_how_it_ended_is_shown_with_the_figures(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(1.0)
    rolled.pairs(200, 0.4)
    rolled.turn()
    shown = run(rolled, "watch")  # nothing is left to watch, so it ends
    assert "rolled-back" in shown
    assert "triage: quality 0." in shown
    assert json.loads(run(rolled, "watch", "--json"))["last"]["how"] == "rolled-back"


def test_what_somebody_else_ended_is_shown_before_a_controller_has_looked(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(0.05, 1.0)
    rolled.turn()
    rolled.change(lambda channels: Channels(live=channels.live))
    last = json.loads(run(rolled, "status", "--json"))["last"]
    assert (last["channel"], last["release"], last["how"]) == ("canary", rolled.release, "withdrawn")
    rolled.turn()
    assert json.loads(run(rolled, "status", "--json"))["last"]["how"] == "withdrawn"


def test_what_is_live_is_shown_by_its_explored_calls(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(1.0)
    needed = 420
    rolled.pairs(needed, 0.05)
    rolled.turn()
    assert rolled.channels.live.release == rolled.release
    watcher = Watcher(rolled.state, rolled.config, lambda *_: None)
    rolled.now_ms += 1000
    rolled.pairs(40, 0.1, channel="live", source="explore")
    with Ledger.read(rolled.state) as ledger:
        watcher.turn(ledger)
    live = json.loads(run(rolled, "status", "--json"))["live"]["triage"]
    assert live["explored"] == 40
    assert live["low"] <= live["disagreement"] <= live["high"]
    assert live["models"]["large"]["score"] == 1.0
    assert "What is live, on explored calls" in run(rolled, "status")
