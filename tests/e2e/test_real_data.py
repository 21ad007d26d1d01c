"""Routers, heads and the cache on real data: are they sane? The goals are measured elsewhere (`benchmarks/learning.py`, `benchmarks/cache.py`).

The data are found by SMALLFIRST_DATA, by default beside this repository.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from smallfirst.classify.language import language

DATA = Path(os.environ.get("SMALLFIRST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


def lines(name: str) -> list[str]:
    """The rows of a set, in a seeded order."""
    path = DATA / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"needs {path}; SMALLFIRST_DATA says where the data are")
    found = path.read_text("utf-8").splitlines()
    random.Random(0).shuffle(found)
    return found


def told(folder: Path, *arguments: str, **files: list[str]) -> Any:
    """A command's JSON; `files` become files of its options."""
    given = list(arguments)
    for name, rows in files.items():
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(rows) + "\n", "utf-8")
        given += [f"--{name}", str(path)]
    command = [sys.executable, "-c", "from smallfirst.cli import main; main()", *given, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_router_on_mmlu_is_better_than_chance(tmp_path: Path) -> None:
    rows = lines("routing/mmlu-1500")
    models = Counter(name for row in rows for name in json.loads(row)["outcomes"])
    frontier = max(models, key=lambda name: sum(json.loads(row)["outcomes"][name]["score"] for row in rows))
    (small,) = set(models) - {frontier}
    figures = told(
        tmp_path,
        "router",
        "eval",
        "--small",
        small,
        "--frontier",
        frontier,
        "--max-loss",
        "0.1",
        fit=rows[:1200],
        test=rows[1200:],
    )
    assert figures["apgr"] > 0.55
    assert figures["cpt50"] < 50
    assert figures["ece"] < 0.15
    assert figures["decision_us_p50"] < 5000


def test_a_head_on_banking77_tells_most_of_its_labels_apart(tmp_path: Path) -> None:
    rows = lines("banking77/train")
    figures = told(tmp_path, "head", "eval", "--embedder", "wordllama", train=rows[:800], test=rows[800:1300])
    assert figures["accuracy"] > 0.65
    assert figures["accuracy_at_80"] > figures["accuracy"] + 0.05
    assert figures["ece"] < 0.15


def test_the_cache_on_banking77_hits_within_its_bound(tmp_path: Path) -> None:
    """Not more than sanity: 1,000 answered before, 600 replayed."""
    rows = [json.loads(row) for row in lines("banking77/train")[:1600]]
    told_rows = [json.dumps(row | {"answer_class": row["label"]}) for row in rows]
    arguments = [
        "cache",
        "eval",
        "--embedder",
        "wordllama",
        "--delta",
        "0.05",
        "--methods",
        "ours,exact,fixed",
    ]
    figures = told(tmp_path, *arguments, warm=told_rows[:1000], stream=told_rows[1000:])
    ours, exact = figures[0], figures[1]
    assert (ours["method"], exact["method"]) == ("ours", "exact")
    assert ours["kept"]
    assert ours["hit_rate"] > 0.25
    assert 0 < ours["net_saved_rate"] < ours["hit_rate"]
    assert exact["hit_rate"] == 0
    assert all(
        one["hit_rate"] < ours["hit_rate"] for one in figures[2:] if one["wrong_rate"] <= ours["wrong_rate"]
    )


@pytest.mark.parametrize("name", ["banking77/train", "routing/mmlu-1500", "scitldr/train"])
def test_english_is_no_other_language(name: str) -> None:
    rows = [json.loads(row) for row in lines(name)[:2000]]
    texts = [row["input"] if "input" in row else row["messages"][-1]["content"] for row in rows]
    found = Counter(language(text) for text in texts)
    assert len(texts) - found["en"] - found[""] <= 0.001 * len(texts)
