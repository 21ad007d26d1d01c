"""`smallfirst assess`, as a user meets it."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import signal
import tomllib

import pytest
import typer
from support.features import DAY_MS, FIRST_MS, HELPDESK, category, record, summary, tickets
from support.ledger import attempt, bodies, call, settlement
from typer.testing import CliRunner

from smallfirst.cli.assess import assess
from smallfirst.errors import SmallfirstError
from smallfirst.ledger.ledger import Ledger

app = typer.Typer()
app.command()(assess)

TASKS = tomllib.loads((HELPDESK / "smallfirst.toml").read_text("utf-8"))["tasks"]
ANSWERS = {"ticket-triage": category, "ticket-extract": record, "ticket-summary": summary}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMALLFIRST_CONFIG", raising=False)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


def run(*arguments):
    result = invoke(*arguments)
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def stream():
    """The helpdesk's three tasks as they come, none of which says what it is."""
    draw = random.Random(3)
    for row in tickets(240):
        for task, answer in ANSWERS.items():
            at_ms = FIRST_MS + int(draw.random() * 3 * DAY_MS)
            yield TASKS[task]["instructions"], row["input"], answer(row), at_ms


def log(path, rows):
    with path.open("w", encoding="utf-8") as out:
        for system, asked, answer, at_ms in rows:
            row = {
                "timestamp": at_ms / 1000,
                "latency_ms": 1500 + at_ms % 700,
                "request": {
                    "model": "gpt-4o",
                    "messages": [{"role": "system", "content": system}, {"role": "user", "content": asked}],
                },
                "response": {
                    "id": "r", "object": "chat.completion", "model": "gpt-4o-2024-08-06",
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 400, "completion_tokens": 20},
                },
            }  # fmt: skip
            out.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return log(tmp_path_factory.mktemp("logs") / "calls.jsonl", stream())


@pytest.fixture(scope="module")
def told(logs):
    return json.loads(run("--import", logs, "--json", "--latency-ms", 500))


def test_the_three_features_are_found_and_judged_unaided(told):
    forms = {one["output"]["form"]: one for one in told["features"]}
    assert set(forms) == {"label", "json", "text"}
    assert [one["calls"] for one in told["features"]] == [240, 240, 240]
    assert len(forms["label"]["output"]["labels"]) >= 10
    assert forms["json"]["output"]["schema"]["required"] == list(tickets()[0]["record"])
    assert all(len(one["questions"]) == 3 for one in told["features"])
    assert forms["label"]["verdict"]["words"] == "two of three: prototype"
    assert forms["text"]["verdict"]["words"] == "keep it on the frontier"
    assert forms["label"]["small"]["known"] == "measured"
    assert told["usd_per_year"] == pytest.approx(720 / 72 * 24 * 365 * (400 * 2.5 + 20 * 10) / 1e6, rel=0.03)


def test_json_holds_nobodys_words(told):
    plain = json.dumps(told, ensure_ascii=False)
    assert not [row for row in tickets(240) if row["input"][:40] in plain or row["summary"] in plain]


def test_the_table_and_the_blocks_say_it(logs, tmp_path):
    text = run(
        "--import", logs, "--html", tmp_path / "r.html", "--picture", tmp_path / "r.svg", "--latency-ms", 500
    )
    for words in ("720 calls, 3 features", "two of three: prototype", "keep it on the frontier", "Is it narrow? yes",
                  "labels: ", "[tasks.", "gpt-4o", "own GPUs", "a year"):  # fmt: skip
        assert words in text, words
    assert (tmp_path / "r.html").read_text("utf-8").startswith("<!doctype html>")
    assert (tmp_path / "r.html").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "r.svg").read_bytes().startswith(b"<svg")
    assert tickets()[0]["input"][:40] not in text


def test_examples_are_shown_where_they_are_asked_for(logs):
    assert "answered:" in run("--import", logs, "--examples", "--top", 1)


