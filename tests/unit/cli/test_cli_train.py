"""What `smallfirst train --method lora` refuses before anything heavy is imported."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from smallfirst.cli.main import app
from smallfirst.errors import ConfigError, DatasetError

CONFIG = """
[storage]
path = "state"

[providers.local]
kind = "embedded"

[models.small]
provider = "local"
id = "smollm2-135m"

[tasks.sort]
contract = { type = "label", labels = ["bug", "how-to"] }
ladder = ["small"]
"""
BASE = ["--base", "embedded:smollm2-135m"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "smallfirst.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMALLFIRST_CONFIG", raising=False)
    return tmp_path


def error(*arguments: str) -> BaseException | None:
    return CliRunner().invoke(app, ["train", *arguments]).exception


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sort", "--method", "rank"], "--method rank is not known"),
        (["nobody", "--method", "lora", *BASE], "task 'nobody' is not known"),
        (["sort", "--method", "lora"], "--base: say what is tuned: embedded:smollm2-135m"),
        (["sort", "--method", "lora", *BASE, "--backend", "axolotl"], "--backend: 'axolotl' is not known"),
        (["sort", "--method", "lora", *BASE, "--resume", "--restart"], "give one of them"),
        (["sort", "--method", "qlora", *BASE, "--out", "."], "--out: . is there already"),
        (["sort", "--method", "qlora", *BASE, "--out", "no/adapter"], "--out: no is no folder that can be written to"),
        (["sort", "--method", "lora", *BASE, "--picture", "no/run.svg"], "--picture: no is no folder"),
        (["sort", *BASE], "--base: is for --method encoder, lora, qlora, and this is --method head"),
        (["sort", "--method", "encoder", "--dry-run"], "--dry-run: is for --method lora, qlora"),
        (["sort", "--method", "retrieval", "--epochs", "3"], "--epochs: is for --method encoder"),
        (["sort", "--method", "lora", *BASE, "--embedder", "minilm"], "--embedder: is for --method head, encoder, retrieval"),
        (["sort", "--method", "lora", *BASE, "--picture", "curve.gif"], "a picture is .png or .svg"),
        (["sort", "--method", "lora", *BASE, "--data", "rows.jsonl"], "smallfirst dataset import rows.jsonl --task sort"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_the_way_out(folder: Path, arguments: list[str], said: str) -> None:
    found = error(*arguments)
    assert isinstance(found, ConfigError)
    assert said in str(found)


@pytest.mark.parametrize("method", [[], ["--method", "retrieval"], ["--method", "lora", *BASE]])
def test_without_a_dataset_the_command_that_makes_one_is_named(folder: Path, method: list[str]) -> None:
    found = error("sort", *method)
    assert isinstance(found, DatasetError)
    assert "task 'sort' has no dataset" in str(found)
    assert "`smallfirst dataset import`" in str(found)


@pytest.mark.parametrize("missing", ["torch", "transformers", "peft"])
def test_without_the_extra_the_way_to_install_it_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == missing else real(name, *more)
    )
    found = error("sort", "--method", "lora", *BASE)
    assert isinstance(found, ConfigError)
    assert f"needs {missing}: pip install 'smallfirst[train]'" in str(found)


def test_another_tasks_dataset_is_refused(folder: Path) -> None:
    with (folder / "smallfirst.toml").open("a") as config:
        config.write(
            '\n[tasks.other]\ncontract = { type = "label", labels = ["bug", "how-to"] }\nladder = ["small"]\n'
        )
    rows: list[dict[str, Any]] = [
        {"id": f"{at}", "input": f"ticket number {at} of many", "label": ("bug", "how-to")[at % 2]}
        for at in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    made = CliRunner().invoke(app, ["dataset", "import", "rows.jsonl", "--task", "other", "--json"])
    assert made.exit_code == 0, made.output
    found = error("sort", "--method", "lora", *BASE, "--dataset", json.loads(made.stdout)["id"])
    assert isinstance(found, ConfigError)
    assert "is of task 'other', not of 'sort'" in str(found)


def test_every_option_that_is_grouped_says_which_methods_take_it() -> None:
    """A new one that is forgotten would be accepted, and not heeded, by the others."""
    import inspect

    from smallfirst.cli import train

    grouped = {
        name
        for name, one in inspect.signature(train.train).parameters.items()
        if getattr(one.default, "rich_help_panel", None)
    }
    assert grouped - {"data"} == set(train._ONLY)  # a file says itself how it is imported
