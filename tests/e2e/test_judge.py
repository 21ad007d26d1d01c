"""`smallfirst judge` as a user runs it: a simulated judge that is a point too kind to what it calls fair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gateway import GatewayProcess
from support.simulator import SimulatorProcess
from typer.testing import CliRunner

from smallfirst.cli.main import app
from smallfirst.errors import ScorerError
from smallfirst.ledger import Ledger

CONFIG = """
[storage]
path = "state"

[providers.sim]
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
simulated = true

[models.arbiter]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 2.5, output = 10 }}]

[models.mini]
provider = "sim"
id = "sim-nano"

[tasks.reply]
ladder = ["mini"]
scorer = {{ kind = "judge", model = "arbiter", rubric = "Answers what was asked." }}

[tasks.best]
ladder = ["mini"]
scorer = {{ kind = "judge", model = "arbiter", rubric = "Answers what was asked.", mode = "pairwise" }}

[tasks.plain]
ladder = ["mini"]
"""
WORDS = {"splendid": (5, 5), "fair": (3, 4), "rotten": (1, 1)}  # what people say, what the judge says
ROWS = 60


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    rows = [{"match": '"answer_a"', "answer": '{"reason": "the first", "verdict": "a"}'}]
    rows += [
        {"match": f"a {word} answer", "answer": json.dumps({"reason": word, "verdict": judge})}
        for word, (_, judge) in WORDS.items()
    ]
    rows.append({"match": "an odd answer", "answer": "I would rather not say."})
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with SimulatorProcess({"answers": path}) as process:
        yield process


@pytest.fixture
def sim(shared: SimulatorProcess) -> SimulatorProcess:
    shared.reset()
    return shared


@pytest.fixture
def home(sim: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatewayProcess:
    """A configuration and rows that people scored; no gateway runs."""
    monkeypatch.setenv("SIM_KEY", "any")
    words = list(WORDS)
    rows = [
        {
            "id": f"r-{at}",
            "input": f"Question {at}?",
            "output": f"It is a {words[at % 3]} answer to {at}.",
            "rating": WORDS[words[at % 3]][0],
            "references": ["It is the reference."],
            "model": "mini",
        }
        for at in range(ROWS)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return GatewayProcess(tmp_path, CONFIG.format(sim=sim.base_url))


def judge(home: GatewayProcess, *words: str) -> str:
    """A command in this process; what it prints."""
    done = CliRunner().invoke(app, ["judge", *words, "--config", str(home.path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def measure(home: GatewayProcess, task: str = "reply") -> dict[str, Any]:
    rows = str(home.folder / "rows.jsonl")
    return json.loads(judge(home, "measure", "--task", task, "--labels", rows, "--json"))


def test_a_judge_is_measured_shown_and_never_asked_twice(home: GatewayProcess, sim: SimulatorProcess) -> None:
    told = measure(home)
    assert (told["answers"], told["unreadable"]) == (ROWS, 0)
    assert told["agreement"] == pytest.approx(2 / 3)
    assert told["bias"] == pytest.approx(0.25 / 3)
    assert told["bias_low"] < told["bias"] < told["bias_high"]
    assert told["confusion"] == {"0": {"0": 20}, "0.5": {"0.75": 20}, "1": {"1": 20}}
    assert told["scorer"].startswith("judge@1:")
    invoice = sim.invoice()["total_nusd"]
    assert told["cost_nusd"] == invoice > 0
    assert len(sim.requests()["requests"]) == ROWS

    again = measure(home)
    assert again["cost_nusd"] == invoice
    assert len(sim.requests()["requests"]) == ROWS

    assert json.loads(judge(home, "show", again["measurement"][:8], "--json")) == again
    table = judge(home, "show", "--task", "reply")
    assert "66.7%" in table
    assert "fewer than 300 answers" in table
    listed = json.loads(judge(home, "list", "--json"))
    assert [row["measurement"] for row in listed] == [again["measurement"], told["measurement"]]

    with Ledger.read(home.state) as ledger:
        calls = [listed.call for listed in ledger.queries.calls(limit=100)]
    assert len(calls) == ROWS
    assert {call.origin for call in calls} == {"eval"}
    assert sum(call.cost_nusd or 0 for call in calls) == invoice


def test_what_a_judge_has_said_is_kept_when_it_stops_answering(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    rows = (home.folder / "rows.jsonl").read_text().splitlines()
    (home.folder / "rows.jsonl").write_text("\n".join(rows[:20]))
    measure(home)
    (home.folder / "rows.jsonl").write_text("\n".join(rows))
    sim.fault(status=401)
    with pytest.raises(ScorerError, match="the judge arbiter does not answer"):
        measure(home)
    sim.clear_faults()
    kept = next((home.state / "judges" / "asked").iterdir())
    assert kept.stat().st_mode & 0o777 == 0o600
    with kept.open("ab") as file:
        file.write(kept.read_bytes().splitlines()[-1][:40])  # as a kill leaves it
    assert measure(home)["answers"] == ROWS
    answered = [one for one in sim.requests()["requests"] if one["status"] == 200]
    assert len(answered) == ROWS


def test_a_verdict_that_cannot_be_read_is_counted(home: GatewayProcess) -> None:
    with (home.folder / "rows.jsonl").open("a") as file:
        file.write('{"input": "?", "output": "It is an odd answer.", "thumbs": "up"}\n')
    told = measure(home)
    assert (told["answers"], told["unreadable"]) == (ROWS, 1)


def test_position_bias_is_told(home: GatewayProcess) -> None:
    told = measure(home, "best")
    assert told["position_bias"] == 1.0
    assert told["judge"] == 0.5


def test_what_cannot_be_measured_says_why(home: GatewayProcess) -> None:
    with pytest.raises(ScorerError, match=r'tasks\.plain\.scorer\.kind: expected "judge", got "auto"'):
        measure(home, "plain")
    with pytest.raises(ScorerError, match="nothing was measured yet"):
        judge(home, "show")
    (home.folder / "rows.jsonl").write_text('{"input": "?", "output": "x", "score": 2}\n')
    with pytest.raises(ScorerError, match=r"rows\.jsonl, line 1: Expected `float` <= 1\.0 - at `\$\.score`"):
        measure(home)
    done = CliRunner().invoke(app, ["judge", "measure", "--task", "reply", "--config", str(home.path)])
    assert done.exit_code == 2
    assert "--labels" in done.output
