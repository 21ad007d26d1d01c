"""`smallfirst router`, `head` and `train` as processes: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.gateway import CONFIG, GatewayProcess
from support.populations import population
from support.tickets import tickets

from smallfirst.training.outcomes import OutcomeRow

ROUTER_FIGURES = {
    *(
        "apgr",
        "cpt50",
        "cpt80",
        "apgr_full",
        "cpt50_full",
        "cpt80_full",
        "pgr20",
        "auroc",
        "brier",
        "ece",
        "oracle_apgr",
    ),
    *("random_apgr", "small_share", "loss", "loss_bound", "decision_us_p50", "decision_us_p99"),
}
HEAD_FIGURES = {
    *("accuracy", "macro_f1", "accuracy_at_80", "accuracy_at_90", "ece", "oos_auroc", "oos_recall_at_95"),
    *("predict_us_p50", "predict_us_p99", "fit_s"),
}
LADDER = ("--small", "model-0", "--frontier", "model-1")


class Commands(GatewayProcess):
    """A folder with a configuration, outcome and label files; nothing runs."""

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def write(self, name: str, rows: list[Any]) -> str:
        text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
        (self.folder / name).write_text(text, "utf-8")
        return self.file(name)

    def told(self, *arguments: str) -> Any:
        """A command's JSON."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return json.loads(done.stdout)


def rows_of(rungs: int, size: int) -> list[Any]:
    return [msgspec.to_builtins(row) for row in population(rungs=rungs, graded=False, size=size).rows]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    made = Commands(tmp_path_factory.mktemp("commands"), CONFIG.format(sim="http://127.0.0.1:9"))
    rows = rows_of(2, 300)
    made.write("fit.jsonl", rows[:150])
    made.write("test.jsonl", rows[150:])
    asked = [{"id": row["id"], "messages": [{"role": "user", "content": row["input"]}]} for row in rows[150:]]
    made.write("prompts.jsonl", asked)
    labels = [{"id": row.id, "input": row.text, "label": row.label} for row in tickets(elsewhere=True)]
    random.Random(0).shuffle(labels)
    made.write("labels.jsonl", labels[:70])
    made.write("others.jsonl", labels[70:])
    made.write("texts.jsonl", [{"id": row["id"], "input": row["input"]} for row in labels[70:]])
    return made


def columns(path: str) -> tuple[list[str], list[dict[str, str]]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or ()), list(reader)


def test_router_eval_prints_every_figure_and_writes_the_curve(commands: Commands) -> None:
    out = commands.folder / "new" / "curve"
    told = commands.told(
        "router", "eval", "--fit", commands.file("fit.jsonl"), "--test", commands.file("test.jsonl"), *LADDER,
        "--max-loss", "0.1", "--out", str(out),
    )  # fmt: skip
    assert set(told) >= ROUTER_FIGURES
    assert all(math.isfinite(told[name]) for name in ROUTER_FIGURES)
    assert 0.4 < told["random_apgr"] < 0.6
    assert told["apgr"] > told["random_apgr"]
    assert told["oracle_apgr"] >= told["apgr"]
    assert 0 < told["decision_us_p50"] <= told["decision_us_p99"]
    assert 0 <= told["small_share"] <= 1
    assert told["loss_bound"] <= 0.1
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "<svg" in (out / "curve.svg").read_text("utf-8")
    names, points = columns(str(out / "curve.csv"))
    assert names == ["frontier_share", "quality", "threshold"]
    assert (float(points[0]["frontier_share"]), float(points[-1]["frontier_share"])) == (0, 1)
    assert json.loads((out / "figures.json").read_bytes()) == told


def test_router_score_needs_nothing_but_messages(commands: Commands) -> None:
    out = commands.file("scores.csv")
    arguments = ("router", "score", "--fit", commands.file("fit.jsonl"), *LADDER)
    assert commands.told(*arguments, "--test", commands.file("prompts.jsonl"), "--out", out) == {
        "rows": 150,
        "out": out,
    }
    names, scores = columns(out)
    assert names == ["id", "p_small", "p_frontier", "score"]
    assert [row["id"] for row in scores] == [f"p{at}" for at in range(150, 300)]
    assert all(0 <= float(row[name]) <= 1 for row in scores for name in ("p_small", "p_frontier"))
    assert all(-1.5 < float(row["score"]) < 1.5 for row in scores)
    assert len({row["score"] for row in scores}) > 100

    rows = [json.loads(line) for line in Path(commands.file("test.jsonl")).read_text().splitlines()]
    shuffled = random.Random(1).sample(rows, len(rows))
    swapped = [
        row | {"outcomes": other["outcomes"], "intent": "x"}
        for row, other in zip(rows, shuffled, strict=True)
    ]
    again = commands.file("again.csv")
    commands.told(*arguments, "--test", commands.write("swapped.jsonl", swapped), "--out", again)
    assert Path(again).read_bytes() == Path(out).read_bytes(), "outcomes of the test rows are not looked at"


