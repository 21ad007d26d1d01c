"""A small language model tuned on a whole public data set: `python -m benchmarks.gpu.tune --task banking77 --device cuda`.

Rows that are held back by a seed are asked when it is done, by the trainer's own model under the contract: what a server makes of the adapter is
measured by `smallfirst adapters deploy` and `eval`. banking77: accuracy, also on the surest 80 %. snips: F1 of slots with exact values, and
the share that is valid. Data by SMALLFIRST_DATA (default ../shared/data); `--rows` takes fewer, for a look on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from smallfirst.config import load
from smallfirst.datasets.example import Example
from smallfirst.models.adapters.store import Adapters
from smallfirst.statistics import binomial
from smallfirst.training.lora.asked import asked_for
from smallfirst.training.lora.base import open_base
from smallfirst.training.lora.decode import Decoded, decode
from smallfirst.training.lora.device import device_of, hardware_of, precision_of
from smallfirst.training.lora.rendering import render_all

_DATA = Path(os.environ.get("SMALLFIRST_DATA", "../shared/data"))
_ANSWER_TOKENS = 160
_SURE = 0.8
Row = dict[str, Any]
console = Console(width=120, highlight=False)


def banking77() -> tuple[list[Row], dict[str, Any], str]:
    """Rows, contract, instructions."""
    rows = _read(_DATA / "banking77/train.jsonl")
    labels = sorted({row["label"] for row in rows})
    contract = {"type": "label", "labels": labels}
    return rows, contract, "Say what the customer wants, by one label."


def snips() -> tuple[list[Row], dict[str, Any], str]:
    """All seven intents; a slot's value is a text, or several."""
    files = sorted((_DATA / "snips").glob("train-*.jsonl"))
    rows = [row for file in files for row in _read(file)]
    slots = sorted({name for row in rows for name in row["fields"]})
    value = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    schema = {"type": "object", "properties": dict.fromkeys(slots, value), "additionalProperties": False}
    return (
        rows,
        {"type": "json", "schema": schema},
        "Extract the slots of the request as JSON, in its own words.",
    )


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        raise SystemExit(f"needs {path}; SMALLFIRST_DATA says where the data are")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def parts(rows: list[Row], *, held_back: int, most: int | None) -> dict[str, list[Row]]:
    """The same rows are held back whatever is trained on."""
    rows = sorted(rows, key=lambda row: row["id"])
    random.Random(0).shuffle(rows)
    rest = rows[held_back:][:most]
    calibration = min(1000, len(rest) // 10)
    return {"heldback": rows[:held_back], "calibration": rest[:calibration], "train": rest[calibration:]}


def trained(
    folder: Path, task: str, contract: dict[str, Any], instructions: str, told: argparse.Namespace
) -> dict[str, Any]:
    """The adapter's report, by the product's own commands."""
    (folder / "smallfirst.toml").write_text(
        '[storage]\npath = "state"\n[providers.up]\nbase_url = "http://127.0.0.1:9/v1"\n[models.frontier]\nprovider = "up"\n'
        f'[tasks.{task}]\nladder = ["frontier"]\ninstructions = {json.dumps(instructions)}\ncontract = {_toml(contract)}\n',
        "utf-8",
    )
    _smallfirst(
        folder, "dataset", "import", "train=train.jsonl", "calibration=calibration.jsonl", "--task", task
    )
    options = ["--method", told.method, "--base", told.base, "--device", told.device, *told.option]
    return _smallfirst(folder, "train", task, *options)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{json.dumps(name)} = {_toml(inner)}" for name, inner in value.items()) + " }"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _smallfirst(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", "from smallfirst.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=folder, check=False)  # its progress is ours
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def answers(folder: Path, task: str, rows: list[Row], told: argparse.Namespace) -> list[Decoded]:
    """What the tuned model says to each."""
    from peft import PeftModel

    config = load(folder / "smallfirst.toml")
    adapters = Adapters(folder / "state")
    adapter = adapters.open(adapters.newest(task) or "")
    base = open_base(told.base)
    device = device_of(told.device)
    model = PeftModel.from_pretrained(
        base.model(dtype=precision_of(device), device=device), str(adapter.peft)
    ).eval()
    examples = [
        Example(
            id=row["id"],
            messages=[{"role": "user", "content": row["input"]}],
            label=row.get("label"),
            fields=row.get("fields"),
        )
        for row in rows
    ]
    contract = config.tasks[task].contract
    tokenizer = base.tokenizer()
    rendered = render_all(
        examples,
        tokenizer,
        asked=asked_for(config, task),
        contract=contract,
        context_tokens=base.context_tokens,
    )
    prompts = [row.prompt for row in rendered.rows]
    batch = 128 if device.type == "cuda" else 16
    return decode(model, tokenizer, prompts, contract, max_tokens=_ANSWER_TOKENS, batch=batch)


def figures(rows: list[Row], said: list[Decoded]) -> dict[str, Any]:
    """What was right, with its interval where rows are right or wrong."""
    told: dict[str, Any] = {"rows": len(rows), "valid": sum(one.valid for one in said) / len(said)}
    if "label" in rows[0]:
        right = np.array([one.text == row["label"] for row, one in zip(rows, said, strict=True)])
        order = np.argsort([-one.logprob for one in said])
        surest = right[order[: int(_SURE * len(rows))]]
        low, high = binomial.wilson(int(right.sum()), len(right))
        return told | {
            "accuracy": float(right.mean()),
            "low": low,
            "high": high,
            "accuracy_at_80": float(surest.mean()),
        }
    found = expected = both = exact = 0
    for row, one in zip(rows, said, strict=True):
        gold, given = _slots(row["fields"]), _slots(json.loads(one.text) if one.valid else {})
        found, expected, both = found + given.total(), expected + gold.total(), both + (gold & given).total()
        exact += gold == given
    return told | {"slot_f1": 2 * both / max(1, found + expected), "exact": exact / len(rows)}


def _slots(fields: dict[str, Any]) -> Counter[tuple[str, str]]:
    return Counter(
        (name, text)
        for name, value in fields.items()
        for text in (value if isinstance(value, list) else [value])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--task", choices=("banking77", "snips"), required=True)
    parser.add_argument("--base", default="embedded:smollm2-135m")
    parser.add_argument("--method", choices=("lora", "qlora"), default="lora")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--rows", type=int, help="of the rest, at most so many are trained on and calibrated with"
    )
    parser.add_argument("--held-back", type=int, default=2000)
    parser.add_argument(
        "--option", action="append", default=[], help="of `train`: --option=--epochs --option=3"
    )
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    rows, contract, instructions = {"banking77": banking77, "snips": snips}[told.task]()
    split = parts(rows, held_back=told.held_back, most=told.rows)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name, some in split.items():
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), "utf-8")
        began = time.monotonic()
        report = trained(folder, told.task, contract, instructions, told)
        train_s = time.monotonic() - began
        found = figures(split["heldback"], answers(folder, told.task, split["heldback"], told))
    device = hardware_of(device_of(told.device))
    found |= {
        "task": told.task,
        "base": told.base,
        "train": len(split["train"]),
        "train_s": round(train_s),
        "device": device,
    }
    console.print_json(json.dumps(found))
    if told.out is not None:
        told.out.write_text(json.dumps(found | {"report": report}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
