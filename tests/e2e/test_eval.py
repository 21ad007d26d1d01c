"""`smallfirst eval` as a user runs it: against a simulator whose models are right as often as they are told to be."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gateway import GatewayProcess
from support.simulator import SimulatorProcess
from support.sorted_tickets import FRONTIER, LABELS, MARKER, TASK
from typer.testing import CliRunner

from smallfirst.cli.main import app
from smallfirst.errors import SmallfirstError

ROWS = 60
CONFIG = (
    FRONTIER
    + """
[models.mini]
provider = "sim"
id = "sim-frontier-mini"
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6 }}]

[models.nano]
provider = "sim"
id = "sim-nano"
"""
    + TASK
    + """
ladder = [{{ model = "mini", max_tokens = 16 }}, {{ model = "frontier", max_tokens = 16 }}]

[tasks.reply]
instructions = "You answer tickets."
ladder = ["mini", "frontier"]
"""
)


def text(at: int) -> str:
    return f"Ticket number {at} asks about thing {at % 7} of order {1000 + at}"


@pytest.fixture(scope="module")
def _sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder = tmp_path_factory.mktemp("answers")
    rows = [
        {"input": text(at), "answers": {"triage": LABELS[at % 3], "reply": f"We look at ticket {at}."}}
        for at in range(ROWS)
    ]
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "tasks.toml").write_text(
        f'[tasks.triage]\nmarker = "{MARKER}"\naccuracy_by_model = {{ sim-frontier-mini = 0.7 }}\n'
        '[tasks.reply]\nmarker = "You answer tickets."\n'
    )
    options = {"answers": folder / "answers.jsonl", "tasks": folder / "tasks.toml"}
    with SimulatorProcess(options) as process:
        yield process


@pytest.fixture
def sim(_sim: SimulatorProcess) -> SimulatorProcess:
    _sim.reset()
    return _sim


@pytest.fixture
def home(sim: SimulatorProcess, tmp_path: Path) -> GatewayProcess:
    """A configuration and its rows; no gateway runs."""
    rows = [
        {"id": f"t-{at}", "input": text(at), "label": LABELS[at % 3], "references": [f"We look at ticket {at}."],
         "channel": "mail" if at % 2 else "chat", "group": f"user-{at // 2}"}
        for at in range(ROWS)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return GatewayProcess(tmp_path, CONFIG.format(sim=sim.base_url))


def arguments(home: GatewayProcess, *more: str) -> list[str]:
    return ["eval", "--task", "triage", "--model", "mini", "--data", str(home.folder / "rows.jsonl"), *more]


def begin(home: GatewayProcess, *more: str) -> subprocess.Popen[str]:
    """The command as a child, which is then interrupted."""
    command = home.command(*arguments(home, *more), "--config", str(home.path), "--json")
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=home.environ
    )


def lines(home: GatewayProcess, run: str = "triage-1") -> list[dict[str, Any]]:
    """The whole lines of a run's answers."""
    data = (home.state / "evals" / run / "answers.jsonl").read_bytes()
    return [json.loads(line) for line in data.split(b"\n") if line.endswith(b"}")]


def asked(sim: SimulatorProcess) -> Counter[tuple[str, str]]:
    """How often each model was asked each text."""
    found: Counter[tuple[str, str]] = Counter()
    for request in sim.requests(detail=True)["requests"]:
        body = request["body"]
        body = json.loads(body) if isinstance(body, str) else body
        found[body["model"], body["messages"][-1]["content"]] += 1
    return found


