"""A real small model learns ten of a bank's intents on a CPU: useless before, right nine times in ten after."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.embedded]

DATA = Path(os.environ.get("SMALLFIRST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
LABELS, TRAIN, CALIBRATION = 10, 40, 20  # and of each label so many


def told(folder: Path, *arguments: str) -> Any:
    command = [sys.executable, "-c", "from smallfirst.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def written(folder: Path) -> list[str]:
    """Writes rows of the first ten labels, and returns these."""
    path = DATA / "banking77" / "train.jsonl"
    if not path.is_file():
        pytest.skip(f"needs {path}; SMALLFIRST_DATA says where the data are")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    labels = list(dict.fromkeys(row["label"] for row in rows))[:LABELS]
    parts: dict[str, list[str]] = {"train": [], "calibration": []}
    for label in labels:
        some = [json.dumps(row) for row in rows if row["label"] == label]
        random.Random(0).shuffle(some)
        parts["train"] += some[:TRAIN]
        parts["calibration"] += some[TRAIN : TRAIN + CALIBRATION]
    for name, lines in parts.items():
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return labels


def test_ten_intents_are_learned_from_four_hundred_examples(tmp_path: Path) -> None:
    labels = written(tmp_path)
    (tmp_path / "smallfirst.toml").write_text(
        '[storage]\npath = "state"\n[providers.local]\nkind = "embedded"\n[models.small]\nprovider = "local"\nid = "smollm2-135m"\n'
        f'[tasks.bank]\ncontract = {{ type = "label", labels = {json.dumps(labels)} }}\nladder = ["small"]\n'
    )
    told(
        tmp_path, "dataset", "import", "train=train.jsonl", "calibration=calibration.jsonl", "--task", "bank"
    )
    made = told(tmp_path, "train", "bank", "--method", "lora", "--base", "embedded:smollm2-135m")
    assert made["before"]["score"] < 0.4  # under the contract even chance is a tenth
    assert made["scores"]["score"] >= 0.90
    assert made["scores"]["valid"] == 1.0