def test_a_higher_score_is_more_reason_for_the_frontier(commands: Commands) -> None:
    out = commands.file("own.csv")
    commands.told(
        "router",
        "score",
        "--fit",
        commands.file("fit.jsonl"),
        "--test",
        commands.file("test.jsonl"),
        *LADDER,
        "--out",
        out,
    )
    _, scores = columns(out)
    rows = [
        OutcomeRow(**json.loads(line)) for line in Path(commands.file("test.jsonl")).read_text().splitlines()
    ]
    gained = [row.outcomes["model-1"]["score"] - row.outcomes["model-0"]["score"] for row in rows]  # type: ignore[index]
    ranked = [gain for _, gain in sorted(zip((float(row["score"]) for row in scores), gained, strict=True))]
    assert sum(ranked[75:]) > sum(ranked[:75])


def test_router_fit_is_kept_and_listed(commands: Commands) -> None:
    arguments = (
        "router",
        "fit",
        "--task",
        "demo",
        "--outcomes",
        commands.file("fit.jsonl"),
        "--ladder",
        "model-0, model-1",
    )
    first = commands.cli(*arguments, "--max-loss", "0.15", "--note", "a test")
    assert (first["task"], first["ladder"], first["examples"]) == ("demo", ["model-0", "model-1"], 150)
    assert first["train"] + first["calibration"] == 150
    assert first["kept"]
    assert first["loss_bound"] <= first["margin"] == 0.15
    share = commands.cli(*arguments, "--budget-share", "0.5")
    assert not share["kept"]
    assert share["router"] != first["router"]
    listed = commands.cli("router", "list")
    assert [one["sha256"] for one in listed] == [share["router"], first["router"]]
    assert listed[1]["described"]["report"]["ladder"] == ["model-0", "model-1"]
    shown = commands.run("router", "list", "--config", str(commands.path))
    assert first["router"][:12] in shown.stdout
    folder = commands.state / "artifacts"
    assert {path.stem for path in folder.iterdir()} >= {first["router"], share["router"]}


def test_router_fit_says_in_words_why_nothing_stays_small(commands: Commands) -> None:
    rows = [json.loads(line) for line in Path(commands.file("fit.jsonl")).read_text().splitlines()]
    sides = commands.write("train-only.jsonl", [row | {"split": "train"} for row in rows])
    for file, said in (
        (commands.file("fit.jsonl"), "more examples like these would"),
        (sides, "no rows are left to show anything on"),
    ):
        ladder = ("--ladder", "model-0,model-1", "--max-loss", "0.02", "--config", str(commands.path))
        done = commands.run("router", "fit", "--task", "few", "--outcomes", file, *ladder)
        assert done.returncode == 0
        shown = " ".join(done.stdout.split())
        assert "everything goes to the frontier" in shown
        assert said in shown


def test_head_eval_prints_every_figure_and_writes_the_curve(commands: Commands) -> None:
    out = commands.folder / "head"
    files = ("--train", commands.file("labels.jsonl"), "--test", commands.file("others.jsonl"))
    told = commands.told("head", "eval", *files, "--embedder", "wordllama", "--out", str(out))
    assert set(told) >= HEAD_FIGURES
    assert all(math.isfinite(told[name]) for name in HEAD_FIGURES)
    assert told["accuracy"] > 0.7
    assert told["accuracy_at_80"] >= told["accuracy_at_90"] >= told["accuracy"]
    assert told["oos_auroc"] > 0.8
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "<svg" in (out / "curve.svg").read_text("utf-8")
    assert json.loads((out / "figures.json").read_bytes()) == told


def test_head_eval_without_rows_out_of_scope_has_no_such_figures(commands: Commands) -> None:
    rows = [json.loads(line) for line in Path(commands.file("others.jsonl")).read_text().splitlines()]
    inside = commands.write("inside.jsonl", [row for row in rows if row["label"] != "oos"])
    told = commands.told(
        "head", "eval", "--train", commands.file("labels.jsonl"), "--test", inside, "--embedder", "wordllama"
    )
    assert told["oos_auroc"] is None
    assert told["oos_recall_at_95"] is None


def test_head_predict_needs_no_labels(commands: Commands) -> None:
    arguments = ("head", "predict", "--train", commands.file("labels.jsonl"), "--embedder", "wordllama")
    out, again = commands.file("preds.csv"), commands.file("preds2.csv")
    assert commands.told(*arguments, "--test", commands.file("texts.jsonl"), "--out", out)["rows"] == 21
    commands.told(*arguments, "--test", commands.file("others.jsonl"), "--out", again)
    assert Path(out).read_bytes() == Path(again).read_bytes(), "labels of the test rows are not looked at"
    names, found = columns(out)
    assert names == ["id", "label", "confidence", "oos_score"]
    assert {row["label"] for row in found} <= {"billing", "bug", "how-to", "oos"}
    assert all(0 <= float(row[name]) <= 1 for row in found for name in ("confidence", "oos_score"))


