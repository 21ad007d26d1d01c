"""`smallfirst cache eval`, as a user meets it."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.ledger import attempt, bodies, call, settlement
from typer.testing import CliRunner

from smallfirst.cli.cache import app
from smallfirst.cli.interrupt import interruptible
from smallfirst.errors import ConfigError, SmallfirstError
from smallfirst.ledger.ledger import Ledger

SAID = {
    "billing": ["I was charged twice", "my invoice is wrong", "please refund my payment"],
    "bug": ["the app crashes", "the page stays blank", "the export fails"],
    "how-to": ["how do I invite a colleague", "where do I change my password", "how can I add a filter"],
}
WHEN = [
    "today",
    "again",
    "since Monday",
    "on my phone",
    "in the office",
    "for my team",
    "this morning",
    "at night",
]
FIELDS = {
    "method", "delta", "hit_rate", "wrong_rate", "wrong_rate_low", "wrong_rate_high", "lookup_us_p50", "lookup_us_p99",
}  # fmt: skip


def stream(path: Path, *, times: int = 1) -> Path:
    rows = [
        {"id": f"{label}-{at}-{when}-{time}", "input": f"{text} {when}", "answer_class": label}
        for time in range(times)
        for when in WHEN
        for label, texts in SAID.items()
        for at, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def run(*arguments: object) -> str:
    """With wordllama, which is quick, where the arguments name no other embedder."""
    words = ["eval", "--embedder", "wordllama", *map(str, arguments)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "150"})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_json_is_a_list_with_a_row_for_each_method_and_setting(tmp_path: Path) -> None:
    told = json.loads(run("--stream", stream(tmp_path / "s.jsonl"), "--delta", "0.05,0.2", "--json"))
    assert all(row.keys() >= FIELDS for row in told)
    kinds = [(row["method"], row["delta"]) for row in told]
    assert kinds[:3] == [("ours", 0.05), ("ours", 0.2), ("exact", None)]
    assert [row["threshold"] for row in told if row["method"] == "fixed"] == [
        round(0.8 + i / 100, 2) for i in range(19)
    ]
    assert kinds[-2:] == [("vcache", 0.05), ("vcache", 0.2)]
    assert all(row["wrong_rate_low"] <= row["wrong_rate"] <= row["wrong_rate_high"] for row in told)
    assert all(row["lookup_us_p50"] > 0 for row in told)


def test_the_decisions_give_the_figures_again(tmp_path: Path) -> None:
    path = stream(tmp_path / "s.jsonl", times=3)
    classes = {
        row["id"]: row["answer_class"] for row in map(json.loads, path.read_text("utf-8").splitlines())
    }
    told = json.loads(run("--stream", path, "--delta", "0.2", "--out", tmp_path / "out", "--json"))
    files = {"ours": "ours-0.2.csv", "exact": "exact.csv", "vcache": "vcache-0.2.csv"}
    seen = set()
    for row in told:
        name = files.get(row["method"], f"fixed-{row['threshold'] or 0:.2f}.csv")
        decisions = read(tmp_path / "out" / name)
        assert list(decisions[0]) == ["id", "hit", "served_id", "bound"]
        assert [one["id"] for one in decisions] == list(classes)
        hits = [one for one in decisions if one["hit"] == "true"]
        assert {one["hit"] for one in decisions} <= {"true", "false"}
        assert all(bool(one["served_id"]) is (one["hit"] == "true") for one in decisions)
        wrong = sum(classes[one["id"]] != classes[one["served_id"]] for one in hits)
        assert (len(hits) / len(classes), wrong / len(classes)) == (row["hit_rate"], row["wrong_rate"])
        assert {one["bound"] for one in decisions} == ({"0.2"} if row["delta"] else {""})
        seen.add(row["method"])
    assert seen == {"ours", "exact", "fixed", "vcache"}
    assert (tmp_path / "out" / "curve.svg").read_text("utf-8").count(">exact only<") == 2
    assert json.loads((tmp_path / "out" / "figures.json").read_bytes())


def test_people_are_told_what_the_stream_allows(tmp_path: Path) -> None:
    text = run("--stream", stream(tmp_path / "s.jsonl", times=2), "--delta", "0.2", "--seed", "1")
    assert "144 requests of 3 classes" in text
    assert "at most 97.9% hits" in text
    assert "50.0% repeat a text" in text
    for words in ("smallfirst", "exact only", "fixed cosine", "vCache's rule", "one look-up, CPU µs"):
        assert words in text


def test_warm_rows_are_answers_that_are_there(tmp_path: Path) -> None:
    one, other = stream(tmp_path / "s.jsonl"), stream(tmp_path / "w.jsonl")
    told = json.loads(
        run("--stream", one, "--warm", other, "--methods", "exact", "--out", tmp_path, "--json")
    )
    assert told[0]["hit_rate"] == 1
    assert read(tmp_path / "exact.csv")[0]["served_id"] == f"warm:{read(tmp_path / 'exact.csv')[0]['id']}"


def test_a_text_that_comes_again_with_another_class_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    rows = [{"id": "1", "input": "a", "answer_class": "x"}, {"id": "2", "input": "a", "answer_class": "y"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "50.00% of the requests repeat a text whose answer has another class" in run(
        "--stream", path, "--methods", "exact"
    )


@pytest.mark.parametrize("method", ["ours", "fixed", "vcache", "exact"])
def test_texts_that_cannot_be_embedded_are_looked_up_exactly(tmp_path: Path, method: str) -> None:
    path = tmp_path / "s.jsonl"
    texts = ["", "x" * 5000, "x" * 4999 + "y", "", "x" * 5000, "\ud83d", "🙂", "a " * 2048]
    lines = [
        json.dumps({"id": str(at), "input": text, "answer_class": text[:1]}) for at, text in enumerate(texts)
    ]
    path.write_text("\n".join(line for line in lines if 'ud83d"' not in line))
    told = json.loads(run("--stream", path, "--methods", method, "--json"))
    assert all(row["hits"] == 2 and row["wrong"] == 0 for row in told)


def test_an_order_of_chance_is_the_seeds(tmp_path: Path) -> None:
    path = stream(tmp_path / "s.jsonl", times=2)
    orders = {}
    for order, seed in itertools.product(("file", "shuffled"), (0, 1)):
        run("--stream", path, "--methods", "exact", "--order", order, "--seed", seed, "--out", tmp_path / "o")
        orders[order, seed] = [row["id"] for row in read(tmp_path / "o" / "exact.csv")]
    assert orders["file", 0] == orders["file", 1] != orders["shuffled", 0] != orders["shuffled", 1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--delta", "a"], "--delta"),
        (["--delta", "0"], "--delta"),
        (["--delta", "0.5"], "--delta"),
        (["--methods", "mine"], "--methods: 'mine' is not known"),
        (["--order", "up"], "--order up is not known"),
        (["--embedder", "nothing"], "embedder 'nothing' is not known"),
        (["--embedder", "model:ada"], "model:ada is asked over the network"),
        (["--task", "triage"], "either --stream FILE"),
        (["--warm", "missing.jsonl"], "missing.jsonl cannot be read"),
    ],
)
def test_wrong_options_name_themselves(tmp_path: Path, arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run("--stream", stream(tmp_path / "s.jsonl"), *arguments)


def test_a_seed_is_no_negative_number(tmp_path: Path) -> None:
    arguments = ["eval", "--stream", str(stream(tmp_path / "s.jsonl")), "--seed", "-1"]
    assert "--seed" in CliRunner().invoke(app, arguments).output


def test_without_weights_of_a_better_one_wordllama_is_used_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = ["eval", "--stream", str(stream(tmp_path / "s.jsonl")), "--methods", "exact", "--json"]
    assert {row["embedder"] for row in json.loads(CliRunner().invoke(app, arguments).output)} == {"wordllama"}


def test_recorded_calls_are_a_stream(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    for text, answer in [("charged twice", "billing"), ("it crashes", "bug"), ("charged twice", "billing")]:
        one = call(attempt())
        said = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
        request = {"model": "task/triage", "messages": [{"role": "user", "content": text}]}
        ledger.journal.append_settlement(settlement(one))
        ledger.journal.append(
            bodies(one, request=json.dumps(request).encode(), answer=json.dumps(said).encode())
        )
    ledger.close()
    told = json.loads(run("--task", "triage", "--methods", "exact", "--state", tmp_path, "--json"))
    assert (told[0]["requests"], told[0]["hits"], told[0]["wrong"]) == (3, 1, 0)


def test_ctrl_c_is_seen_between_steps_alone() -> None:
    """usearch makes a `RuntimeError` of a `KeyboardInterrupt` that is raised while it searches."""
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as stop_if_asked:
        stop_if_asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL  # a second one ends the process
        with pytest.raises(KeyboardInterrupt):
            stop_if_asked()
    assert signal.getsignal(signal.SIGINT) == before


def test_ctrl_c_prints_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    rows = [{"id": str(at), "input": f"{at:b} {at:x} {at}", "answer_class": at % 7} for at in range(6000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        sys.executable,
        "-c",
        "from smallfirst.cli import main; main()",
        "cache",
        "eval",
        "--stream",
        str(path),
    ]
    command += ["--methods", "exact,ours", "--delta", "0.001", "--out", str(tmp_path / "out"), "--json"]
    command += ["--embedder", "wordllama"]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    until_s = time.monotonic() + 60
    while (
        not (tmp_path / "out" / "exact.csv").exists()
        and process.poll() is None
        and time.monotonic() < until_s
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    told: list[dict[str, Any]] = json.loads(out)
    assert told[-1]["method"] == "exact"
    assert told[-1]["complete"]
    assert process.returncode == 130, error
    assert "interrupted" in error
