"""`smallfirst train --method lora` as a user gives it: over the tiny base, interrupted in every way, and listed in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.tickets import tickets
from support.tiny_base import tiny_base

pytestmark = pytest.mark.embedded

CONFIG = """
[storage]
path = "state"

[providers.local]
kind = "embedded"

[models.tuned]
provider = "local"
id = "{base}"
adapter = "sort"

[tasks.sort]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["tuned"]
instructions = "Sort the ticket."
"""
COMMAND = [sys.executable, "-c", "from smallfirst.cli import main; main()"]
RUN = ["--epochs", "12", "--rate", "0.01", "--rank", "4", "--batch", "4", "--batch-tokens", "256"]


def home(folder: Path) -> Path:
    """A folder with a configuration and a dataset."""
    folder.mkdir(exist_ok=True)
    (folder / "smallfirst.toml").write_text(CONFIG.format(base=tiny_base()))
    rows = [{"id": one.id, "input": one.text, "label": one.label} for one in tickets()]
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    told(folder, "dataset", "import", "rows.jsonl", "--task", "sort", "--near", "1.0", "--json")
    return folder


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def told(folder: Path, *arguments: str) -> Any:
    process = started(folder, *arguments)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    return json.loads(out)


def train(*more: str) -> list[str]:
    return ["train", "sort", "--method", "lora", "--base", str(tiny_base()), *RUN, *more]


def steps_done(folder: Path) -> int:
    """By the checkpoint; -1 where there is none."""
    found = list((folder / "state" / "training").glob("*/checkpoint.json"))
    return msgspec.json.decode(found[0].read_bytes())["position"]["step"] if found else -1


def wait_past(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 120
    while steps_done(folder) <= step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = home(tmp_path_factory.mktemp("undisturbed"))
    (held,) = (folder / "state" / "datasets").glob("*/heldout/heldout.jsonl")
    held.unlink()  # it trains all the same: nothing of it is read
    return folder, told(
        folder, *train("--json", "--out", "peft", "--picture", "run.json", "--usd-per-hour", "0.36")
    )


def test_an_adapter_comes_out_and_is_listed(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, made = undisturbed
    assert made["scores"]["score"] > 0.8 > made["before"]["score"]
    assert made["served_name"] == f"sort@{made['adapter'][:12]}"
    assert made["usd"] == pytest.approx(0.36 * made["seconds"] / 3600, rel=0.01, abs=1e-6)
    listed = told(folder, "adapters", "list", "--json")["adapters"]
    assert [one["id"] for one in listed] == [made["adapter"]]
    config = json.loads((folder / "peft" / "adapter_config.json").read_text())
    assert config["r"] == 4
    assert any("calibration_loss" in point for point in json.loads((folder / "run.json").read_text()))


def test_what_is_served_answers_as_what_was_trained(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, made = undisturbed
    deployed = told(folder, "adapters", "deploy", made["adapter"], "--to", "embedded", "--json")
    assert deployed["same"] == 1.0
    run = told(folder, "eval", "--task", "sort", "--model", "tuned", "--no-frontier", "--yes", "--json")
    assert run["arms"][0]["score"]["mean"] == pytest.approx(made["scores"]["score"], abs=0.05)


def test_killed_and_stopped_it_ends_as_if_it_had_not_been(
    undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = home(tmp_path / "disturbed")
    often = [*train(), "--checkpoint-seconds", "0"]
    process = started(folder, *often)
    wait_past(folder, 2, process)
    process.kill()
    process.communicate()
    step = steps_done(folder)

    process = started(folder, *often, "--resume")
    wait_past(folder, step + 2, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "there is a checkpoint of this run: it goes on from there" in err
    assert "the same command goes on from there" in err
    assert (
        not list((folder / "state" / "adapters").glob("*"))
        if (folder / "state" / "adapters").exists()
        else True
    )

    assert told(folder, *train("--json"))["adapter"] == undisturbed[1]["adapter"]
    assert steps_done(folder) == -1


def test_a_dry_run_estimates_and_makes_nothing(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, made = undisturbed
    said = told(folder, *train("--dry-run", "--json", "--usd-per-hour", "2", "--rank", "5"))
    estimate = said["estimate"]
    assert estimate["seconds"] > 0
    assert estimate["usd"] == pytest.approx(2 * estimate["seconds"] / 3600)
    assert 0 < estimate["memory_bytes"] < estimate["memory_free_bytes"]
    assert said["settings"]["rank"] == 5
    assert not said["goes_on"]
    listed = told(folder, "adapters", "list", "--json")["adapters"]
    assert [one["id"] for one in listed] == [made["adapter"]]


HEAVY = """
import importlib, pkgutil, sys
import smallfirst.{package} as package
for one in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(one.name)
print({{"torch", "transformers", "peft", "gguf", "llguidance"}} & set(sys.modules))
"""


@pytest.mark.parametrize("package", ["cli", "gateway", "models", "answering", "releases"])
def test_nothing_but_training_loads_the_heavy_libraries(package: str) -> None:
    """All modules of the command line and of the data plane: they start in a blink, and where the extra is not installed."""
    code = HEAVY.format(package=package)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


def test_help_loads_none_of_them_either() -> None:
    code = (
        "import sys\nfrom smallfirst.cli.main import app\n"
        "try:\n    app(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "print({'torch', 'transformers', 'peft'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