def test_several_files_packed_or_not_are_one_stream(logs, tmp_path):
    half = logs.read_bytes().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(b"".join(half[:360]))
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as out:
        out.write(b"".join(half[360:]))
    found = json.loads(run("--import", tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", "--json"))
    assert found["calls"] == 720


def test_a_table_without_times_or_answers_is_judged_as_far_as_it_goes(tmp_path):
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["frage", "model"])
        table.writerows([[f"Where is parcel {at}?", "in-house"] for at in range(50)])
    found = json.loads(run("--import", tmp_path / "t.csv", "--map", "prompt=frage", "--json"))
    (one,) = found["features"]
    assert one["volume"]["calls_per_day"] is None
    assert one["money"]["usd_per_year"] is None
    assert one["money"]["unknown_models"] == ["in-house"]
    assert one["verdict"]["against"][0].startswith("no data to train on")
    stated = json.loads(
        run(
            "--import",
            tmp_path / "t.csv",
            "--map",
            "prompt=frage",
            "--json",
            "--calls-per-day",
            5e5,
            "--price-as",
            "1/2",
        )
    )
    assert stated["features"][0]["volume"]["calls_per_day"] == 500_000
    assert stated["usd_per_year"] > 0


def test_calls_of_the_ledger_are_judged_with_their_recorded_cost(tmp_path):
    ledger = Ledger.open(tmp_path / "state")
    for at, row in enumerate(tickets(120)):
        made = call(
            attempt(cost_nusd=2_000_000), at_ms=FIRST_MS + at * DAY_MS // 30, task="triage", latency_ms=900.0
        )
        request = {"model": "task/triage", "messages": [{"role": "user", "content": row["input"]}]}
        answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": row["category"]}}]}
        ledger.journal.append_settlement(settlement(made))
        ledger.journal.append(
            bodies(made, request=json.dumps(request).encode(), answer=json.dumps(answer).encode())
        )
    ledger.close()
    found = json.loads(run("--state", tmp_path / "state", "--task", "triage", "--json"))
    (one,) = found["features"]
    assert one["name"]
    assert one["tasks"] == {"triage": 120}
    assert one["output"]["form"] == "label"
    assert one["money"]["known_nusd"] == 240_000_000
    assert one["volume"]["calls_per_day"] == pytest.approx(30, rel=0.02)
    with pytest.raises(SmallfirstError, match="no calls of task other"):
        run("--state", tmp_path / "state", "--task", "other")


# What is wrong.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--import"),
        (["--import", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--import", "empty.jsonl"], "empty.jsonl"),
        (["--import", "bad.jsonl"], "line 2"),
        (["--import", "one.jsonl", "--task", "x"], "--task"),
        (["--import", "one.jsonl", "--since", "7d"], "--since"),
        (["--map", "prompt=a", "--state", "."], "--map"),
        (["--import", "one.jsonl", "--map", "prompt"], "FIELD=COLUMN"),
        (["--import", "one.jsonl", "--map", "promt=x"], "prompt"),
        (["--import", "one.jsonl", "--small", "no-such-model"], "--small"),
        (["--import", "one.jsonl", "--price-as", "no-such-model"], "--price-as"),
        (["--import", "one.jsonl", "--gpu", "H900"], "H900"),
        (["--import", "one.jsonl", "--own", "llama-9"], "llama-9"),
        (["--import", "one.jsonl", "--gpu", "L4", "--small", "1/2"], "--gpu-usd-per-hour"),
        (["--import", "one.jsonl", "--picture", "a.gif"], ".png or .svg"),
        (["--import", "one.jsonl", "--config", "none.toml"], "none.toml"),
    ],
)
def test_what_is_wrong_is_said_with_its_name(tmp_path, arguments, said):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "one.jsonl").write_text('{"prompt": "Hello", "completion": "Hi"}\n')
    (tmp_path / "bad.jsonl").write_text('{"prompt": "Hello", "completion": "Hi"}\n{"prompt": \n')
    result = invoke(*arguments)
    assert isinstance(result.exception, SmallfirstError), (result.output, result.exception)
    assert said in str(result.exception)


def test_one_call_is_enough_for_a_report(tmp_path):
    (tmp_path / "one.jsonl").write_text('{"prompt": "Hello", "completion": "Hi"}\n')
    text = run("--import", tmp_path / "one.jsonl")
    assert "1 call" in text
    assert "unknown" in text


def test_terminals_are_told_nothing_by_what_was_asked(tmp_path):
    rows = [
        {"prompt": f"\x1b[2J[red]{at}", "completion": f"\x1b]0;x\x07yes{at % 2}", "model": "\x1b[31mm"}
        for at in range(60)
    ]
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = run("--import", tmp_path / "odd.jsonl", "--examples")
    assert "\x1b" not in text
    assert "\x07" not in text


@pytest.mark.parametrize(
    ("option", "file", "why"),
    [
        ("--html", "nowhere/x.html", "nowhere is no folder that can be written to"),
        ("--html", ".", "is a folder: name a file"),
        ("--picture", "nowhere/x.svg", "nowhere is no folder that can be written to"),
        ("--csv", "nowhere/x.csv", "nowhere is no folder that can be written to"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_before_anything_is_read(tmp_path, option, file, why):
    with pytest.raises(SmallfirstError, match=f"{option}: .*{why}"):
        run("--import", tmp_path / "not-there.jsonl", option, file)
    assert list(tmp_path.iterdir()) == []


def test_features_as_csv(logs, tmp_path, told):
    shown = invoke("--import", logs, "--latency-ms", 500, "--csv", tmp_path / "f.csv")
    assert "720 calls, 3 features" in shown.stdout
    rows = list(csv.DictReader((tmp_path / "f.csv").read_text("utf-8").splitlines()))
    for row, one in zip(rows, told["features"], strict=True):
        assert (row["feature"], row["decision"]) == (one["name"], one["verdict"]["decision"])
        assert (row["calls"], float(row["usd_per_year"])) == ("240", one["money"]["usd_per_year"])
        assert row["small_share_middle"] == str(
            one["small"]["middle"] if one["small"]["middle"] is not None else ""
        )
    assert run("--import", logs, "--latency-ms", 500, "--csv", "-").startswith("feature,decision,what_to_do,")
    with pytest.raises(SmallfirstError, match="--csv: not both on stdout"):
        run("--import", logs, "--csv", "-", "--json")


def test_ctrl_c_says_what_was_read_and_writes_nothing(logs, tmp_path, monkeypatch):
    import smallfirst.planning.assess.reading.files as reading

    lines = reading.read_lines

    def interrupted(path, tally, **told):
        for at, line in enumerate(lines(path, tally, **told)):
            if at == 100:
                os.kill(os.getpid(), signal.SIGINT)
                told["position"](1)
            yield line

    monkeypatch.setattr(reading, "read_lines", interrupted)
    result = invoke("--import", logs, "--html", tmp_path / "r.html")
    assert result.exit_code == 130
    assert "100 calls were read" in result.stderr
    assert not (tmp_path / "r.html").exists()
