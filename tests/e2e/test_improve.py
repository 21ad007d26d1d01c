"""`smallfirst improve` as a user runs it: with one command to a canary, and honest where there is nothing to gain."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gateway import GatewayProcess
from support.simulator import SimulatorProcess
from support.sorted_tickets import FRONTIER, HEAD, MARKER, TASK
from support.tickets import SAID

from smallfirst.improve.record import STEPS, Record, read_record
from smallfirst.ledger import Ledger
from smallfirst.releases import read_channels

CONFIG = (
    FRONTIER
    + HEAD
    + """
[models.guesser]
provider = "sim"
id = "sim-nano"
prices = [{{ since = "2026-01-01", input = 0.04, output = 0.15 }}]
"""
    + TASK
    + """
margin = 0.1
ladder = ["sorter", "frontier"]
"""
)
PARTS = {"train": 90, "calibration": 90, "heldout": 150}
LABELS = tuple(SAID)


def row(at: int) -> dict[str, str]:
    label = LABELS[at % 3]
    return {"id": f"t-{at}", "input": f"{SAID[label][at // 3 % 3]}, case {at}", "label": label}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder = tmp_path_factory.mktemp("answers")
    rows = [row(at) for at in range(sum(PARTS.values()))]
    known = [{"input": one["input"], "answers": {"triage": one["label"]}} for one in rows]
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(one) for one in known))
    (folder / "tasks.toml").write_text(
        f'[tasks.triage]\nmarker = "{MARKER}"\naccuracy_by_model = {{ sim-nano = 0.4 }}\n'
    )
    with SimulatorProcess({"answers": folder / "answers.jsonl", "tasks": folder / "tasks.toml"}) as process:
        yield process


@pytest.fixture
def home(sim: SimulatorProcess, tmp_path: Path) -> GatewayProcess:
    """A configuration and a dataset made of files; no gateway runs."""
    sim.reset()
    place = GatewayProcess(tmp_path, CONFIG.format(sim=sim.base_url))
    files, first = [], 0
    for part, count in PARTS.items():
        path = tmp_path / f"{part}.jsonl"
        path.write_text("\n".join(json.dumps(row(at)) for at in range(first, first + count)))
        files.append(f"{part}={path}")
        first += count
    place.cli("dataset", "import", *files, "--task", "triage", "--near", "2", "--same", "2")
    return place


def command(home: GatewayProcess, *more: str) -> list[str]:
    return home.command("improve", "triage", "--yes", "--json", "--config", str(home.path), *more)


def improve(home: GatewayProcess, *more: str, status: int = 0) -> dict[str, Any]:
    done = subprocess.run(command(home, *more), capture_output=True, text=True, env=home.environ, timeout=180)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def asked(sim: SimulatorProcess) -> int:
    return len(sim.requests()["requests"])


def test_one_command_from_a_dataset_to_a_canary(home: GatewayProcess, sim: SimulatorProcess) -> None:
    shown = home.run("improve", "triage", "--yes", "--config", str(home.path))
    assert shown.returncode == 0, shown.stderr
    assert all(step in shown.stderr for step in STEPS)  # the plan comes first
    record = read_record(home.state, "triage")
    assert record is not None
    assert (record.end, list(record.steps)) == ("canary", list(STEPS))
    name = record.steps["release"].told["release"]
    canary = read_channels(home.state).canary
    assert canary is not None
    assert (canary.release, canary.stages, canary.unproven) == (name, (0.05, 0.25, 1.0), "")
    with Ledger.read(home.state) as ledger:
        (event,) = ledger.queries.events(kind="improved")
    assert event.detail["end"] == "canary"
    before = asked(sim)
    again = improve(home)  # the same again asks nobody: the run is there, and so is the verdict
    assert again["end"] == "canary"
    assert asked(sim) == before


def test_a_small_model_that_guesses_gains_nothing_and_costs_no_read(home: GatewayProcess) -> None:
    text = home.path.read_text()
    home.path.write_text(text.replace('ladder = ["sorter", "frontier"]', 'ladder = ["guesser", "frontier"]'))
    found = improve(home)
    assert found["end"] == "nothing"
    assert "not worth a read of the held-out part" in found["why"]
    assert found["steps"]["head"]["state"] == "skipped"
    with Ledger.read(home.state) as ledger:
        assert ledger.queries.events(kind="heldout-read") == []
    assert read_channels(home.state).canary is None


def test_it_proposes_where_it_is_asked_to_and_says_what_is_wrong(home: GatewayProcess) -> None:
    found = improve(home, "--propose")
    assert found["end"] == "proposed"
    assert "smallfirst release promote" in found["why"]
    assert read_channels(home.state).canary is None
    refused = home.run("improve", "other", "--yes", "--config", str(home.path))
    assert refused.returncode == 1
    assert "task 'other' is not configured; known: triage" in " ".join(refused.stderr.split())
    (home.state / "improve" / "triage.json").write_text("{")
    refused = home.run("improve", "triage", "--yes", "--config", str(home.path))
    assert "delete it, and the improvement begins anew" in " ".join(refused.stderr.split())


def test_a_record_is_kept_under_a_name_that_is_a_files(tmp_path: Path) -> None:
    from smallfirst.improve.record import path_of, write_record

    for name in ("triage", "a/b", "..", "a:b@c"):
        write_record(tmp_path, Record(task=name, began_ms=1, asked="x"))
        assert path_of(tmp_path, name).parent == tmp_path / "improve"
        found = read_record(tmp_path, name)
        assert found is not None
        assert found.task == name
