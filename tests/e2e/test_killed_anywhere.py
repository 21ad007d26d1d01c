"""kill -9 at every place where `improve`, `eval`, `promote` and `rollback` change the disk: the same command goes on or begins anew, no answer that
was paid for is lost, and one release is live.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dying import deaths
from support.gateway import GatewayProcess
from support.simulator import SimulatorProcess
from support.sorted_tickets import FRONTIER, HEAD, MARKER, TASK
from support.tickets import SAID
from support.verdicts import prove

from smallfirst.config import load
from smallfirst.evals.store import Runs
from smallfirst.improve.record import STEPS, read_record
from smallfirst.ledger import Ledger
from smallfirst.releases import (
    BASELINE,
    Live,
    Releases,
    Verdicts,
    load_serving,
    read_channels,
    release_from_config,
)

CONFIG = (
    FRONTIER
    + HEAD
    + """
[models.mini]
provider = "sim"
id = "sim-frontier-mini"
"""
    + TASK
    + """
margin = 0.1
ladder = ["SMALL", "frontier"]
"""
)
PARTS = {"train": 90, "calibration": 90, "heldout": 150}


def row(at: int) -> dict[str, str]:
    label = list(SAID)[at % 3]
    return {"id": f"t-{at}", "input": f"{SAID[label][at // 3 % 3]}, case {at}", "label": label}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder = tmp_path_factory.mktemp("answers")
    rows = [row(at) for at in range(sum(PARTS.values()))]
    known = [{"input": one["input"], "answers": {"triage": one["label"]}} for one in rows]
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(one) for one in known))
    (folder / "tasks.toml").write_text(f'[tasks.triage]\nmarker = "{MARKER}"\n')
    with SimulatorProcess({"answers": folder / "answers.jsonl", "tasks": folder / "tasks.toml"}) as process:
        yield process


def home_of(sim: SimulatorProcess, folder: Path, small: str) -> GatewayProcess:
    """A configuration and a dataset made of files; no gateway runs."""
    sim.reset()
    home = GatewayProcess(folder, CONFIG.format(sim=sim.base_url).replace("SMALL", small))
    files, first = [], 0
    for part, count in PARTS.items():
        path = folder / f"{part}.jsonl"
        path.write_text("\n".join(json.dumps(row(at)) for at in range(first, first + count)))
        files.append(f"{part}={path}")
        first += count
    home.cli("dataset", "import", *files, "--task", "triage", "--near", "2", "--same", "2")
    return home


def asked(sim: SimulatorProcess) -> Counter[tuple[str, str]]:
    """How often each model was asked each text."""
    found: Counter[tuple[str, str]] = Counter()
    for request in sim.requests(detail=True)["requests"]:
        body = request["body"]
        body = json.loads(body) if isinstance(body, str) else body
        found[body["model"], body["messages"][-1]["content"]] += 1
    return found


def sound(home: GatewayProcess) -> Live:
    """What is live. First every release and every verdict is read: nothing half written lies under its name."""
    releases, verdicts = Releases(home.state), Verdicts(home.state)
    for listed in releases.list():
        releases.load(listed.id)
        for verdict in verdicts.ids(listed.id):
            verdicts.load(listed.id, verdict)
    live = read_channels(home.state).live
    load_serving(live, state=home.state, config=load(home.path))
    return live


def test_improve(sim: SimulatorProcess, tmp_path: Path) -> None:
    home = home_of(sim, tmp_path, "sorter")
    home.environ["SMALLFIRST_CACHE"] = str(tmp_path / "cache")  # no MiniLM: it is slow to open in each fork
    warm = (
        "import sklearn.linear_model, smallfirst.improve.improver\n"
        "from smallfirst.classify.embedders import open_embedder\n"
        "open_embedder('wordllama')"
    )
    command = ("improve", "triage", "--yes", "--json", "--canary", "5%,25%,100%")
    died = []
    for place in deaths(home, *command, opening=False, warm=warm):
        died.append(place)
        assert sound(home).release == BASELINE
    for folder in ("artifacts", "evals", "releases", "gates", "verdicts", "channels.json"):
        assert any(f"/{folder}" in place for place in died)
    assert sum("/improve/triage.json" in place for place in died) > len(STEPS)

    record = read_record(home.state, "triage")
    assert record is not None
    assert (record.end, list(record.steps)) == ("canary", list(STEPS))
    canary = read_channels(home.state).canary
    assert canary is not None
    assert canary.release == record.steps["release"].told["release"]
    with Ledger.read(home.state) as ledger:
        assert len(ledger.queries.events(kind="heldout-read")) == 1
    # The head costs nothing. The frontier is asked each example of two parts once: the gate takes over what the router was fitted on.
    assert set(asked(sim).values()) == {1}
    assert sum(asked(sim).values()) == PARTS["calibration"] + PARTS["heldout"]


def test_eval(sim: SimulatorProcess, tmp_path: Path) -> None:
    home = home_of(sim, tmp_path, "mini")
    command = ("eval", "--task", "triage", "--model", "mini", "--yes", "--json")
    died = list(deaths(home, *command, warm="import smallfirst.evals.session"))
    for name in ("run.json", "examples.jsonl", "answers.jsonl", "finished"):
        assert any(f"/{name}" in place for place in died)
    assert sum("answers" in place for place in died) == 1
    assert set(asked(sim).values()) == {1}
    assert sum(asked(sim).values()) == 2 * PARTS["calibration"]
    finished = [run for run in Runs(home.state).list() if run.finished]
    assert len(finished) == 1
    assert len(finished[0].read()) == 2 * PARTS["calibration"]


@pytest.mark.parametrize("stages", [(), ("--canary", "5%,100%")])
def test_promote_and_rollback(tmp_path: Path, stages: tuple[str, ...]) -> None:
    home = GatewayProcess(tmp_path, CONFIG.format(sim="http://127.0.0.1:9").replace("SMALL", "mini"))
    config = load(home.path)
    name, _ = Releases(home.state).save(release_from_config(config))
    prove(name, home.state, config)
    for command, before, after in (
        (("release", "promote", name, *stages), {BASELINE}, name),
        (("release", "rollback"), {name}, BASELINE),
    ):
        died, seen = [], []
        for place in deaths(home, *command):
            died.append(place)
            live, canary = sound(home), read_channels(home.state).canary
            seen.append(canary.release if canary else live.release)
        assert any("rename /channels.json" in place for place in died)
        written = next(at for at, place in enumerate(died) if "rename /channels.json" in place)
        assert set(seen[: written + 1]) == before  # killed before it was renamed: nothing has happened
        channels = read_channels(home.state)
        assert (channels.canary.release if channels.canary else channels.live.release) == after
