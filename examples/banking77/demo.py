"""`make demo-banking77`: 77 intents of a bank's customers, from a file to a passing verdict.

    1  dataset      the rows of banking77's public training part, split into train, calibration and held-out
    2  improve      a label head, a router under a quality bound, a release, the gate
    3  the verdict  what the gate found, and what a thousand calls cost before and after

The rows are read where `SMALLFIRST_DATA` says (banking77/train.jsonl: {"id", "input", "label"} a line); without them there is no demo.
The frontier is simulated and answers from the same labels with a stated accuracy, so nothing here compares a head with a real frontier model.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "helpdesk"))  # what both demos start is there

from rich.console import Console  # noqa: E402
from running import show, simulator, smallfirst  # noqa: E402

TASK, STATE = "intent", Path(".smallfirst/demo-banking77")
DATA = "../shared/data"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def configuration(url: str, labels: list[str]) -> Path:
    """The example's configuration, with this run's simulator and the labels of the data."""
    text = (HERE / "template.toml").read_text("utf-8").replace("SIMULATOR", url)
    text = text.replace("LABELS", ", ".join(json.dumps(label) for label in labels)).replace(
        "TEXT", ", ".join(labels)
    )
    path = STATE / "smallfirst.toml"
    path.write_text(text + '\n[storage]\npath = "state"\n', "utf-8")
    return path


def answers_file(rows: list[dict[str, Any]]) -> Path:
    """What the simulated frontier knows."""
    path = STATE / "answers.jsonl"
    told = ({"input": row["input"], "answers": {TASK: row["label"]}} for row in rows)
    path.write_text("".join(json.dumps(one) + "\n" for one in told), "utf-8")
    return path


def main() -> int:
    console = Console()
    data = Path(os.environ.get("SMALLFIRST_DATA", DATA)) / "banking77" / "train.jsonl"
    if not data.exists():
        console.print(
            f"{data} is not there: set SMALLFIRST_DATA to the folder that holds banking77/", highlight=False
        )
        return 0
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    rows = rows_of(data)
    with simulator(answers_file(rows), state=STATE, settings=HERE / "simulator.toml") as simulated:
        config = configuration(simulated["listening"], sorted({row["label"] for row in rows}))
        console.rule("[bold]1 dataset[/]", align="left")
        show(console, config, "dataset", "import", str(data), "--task", TASK, "--split", "50/20/30")
        show(console, config, "dataset", "show", "newest", "--task", TASK)
        console.rule("[bold]2 improve[/]", align="left")
        show(console, config, "improve", TASK, "--yes", "--propose", "--concurrency", "16")
        console.rule("[bold]3 the verdict[/]", align="left")
        release = smallfirst("release", "list", "--config", str(config))["releases"][0]["id"]
        show(console, config, "gate", "show", release[:12])
    return 0


if __name__ == "__main__":
    sys.exit(main())
