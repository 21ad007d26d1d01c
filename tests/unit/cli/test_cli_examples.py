"""`smallfirst train --method retrieval` and `smallfirst examples`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.datasets import make, row
from support.examples import SAID
from typer.testing import CliRunner

from smallfirst.cli.main import app
from smallfirst.datasets.manifest import Rule
from smallfirst.errors import ConfigError, DatasetError, ReleaseError, SmallfirstError

CONFIG = """
[storage]
path = "state"

[providers.p]
base_url = "http://127.0.0.1:1/v1"

[models.small]
provider = "p"

[tasks.triage]
contract = { type = "label", labels = ["billing", "bug", "how-to"] }
ladder = ["small"]

[tasks.other]
ladder = ["small"]
"""


def run(home: Path, *arguments: str) -> str:
    """What a command prints; its error is raised, as it is for `cli.main`."""
    result = CliRunner().invoke(
        app, [*arguments, "--config", str(home / "smallfirst.toml")], env={"COLUMNS": "200"}
    )
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "smallfirst.toml").write_text(CONFIG, "utf-8")
    return tmp_path


@pytest.fixture
def made(home: Path) -> Any:
    rows = [row(text, label) for label, texts in SAID.items() for text in texts]
    make(home / "state", rows, rule=Rule(ratios=(0.98, 0.01, 0.01), near=2.0))
    return json.loads(run(home, "train", "triage", "--method", "retrieval", "--note", "[first]", "--json"))


def test_an_index_is_made_listed_looked_into_and_erased_from(home: Path, made: Any) -> None:
    assert made["examples"] >= 7
    assert made["nearest_same_answer"] is not None
    assert run(home, "train", "triage", "--method", "retrieval").startswith("index ")
    listed = run(home, "examples", "list")
    assert made["index"][:12] in listed
    assert "[first]" in listed
    shown = json.loads(run(home, "examples", "show", made["index"], "--json"))
    first, second = shown["examples"][:2]
    assert first["question"] in run(home, "examples", "show", made["index"][:12])
    told = json.loads(run(home, "examples", "erase", made["index"], "--id", first["id"], "--yes", "--json"))
    assert told["erased"] == 1
    left = json.loads(run(home, "examples", "show", made["index"], "--json"))
    assert left["erased"] == 1
    assert left["examples"][0] == second
    with pytest.raises(ReleaseError, match=f"has no example '{first['id']}', so nothing was erased"):
        run(home, "examples", "erase", made["index"], "--id", second["id"], "--id", first["id"], "--yes")
    assert json.loads(run(home, "examples", "show", made["index"], "--json"))["erased"] == 1


def test_nothing_is_erased_unasked(home: Path, made: Any) -> None:
    refused = CliRunner().invoke(
        app,
        ["examples", "erase", made["index"], "--id", "x", "-c", str(home / "smallfirst.toml")],
        input="n\n",
    )
    assert refused.exit_code == 1


def test_nothing_yet_says_which_command_makes_one(home: Path) -> None:
    assert run(home, "examples", "list") == ""
    listed = CliRunner().invoke(app, ["examples", "list", "--config", str(home / "smallfirst.toml")])
    assert "`smallfirst train TASK --method retrieval` makes one" in listed.stderr
    with pytest.raises(DatasetError, match="task 'triage' has no dataset; `smallfirst dataset build`"):
        run(home, "train", "triage", "--method", "retrieval")


def test_what_cannot_be_made_says_why(home: Path, made: Any) -> None:
    for arguments, said in (
        (("--embedder", "wordlama"), "embedder 'wordlama' is not known"),
        (("--embedder", "wordllama", "--embedder", "minilm"), "--embedder: an index has one embedder"),
        (("--embedder", "model:gone"), "model 'gone' is not in"),
        (("--data", "rows.jsonl"), "smallfirst dataset import rows.jsonl --task triage"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(home, "train", "triage", "--method", "retrieval", *arguments)
    with pytest.raises(ConfigError, match="is of task 'triage', not of 'other'"):
        run(home, "train", "other", "--method", "retrieval", "--dataset", made["dataset"])