def cli(home: GatewayProcess, *words: str) -> Any:
    """A command in this process, with `--json`; its JSON."""
    done = CliRunner().invoke(app, [*words, "--config", str(home.path), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def calls_of(home: GatewayProcess) -> list[dict[str, Any]]:
    """What the ledger has."""
    done = home.run("calls", "list", "--limit", "1000", "--config", str(home.path), "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def wait_for_answers(home: GatewayProcess, count: int) -> None:
    deadline = time.monotonic() + 30
    path = home.state / "evals" / "triage-1" / "answers.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline, "no answers came"
        time.sleep(0.01)


def test_a_report_says_how_good_how_dear_and_how_fast(home: GatewayProcess, sim: SimulatorProcess) -> None:
    page = home.folder / "page.html"
    told = home.cli(*arguments(home, "--slice", "channel", "--html", str(page)))
    assert (told["compared"], told["left_out"], told["stopped"]) == (ROWS, 0, "")
    assert told["reference"] == "frontier"
    mini, frontier = told["arms"]
    assert (mini["name"], frontier["name"]) == ("mini", "frontier")
    assert mini["score"]["groups"] == ROWS // 2
    assert mini["score"]["low"] < mini["score"]["mean"] < mini["score"]["high"]
    assert frontier["score"]["mean"] == 1.0
    assert frontier["figures"]["macro_f1"] == 1.0
    assert mini["simulated"] == ["mini"]
    (difference,) = told["differences"]
    assert (difference["one"], difference["other"]) == ("mini", "frontier")
    assert difference["score"]["mean"] == pytest.approx(mini["score"]["mean"] - 1)
    assert {(one["field"], one["value"]) for one in told["slices"]} == {
        ("channel", "mail"),
        ("channel", "chat"),
    }
    assert len(asked(sim)) == 2 * ROWS

    invoice = sim.invoice()["total_nusd"]
    assert told["spent_usd"] == pytest.approx(invoice / 1e9)
    calls = calls_of(home)
    assert {call["origin"] for call in calls} == {"eval"}
    assert sum(call["cost_nusd"] for call in calls) == invoice
    assert len(calls) == 2 * ROWS

    assert page.stat().st_mode & 0o77 == 0
    assert "https://" not in page.read_text()
    files = (home.state / "evals" / "triage-1").iterdir()
    assert {path.stat().st_mode & 0o77 for path in files} == {0}


def test_a_killed_run_goes_on_and_pays_for_nothing_twice(home: GatewayProcess, sim: SimulatorProcess) -> None:
    sim.fault(slow_ms=60)
    child = begin(home, "--concurrency", "2")
    wait_for_answers(home, 20)
    child.kill()
    child.communicate()
    known = {(line["arm"], line["example"]) for line in lines(home)}
    assert 20 <= len(known) < 2 * ROWS
    answers = home.state / "evals" / "triage-1" / "answers.jsonl"
    answers.write_bytes(answers.read_bytes() + b'{"arm":"mini","example":"t-5')  # as a kill may leave it
    sim.clear_faults()

    told = home.cli(*arguments(home))
    assert told["run"] == "triage-1"
    assert told["compared"] == ROWS
    counts = asked(sim)
    upstream = {"mini": "sim-frontier-mini", "frontier": "sim-frontier"}
    twice = {pair for pair, times in counts.items() if times > 1}
    assert not twice & {(upstream[arm], text(int(example[2:]))) for arm, example in known}
    assert len(twice) <= 4  # what was under way when it was killed
    assert set(counts.values()) <= {1, 2}
    assert Counter((line["arm"], line["example"]) for line in lines(home)).total() == 2 * ROWS
    noted = [call["id"] for call in calls_of(home)]
    assert sorted(noted) == sorted(line["call"] for line in lines(home))

    again = home.cli(*arguments(home))  # the first is whole: the same command is another run
    assert again["run"] == "triage-2"


def test_ctrl_c_ends_what_is_under_way_and_says_how_to_go_on(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    sim.fault(slow_ms=60)
    child = begin(home, "--concurrency", "2")
    wait_for_answers(home, 10)
    child.send_signal(signal.SIGINT)
    out, error = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "smallfirst eval --resume triage-1" in error
    assert json.loads(out)["stopped"] == "interrupted"
    assert set(asked(sim).values()) == {1}
    assert sum(asked(sim).values()) == len(lines(home))
    sim.clear_faults()

    told = home.cli("eval", "--resume", "triage-1")
    assert told["compared"] == ROWS
    assert set(asked(sim).values()) == {1}
    assert sum(asked(sim).values()) == 2 * ROWS


def test_a_cap_is_not_passed(home: GatewayProcess, sim: SimulatorProcess) -> None:
    done = home.run(*arguments(home, "--max-usd", "0.004"), "--config", str(home.path), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["stopped"] == "money"
    spent = sim.invoice()["total_nusd"]
    assert 0 < spent <= 4_000_000
    told = home.cli("eval", "--resume", "triage-1", "--max-usd", "1")
    assert (told["stopped"], told["compared"]) == ("", ROWS)
    assert set(asked(sim).values()) == {1}

    done = home.run(*arguments(home, "--model", "nano", "--max-usd", "1"), "--config", str(home.path))
    assert done.returncode == 1
    assert "nano" in done.stderr
    assert "unknown" in done.stderr


def test_text_is_streamed_and_its_first_byte_timed(home: GatewayProcess, sim: SimulatorProcess) -> None:
    rows = str(home.folder / "rows.jsonl")
    told = home.cli(
        "eval", "--task", "reply", "--model", "nano", "--data", rows, "--limit", "24", "--no-frontier"
    )
    (arm,) = told["arms"]
    assert all(request["stream"] for request in sim.requests()["requests"])
    assert arm["ttft"]["ms"]["p50"]["mean"] <= arm["latency"]["ms"]["p50"]["mean"]
    assert arm["cost_usd_per_1000"] is None  # no price: unknown, never zero
    assert told["spent_usd"] is None
    assert arm["score"]["mean"] > 0.9


def test_runs_are_compared_looked_at_and_handed_on(
    home: GatewayProcess, sim: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", "upstream-secret")
    cli(home, *arguments(home))
    sim.fault(match={"model": "sim-frontier-mini"}, answer="Billing, I think!")
    cli(home, *arguments(home, "--limit", "30"))
    compared = cli(home, "eval", "compare", "triage-1", "triage-2")
    assert (compared["compared"], compared["only_one"], compared["only_two"]) == (30, 30, 0)
    by_arm = {one["one"].partition(":")[2]: one for one in compared["differences"]}
    assert by_arm["mini"]["score"]["mean"] < -0.5
    assert by_arm["frontier"]["score"]["mean"] == 0

    unmet = cli(home, "eval", "show", "triage-2", "--where", "unmet", "--limit", "100")
    assert len(unmet) == 30
    (one,) = cli(home, "eval", "show", "triage-1", "--example", "t-7")
    assert one["example"]["id"] == "t-7"
    assert set(one["answers"]) == {"mini", "frontier"}
    shown = CliRunner().invoke(
        app, ["eval", "show", "triage-2", "--where", "differ", "--limit", "2", "--config", str(home.path)]
    )
    assert "Billing, I think!" in shown.stdout

    out = home.folder / "outcomes.jsonl"
    assert cli(home, "eval", "outcomes", "triage-1", "--out", str(out))["rows"] == ROWS
    fitted = cli(home, "router", "fit", "--task", "triage", "--outcomes", str(out), "--max-loss", "0.9")
    assert (
        fitted["router"]
        == cli(home, "router", "fit", "--task", "triage", "--run", "triage-1", "--max-loss", "0.9")["router"]
    )
    assert [run["run"] for run in cli(home, "eval", "list")] == ["triage-2", "triage-1"]
    release = cli(home, "release", "build")["id"]
    told = cli(home, *arguments(home, "--release", release[:12], "--limit", "20"))
    assert [arm["name"] for arm in told["arms"]] == ["mini", f"release:{release[:12]}", "frontier"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--split", "heldout", "--task", "triage"], "smallfirst gate"),
        (["--task", "tirage"], "tirage"),
        (["--task", "triage", "--model", "minni", "--data", "{rows}"], "did you mean 'mini'"),
        (["--task", "triage", "--model", "mini", "--model", "mini", "--data", "{rows}"], "given twice"),
        (["--resume", "triage-9"], "no run is 'triage-9'"),
        (["--task", "triage", "--data", "{rows}"], "nothing to evaluate"),
        (
            ["--task", "triage", "--model", "mini", "--data", "{rows}", "--slice", "tone", "--yes"],
            "no such field",
        ),
    ],
)
def test_what_is_wrong_is_named(
    home: GatewayProcess, sim: SimulatorProcess, more: list[str], says: str
) -> None:
    rows = str(home.folder / "rows.jsonl")
    words = [word.format(rows=rows) for word in more]
    with pytest.raises(SmallfirstError, match=says):
        CliRunner().invoke(app, ["eval", *words, "--config", str(home.path)], catch_exceptions=False)
    assert not asked(sim), "before anybody was asked"