def test_a_head_is_trained_listed_and_its_outcomes_fit_a_router(commands: Commands) -> None:
    rows = commands.file("head-outcomes.jsonl")
    told = commands.cli(
        "train",
        "triage",
        "--data",
        commands.file("labels.jsonl"),
        "--embedder",
        "wordllama",
        "--outcomes",
        rows,
        "--note",
        "n",
    )
    assert (told["task"], told["labels"], told["examples"]) == ("triage", 3, 70)
    assert 0.7 < told["accuracy"] <= 1
    (listed,) = commands.cli("head", "list")
    assert (listed["sha256"], listed["described"]["note"]) == (told["head"], "n")
    written = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    assert len(written) == 70
    assert {row["split"] for row in written} == {"train"}
    assert all(row["outcomes"]["head"]["score"] in (0.0, 1.0) for row in written)


def refused(commands: Commands, *arguments: str) -> str:
    """What a command says that ends with 1: one clear line on stderr, nothing on stdout, no traceback."""
    done = commands.run(*arguments)
    assert done.returncode == 1, done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


FIT = ("router", "fit", "--task", "demo")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*FIT, "--outcomes", "gone.jsonl"), "gone.jsonl cannot be read: No such file"),
        ((*FIT, "--outcomes", "bad.jsonl"), "bad.jsonl, line 2: "),
        ((*FIT, "--outcomes", "few.jsonl", "--ladder", "model-0,huge"), "line 1: outcomes.huge: required, but missing"),
        ((*FIT, "--outcomes", "few.jsonl", "--max-loss", "0.1", "--budget-share", "0.2"), "exclude one another"),
        ((*FIT, "--outcomes", "fit.jsonl", "--embedder", "word2vec"), "embedder 'word2vec' is not known (known: wordllama, "),
        ((*FIT, "--outcomes", "fit.jsonl", "--binary"), "a loss is neither 0 nor 1"),
        (("router", "fit", "--task", "triage", "--outcomes", "fit.jsonl"), "line 1: outcomes.mini: required, but missing"),
        (("router", "score", *LADDER, "--fit", "fit.jsonl", "--test", "prompts.jsonl", "--out", "fit.jsonl/x.csv"), "x.csv"),
        (("train", "nobody", "--data", "labels.jsonl"), "task 'nobody' is not known (tasks: "),
        (("train", "triage", "--data", "strange.jsonl"), "line 1: label: 'strange' is not one of the task's 3 labels"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(commands: Commands, arguments: tuple[str, ...], said: str) -> None:
    rows = [json.loads(line) for line in Path(commands.file("fit.jsonl")).read_text().splitlines()]
    commands.write("bad.jsonl", [rows[0], "{\n"])
    commands.write("few.jsonl", rows[:10])
    commands.write("strange.jsonl", [{"input": "x", "label": "strange"}])
    given = [commands.file(one) if one.endswith((".jsonl", ".csv")) else one for one in arguments]
    if arguments[0] in ("router", "train"):
        given += ["--config", str(commands.path)]
    assert said in refused(commands, *given)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("head", "eval", "--train", "labels.jsonl", "--test", "texts.jsonl"), "texts.jsonl, line 1: label: required, but missing"),
        (("head", "eval", "--train", "labels.jsonl", "--test", "others.jsonl", "--embedder", "word2vec"), "is not known (known: wordllama"),
        (("head", "predict", "--train", "one.jsonl", "--test", "texts.jsonl", "--out", "x.csv"), "a head tells at least two apart"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_head_too(commands: Commands, arguments: tuple[str, ...], said: str) -> None:
    commands.write("one.jsonl", [{"input": f"x{at}", "label": "bug"} for at in range(4)])
    given = [commands.file(one) if one.endswith((".jsonl", ".csv")) else one for one in arguments]
    assert said in refused(commands, *given)


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_ctrl_c_during_a_fit_ends_with_130_and_leaves_nothing(tmp_path: Path, seconds: float) -> None:
    """The rows come through a pipe, so that the moment of the interruption is known: while they are read, and while figures are fitted."""
    commands = Commands(tmp_path, CONFIG.format(sim="http://127.0.0.1:9"))
    pipe = tmp_path / "rows.jsonl"
    os.mkfifo(pipe)
    text = "".join(json.dumps(row) + "\n" for row in rows_of(3, 1500))
    arguments = (
        "router",
        "fit",
        "--task",
        "demo",
        "--outcomes",
        str(pipe),
        "--ladder",
        "model-0,model-1,model-2",
    )
    process = subprocess.Popen(
        commands.command(*arguments, "--config", str(commands.path)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=commands.environ,
    )  # fmt: skip
    with pipe.open("w") as file:
        if seconds:
            writer = threading.Thread(target=lambda: (file.write(text), file.close()))
            writer.start()
            writer.join(20)
            time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert not stdout
    assert not list(commands.state.glob("artifacts/*"))
