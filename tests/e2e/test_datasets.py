"""Datasets as a user makes them: from a gateway's ledger and from files, by the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

ROOT = Path(__file__).parents[2]
HELPDESK = ROOT / "examples" / "helpdesk"
LABELS = ("billing", "bug", "how-to")
TASK = """
[tasks.kept]
contract = { type = "label", labels = ["billing", "bug", "how-to"] }
ladder = ["frontier"]
keep_bodies = true
redact = ["ACME-[0-9]+"]
"""

INTENTS = """
[storage]
path = "state"

[providers.p]
base_url = "http://127.0.0.1:9/v1"

[models.m]
provider = "p"

[tasks.intent]
ladder = ["m"]
contract = {{ type = "label", labels = {labels} }}
"""
DATA = Path(os.environ.get("SMALLFIRST_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that has answered forty calls, with personal data in them."""
    with SimulatorProcess() as simulator:
        folder = tmp_path_factory.mktemp("datasets")
        with GatewayProcess(folder, CONFIG.format(sim=simulator.base_url) + TASK) as gateway:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
                for at in range(40):
                    simulator.fault(match={"model": "sim-frontier"}, answer=LABELS[at % 3], times=1)
                    text = f"Call {at} about {at * 7919} things, I am user{at}@x.example, customer ACME-{at}"
                    stream = client.chat.completions.create(
                        model="task/kept",
                        messages=[{"role": "user", "content": text}],
                        stream=at % 2 == 1,
                        extra_headers={"x-smallfirst-conversation": f"c-{at // 2}"},
                    )
                    if at % 2:
                        assert (
                            "".join(chunk.choices[0].delta.content or "" for chunk in stream)
                            == LABELS[at % 3]
                        )
            assert gateway.stop() == 0
            yield gateway


def test_a_dataset_is_made_of_what_was_served(served: GatewayProcess) -> None:
    made = served.cli("dataset", "build", "--task", "kept", "--note", "first")
    manifest = made["manifest"]
    rows = {part: one["rows"] for part, one in manifest["parts"].items()}
    assert sum(rows.values()) == 40
    assert rows == {"train": 24, "calibration": 8, "heldout": 8}
    assert manifest["parts"]["train"]["groups"] == 12  # conversations of two
    assert manifest["redacted"] == {"EMAIL": 40}
    assert manifest["parts"]["train"]["references_by"] == {"model:frontier": 24}
    folder = served.state / "datasets" / made["id"]
    stored = b"".join(path.read_bytes() for path in folder.rglob("*.jsonl"))
    assert b"@x.example" not in stored
    assert b"ACME-" not in stored
    assert b"<EMAIL_1>" in stored
    again = served.cli("dataset", "build", "--task", "kept", "--parent", "none")
    assert (again["id"], again["new"]) == (made["id"], False)
    (listed,) = served.cli("dataset", "list")
    assert (listed["id"], listed["made"]["note"], listed["erased_calls"]) == (made["id"], "first", 0)


def test_erased_calls_are_told_of(served: GatewayProcess) -> None:
    made = served.cli("dataset", "build", "--task", "kept")
    oldest = min(call["id"] for call in served.calls())
    done = served.run("calls", "erase", "--call", oldest, "--yes", "--config", str(served.path))
    assert done.returncode == 0, done.stderr
    listed = {one["id"]: one["erased_calls"] for one in served.cli("dataset", "list")}
    assert listed[made["id"]] == 1
    shown = served.run("dataset", "list", "--config", str(served.path)).stdout
    assert "Build them again" in " ".join(shown.split())
    later = served.cli("dataset", "build", "--task", "kept")
    assert sum(part["rows"] for part in later["manifest"]["parts"].values()) == 39
    for name in listed:
        assert (
            served.run("dataset", "remove", name[:16], "--yes", "--config", str(served.path)).returncode == 0
        )
    assert [one["erased_calls"] for one in served.cli("dataset", "list")] == [0]


def test_why_nothing_can_be_made(served: GatewayProcess) -> None:
    done = served.run("dataset", "build", "--task", "triage", "--config", str(served.path))
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert "no recorded call of task 'triage' fits. Set tasks.triage.keep_bodies = true" in told
    done = served.run("dataset", "build", "--task", "none", "--config", str(served.path))
    assert "task 'none' is not known (tasks: triage" in " ".join(done.stderr.split())


def test_the_tickets_of_the_demo(tmp_path: Path) -> None:
    process = GatewayProcess(tmp_path, (HELPDESK / "smallfirst.toml").read_text("utf-8"))
    files = [f"{split}={HELPDESK / split}.jsonl" for split in ("train", "calibration", "heldout")]
    made = process.cli(
        "dataset",
        "import",
        *files,
        "--task",
        "ticket-triage",
        "--reference",
        "category",
        "--slice",
        "channel",
    )
    parts = made["manifest"]["parts"]
    assert parts["heldout"]["rows"] == 500
    assert sum(part["rows"] for part in parts.values()) == 1709  # one ticket stands twice
    assert set(parts["heldout"]["slices"]["channel"]) == {"chat", "email", "form", "phone"}
    name = made["id"][:12]
    picture, out = tmp_path / "picture.svg", tmp_path / "out.jsonl"
    shown = process.cli("dataset", "show", name, "--picture", str(picture))
    assert shown["manifest"] == made["manifest"]
    assert picture.read_text("utf-8").startswith("<svg")
    done = process.cli("dataset", "export", name, "--format", "openai", "--out", str(out))
    assert (done["rows"], len(out.read_text("utf-8").splitlines())) == (parts["train"]["rows"],) * 2
    refused = process.run(
        "dataset", "export", name, "--split", "heldout", "--out", str(out), "--config", str(process.path)
    )
    assert refused.returncode == 1
    assert "read by `smallfirst gate` alone" in " ".join(refused.stderr.split())
    text = process.run("dataset", "show", name, "--config", str(process.path)).stdout
    held = [json.loads(line) for line in (HELPDESK / "heldout.jsonl").read_text("utf-8").splitlines()]
    assert not any(row["id"] in text for row in held)
    refused = process.run("dataset", "show", name, "--example", held[0]["id"], "--config", str(process.path))
    assert "held-out examples are not shown" in " ".join(refused.stderr.split())
    head = process.cli("train", "ticket-triage", "--dataset", "newest", "--embedder", "wordllama")
    assert (head["dataset"], head["examples"]) == (made["id"], parts["train"]["rows"])


def test_public_intents_are_put_apart(tmp_path: Path) -> None:
    """77 intents, each in its share in every part."""
    path = DATA / "banking77" / "train.jsonl"
    if not path.exists():
        pytest.skip(f"needs {path}; SMALLFIRST_DATA says where the data are")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    labels = json.dumps(sorted({row["label"] for row in rows}))
    process = GatewayProcess(tmp_path, INTENTS.format(labels=labels))
    parts = process.cli("dataset", "import", str(path), "--task", "intent")["manifest"]["parts"]
    assert all(len(part["labels"]) == 77 for part in parts.values())
    total = sum(part["rows"] for part in parts.values())
    assert parts["heldout"]["rows"] == pytest.approx(0.2 * total, rel=0.02)
