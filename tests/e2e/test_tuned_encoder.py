"""A head over a tuned encoder, by the command line, released and served: the release carries its encoder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from support.gateway import CONFIG, GatewayProcess
from support.simulator import SimulatorProcess
from support.tiny_encoder import tiny_encoder

HEADS = """
[providers.heads]
kind = "head"

[models.triage-head]
provider = "heads"
id = "sort"

[tasks.sort]
contract = { type = "label", labels = ["billing", "bug", "how-to"] }
ladder = ["triage-head", "frontier"]
"""
SAID = {
    "billing": ["I was charged twice on my invoice", "Please refund my payment", "Wrong bill"],
    "bug": ["The page crash error", "The page blank", "Export fails"],
    "how-to": ["How invite a colleague", "Where change my password", "How add filter"],
}
THINGS = ["again", "today", "team", "please", "on the"]
SETTINGS = ("--method", "encoder", "--embedder", "wordllama")


@pytest.fixture(scope="module")
def untouched(_simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> GatewayProcess:
    """A gateway that is not started, and examples and an encoder beside it."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gateway"), CONFIG.format(sim=_simulator.base_url) + HEADS
    )
    tiny_encoder(gateway.folder / "tiny")
    rows = [
        {"id": f"{label}-{sentence}-{thing}", "input": f"{sentence} {thing}", "label": label}
        for label, sentences in SAID.items()
        for sentence in sentences
        for thing in THINGS
    ]
    write(gateway.folder / "examples.jsonl", rows)
    return gateway


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def command(gateway: GatewayProcess, *further: str) -> list[str]:
    folder = gateway.folder
    data, base = str(folder / "examples.jsonl"), str(folder / "tiny")
    return ["train", "sort", *SETTINGS, "--data", data, "--base", base, *further]


@pytest.fixture(scope="module")
def trained(untouched: GatewayProcess) -> dict[str, object]:
    outcomes = untouched.folder / "outcomes.jsonl"
    return untouched.cli(*command(untouched, "--epochs", "2", "--outcomes", str(outcomes)))


@pytest.fixture(scope="module")
def gateway(untouched: GatewayProcess, trained: dict[str, object]) -> Iterator[GatewayProcess]:
    (untouched.folder / "tiny" / "model.safetensors").unlink()  # nothing is read of it again
    with untouched as process:
        yield process


def test_the_command_says_what_it_made(untouched: GatewayProcess, trained: dict[str, object]) -> None:
    assert (trained["labels"], trained["examples"], trained["epochs"]) == (3, 45, 2)
    assert trained["embedders"] == ["wordllama", "tuned"]
    lines = (untouched.folder / "outcomes.jsonl").read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    right = sum(row["outcomes"]["triage-head"]["score"] for row in rows)
    assert right / len(rows) == pytest.approx(trained["accuracy"])
    listed = untouched.cli("head", "list")
    assert listed[0]["sha256"] == trained["head"]


def test_it_answers_over_the_wire_without_the_base_that_it_was_tuned_from(client: openai.OpenAI) -> None:
    response = client.chat.completions.create(
        model="triage-head", messages=[{"role": "user", "content": "Please refund my payment today"}]
    )
    assert response.choices[0].message.content == "billing"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"input": "a", "label": "bug"}, {"input": "b", "label": "bug"}], "have 1 different labels"),
        ([{"input": "a", "label": "sales"}], "label: 'sales' is not one of the task's 3 labels"),
        ([], "has no rows|is empty"),
    ],
)
def test_examples_that_train_nothing_say_why(
    untouched: GatewayProcess, tmp_path: Path, rows: list[dict[str, str]], message: str
) -> None:
    write(tmp_path / "rows.jsonl", rows)
    config = ("--config", str(untouched.folder / "smallfirst.toml"))
    done = untouched.run("train", "sort", *SETTINGS, *config, "--data", str(tmp_path / "rows.jsonl"))
    assert done.returncode == 1
    assert re.search(message, done.stderr)
