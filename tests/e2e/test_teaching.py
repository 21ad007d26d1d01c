"""`smallfirst dataset distil` and `synthesise` as a user runs them: against a simulated frontier that knows the tickets, most of them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gateway import GatewayProcess
from support.ledger import attempt, bodies, call, settlement
from support.simulator import SimulatorProcess
from support.sorted_tickets import FRONTIER, LABELS, MARKER, TASK
from typer.testing import CliRunner

from smallfirst.cli.main import app
from smallfirst.datasets.store import Datasets, part_path
from smallfirst.errors import SmallfirstError
from smallfirst.ledger.ledger import Ledger

ROWS, NEW = 90, 40
CONFIG = (
    FRONTIER
    + """
[models.mini]
provider = "sim"
id = "sim-frontier-mini"

[models.nano]
provider = "sim"
id = "sim-nano"
"""
    + TASK
    + """
ladder = ["mini", "frontier"]

[tasks.reply]
instructions = "You answer tickets."
ladder = ["mini", "frontier"]
scorer = {{ kind = "judge", model = "nano", rubric = "It is polite." }}
"""
)


def text(at: int) -> str:
    return f"Ticket number {at} asks about thing {at * 7919} of order {1000 + at * 31}"


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder = tmp_path_factory.mktemp("answers")
    rows = [{"input": text(at), "answers": {"triage": LABELS[at % 3]}} for at in range(ROWS + NEW)]
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "tasks.toml").write_text(
        f'[tasks.triage]\nmarker = "{MARKER}"\naccuracy = 0.85\naccuracy_by_model = {{ sim-nano = 0 }}\n'
    )
    options = {"answers": folder / "answers.jsonl", "tasks": folder / "tasks.toml"}
    with SimulatorProcess(options) as process:
        yield process


@pytest.fixture
def home(sim: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatewayProcess:
    """A configuration, a dataset that people have labelled, and questions that nobody has; no gateway runs."""
    sim.reset()
    monkeypatch.setenv("SIM_KEY", "upstream-secret")
    rows = [{"id": f"t-{at}", "input": text(at), "label": LABELS[at % 3]} for at in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = [{"input": text(at)} for at in range(ROWS, ROWS + NEW)]
    questions += [{"input": text(0)}, {"input": "who said this already", "label": "bug"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    found = GatewayProcess(tmp_path, CONFIG.format(sim=sim.base_url))
    cli(
        found,
        "dataset",
        "import",
        str(tmp_path / "rows.jsonl"),
        "--task",
        "triage",
        "--near",
        "2",
        "--same",
        "2",
    )
    return found


def cli(home: GatewayProcess, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--config", str(home.path), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def distil(home: GatewayProcess, *words: str) -> Any:
    return cli(home, "dataset", "distil", "triage", "--from", "frontier", *words)


def new(home: GatewayProcess) -> str:
    return str(home.folder / "new.jsonl")


def asked(sim: SimulatorProcess) -> int:
    return len(sim.requests()["requests"])


def test_questions_of_a_file_are_answered_and_kept_in_train(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    datasets = Datasets(home.state)
    parent = datasets.open("newest", task="triage")
    told = distil(home, "--inputs", new(home), "--note", "more")
    assert told["teacher"] == {"name": "frontier", "provider": "sim", "simulated": True}
    assert (told["distilled"]["asked"], told["distilled"]["kept"]) == (NEW, NEW)
    assert set(told["left_out"].values()) == {1}
    assert len(told["left_out"]) == 2
    made = datasets.open(told["id"])
    train = made.manifest.parts["train"]
    assert train.references_by == {"gold": train.rows - NEW, "model:frontier": NEW}
    assert train.simulated == NEW
    for part in ("calibration", "heldout"):
        assert part_path(made.folder, part).read_bytes() == part_path(parent.folder, part).read_bytes()
    learned = [one for one in made.examples("train") if one.lineage.reference_by == "model:frontier"]
    assert {one.lineage.provider for one in learned} == {"sim"}
    right = sum(one.label == LABELS[int(one.messages[0]["content"].split()[2]) % 3] for one in learned)
    accuracy = told["distilled"]["accuracy"]
    assert accuracy["of"] == NEW, "no more than there are questions: they cost as much"
    assert accuracy["low"] <= right / NEW <= accuracy["high"]
    assert told["spent_usd"] > 0
    calls = home.calls()
    assert len(calls) == NEW + accuracy["of"]

    before = asked(sim)
    same = distil(home, "--inputs", new(home), "--dataset", parent.id)
    assert same["id"] == told["id"]
    assert asked(sim) == before, "what was answered is not asked again"


def test_questions_that_were_answered_before_are_not_paid_for_again(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    """Neither among others, nor after the dataset was made again; and what was taught stays in it."""
    first = distil(home, "--inputs", new(home), "--verify", "20")
    paid, before = sim.invoice()["total_nusd"], asked(sim)
    rows = str(home.folder / "rows.jsonl")
    imported = cli(home, "dataset", "import", rows, "--task", "triage", "--near", "2", "--same", "2")
    assert (imported["id"], imported["new"]) == (first["id"], False)
    with (home.folder / "new.jsonl").open("a") as file:
        file.write(json.dumps({"input": "Something else that nobody has asked until now"}) + "\n")
    dry = distil(home, "--inputs", new(home), "--verify", "20", "--dry-run")
    assert (dry["questions"], dry["calls"]) == (1, 1)
    parent = first["manifest"]["parent"]
    dry = distil(home, "--inputs", new(home), "--verify", "20", "--dry-run", "--dataset", parent)
    assert (dry["questions"], dry["calls"]) == (NEW + 1, 1)
    told = distil(home, "--inputs", new(home), "--verify", "20", "--dataset", parent, "--max-usd", "0.011")
    assert asked(sim) == before + 1
    assert told["distilled"]["asked"] == NEW + 1
    assert told["distilled"]["accuracy"] == first["distilled"]["accuracy"]
    assert round(told["spent_usd"] * 1e9) == sim.invoice()["total_nusd"] - paid
    assert len(home.calls()) == before + 1, "each stands once in the ledger"


def test_samples_that_agree_are_right_more_often(home: GatewayProcess) -> None:
    rejected = home.folder / "rejected.jsonl"
    told = distil(
        home, "--inputs", new(home), "--samples", "5", "--agree", "0.8", "--rejected", str(rejected)
    )["distilled"]
    assert told["kept"] + sum(told["rejected"].values()) == NEW
    assert set(told["rejected"]) == {"its own samples disagree"}
    rows = [json.loads(line) for line in rejected.read_bytes().splitlines()]
    assert len(rows) == NEW - told["kept"]
    assert all(len(set(row["answers"])) > 1 for row in rows)
    assert rejected.stat().st_mode & 0o777 == 0o600
    once, kept = told["accuracy"], told["kept_accuracy"]
    assert kept["of"] < once["of"]
    assert kept["right"] / kept["of"] > once["right"] / once["of"]


def test_a_persons_word_is_replaced_only_where_it_is_wished_and_never_contradicted(
    home: GatewayProcess,
) -> None:
    with pytest.raises(SmallfirstError, match=r"verified by people already.*--replace"):
        distil(home)
    told = distil(home, "--replace")
    found = told["distilled"]
    assert found["rejected"] == {"not what was verified as right": found["asked"] - found["kept"]}
    train = told["manifest"]["parts"]["train"]
    assert train["rows"] == found["asked"]
    assert train["references_by"] == {"gold": found["asked"] - found["kept"], "model:frontier": found["kept"]}
    for one in Datasets(home.state).open(told["id"]).examples("train"):
        assert one.label == LABELS[int(one.messages[0]["content"].split()[2]) % 3]


def test_a_models_word_that_it_does_not_stand_by_leaves_train(home: GatewayProcess) -> None:
    first = distil(home, "--inputs", new(home), "--verify", "0")
    with pytest.raises(SmallfirstError, match="answered by this model already"):
        distil(home)
    told = distil(home, "--samples", "5", "--agree", "1", "--verify", "0")
    found = told["distilled"]
    assert found["asked"] == NEW
    assert 0 < found["removed"] == NEW - found["kept"]
    assert (
        told["manifest"]["parts"]["train"]["rows"]
        == first["manifest"]["parts"]["train"]["rows"] - found["removed"]
    )


def test_recorded_calls_are_answered_and_recorded_answers_kept(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    small = {"model": "mini", "provider": "sim", "frontier": False}
    ledger = Ledger.open(home.state)
    for at in range(ROWS, ROWS + 8):
        one = call(
            attempt(**small) if at % 2 else attempt(provider="sim", stop="length" if at == ROWS else "stop")
        )
        said = {"choices": [{"message": {"role": "assistant", "content": LABELS[at % 3]}}]}
        asking = {
            "model": "task/triage",
            "messages": [{"role": "user", "content": f"{text(at)} for a{at}@b.example"}],
        }
        ledger.journal.append_settlement(settlement(one))
        ledger.journal.append(
            bodies(one, request=json.dumps(asking).encode(), answer=json.dumps(said).encode())
        )
    ledger.importer.import_now()
    ledger.close()
    told = distil(home, "--recorded")
    assert (told["kept"], told["skipped"]["cut short"]) == (3, 1)
    assert asked(sim) == 0
    train = told["manifest"]["parts"]["train"]
    assert (train["references_by"]["model:frontier"], train["simulated"]) == (3, 3)
    assert told["manifest"]["redacted"] == {"EMAIL": 4}
    told = distil(home, "--calls", "--verify", "0")
    assert told["distilled"]["asked"] == asked(sim) == 4
    assert told["left_out"] == {"calls that have an answer to learn from already": 4}
    requests = sim.requests(detail=True)["requests"]
    sent = [json.loads(request["body"])["messages"][-1]["content"] for request in requests]
    assert all(one.endswith("for <EMAIL_1>") for one in sent)
    learned = [one for one in Datasets(home.state).open(told["id"]).examples("train") if one.lineage.call]
    assert len(learned) == 7
    with pytest.raises(SmallfirstError, match=r"nothing for frontier to answer: .*asked already"):
        distil(home, "--calls")


def test_a_judge_decides_where_a_task_has_one(home: GatewayProcess, sim: SimulatorProcess) -> None:
    rows = [{"input": text(at), "references": [f"We look at {at}."]} for at in range(30)]
    (home.folder / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli(home, "dataset", "import", str(home.folder / "replies.jsonl"), "--task", "reply")
    sim.fault(match={"model": "sim-nano"}, answer='{"reason": "rude", "verdict": 2}', times=5)
    sim.fault(match={"model": "sim-nano"}, answer='{"reason": "good", "verdict": 4}')
    words = [
        "dataset",
        "distil",
        "reply",
        "--from",
        "frontier",
        "--inputs",
        new(home),
        "--limit",
        "20",
        "--verify",
        "0",
    ]
    told = cli(home, *words, "--yes")["distilled"]
    assert (told["kept"], told["rejected"]) == (15, {"the judge finds it not good enough": 5})
    sim.clear_faults()
    lenient = cli(home, *words, "--accept", "0.25", "--dataset", Datasets(home.state).list("reply")[-1].id)
    assert lenient["distilled"]["kept"] == 20


def test_a_dry_run_asks_nobody_and_a_cap_is_not_passed(home: GatewayProcess, sim: SimulatorProcess) -> None:
    told = distil(home, "--inputs", new(home), "--verify", "10", "--dry-run")
    assert (told["questions"], told["verified_asked"], told["calls"]) == (NEW, 10, NEW + 10)
    assert 0 < told["usd"] < told["at_most_usd"]
    assert asked(sim) == 0
    before = Datasets(home.state).newest("triage")
    words = ["dataset", "distil", "triage", "--from", "frontier", "--inputs", new(home), "--max-usd", "0.012"]
    done = CliRunner().invoke(app, [*words, "--config", str(home.path)])
    assert done.exit_code == 1
    assert "the cap was reached" in done.stderr
    assert 0 < sim.invoice()["total_nusd"] <= 12_000_000
    assert Datasets(home.state).newest("triage") == before


def test_ctrl_c_loses_nothing(home: GatewayProcess, sim: SimulatorProcess) -> None:
    sim.fault(slow_ms=60)
    words = ("dataset", "distil", "triage", "--from", "frontier", "--inputs", new(home), "--concurrency", "2")
    child = subprocess.Popen(
        home.command(*words, "--config", str(home.path), "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=home.environ,
    )  # fmt: skip
    sim.wait_until(lambda state: len(state["requests"]) >= 10)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "the same command again asks only what is missing" in error
    first = asked(sim)
    sim.clear_faults()
    told = home.cli(*words)
    assert told["distilled"]["kept"] == NEW
    bodies = [request["body"] for request in sim.requests(detail=True)["requests"]]
    assert len(bodies) > first
    assert set(Counter(json.dumps(body) for body in bodies).values()) == {1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["distil", "triage"], "--from: required"),
        (["distil", "tirage", "--from", "frontier"], "did you mean"),
        (["distil", "triage", "--from", "mini", "--inputs", "{new}"], "would teach itself"),
        (["distil", "triage", "--from", "frontier", "--inputs", "{new}", "--calls"], "one of --inputs, --calls"),
        (["distil", "triage", "--from", "frontier", "--inputs", "nowhere.jsonl"], "cannot be read"),
        (["distil", "triage", "--from", "frontier", "--dataset", "fff"], "no dataset begins"),
        (["distil", "triage", "--from", "nano", "--inputs", "{new}", "--max-usd", "1"], "no price, so a cap cannot be kept"),
        (["distil", "triage", "--from", "nano", "--replace", "--yes"], "no answer was kept, so no dataset is made: .* not what was verified"),
        (["distil", "triage", "--from", "frontier", "--calls"], "there is no ledger"),
        (["synthesise", "triage", "--model", "mini"], "would teach itself"),
        (["synthesise", "triage", "--model", "frontier", "--per-label", "1"], "nothing to write"),
        (["synthesise", "triage", "--model", "frontier", "--labels", "refund"], "'refund' is not one of"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_made(
    home: GatewayProcess, words: list[str], says: str
) -> None:
    before = Datasets(home.state).newest("triage")
    told = [word.format(new=new(home)) for word in words]
    with pytest.raises(SmallfirstError, match=says):
        CliRunner().invoke(app, ["dataset", *told, "--config", str(home.path)], catch_exceptions=False)
    assert Datasets(home.state).newest("triage") == before


def test_a_forbidden_provider_is_never_asked(home: GatewayProcess, sim: SimulatorProcess) -> None:
    home.path.write_text(home.path.read_text() + '\n[learning]\nnever_train_on = ["sim"]\n')
    for words in (
        ["distil", "triage", "--from", "frontier", "--replace"],
        ["synthesise", "triage", "--model", "frontier"],
    ):
        with pytest.raises(SmallfirstError, match="never_train_on"):
            cli(home, "dataset", *words)
    assert asked(sim) == 0


def test_thin_labels_are_written_for(home: GatewayProcess, sim: SimulatorProcess) -> None:
    parent = Datasets(home.state).open("newest", task="triage")
    have = parent.manifest.parts["train"].labels
    words = (
        "dataset",
        "synthesise",
        "triage",
        "--model",
        "frontier",
        "--per-label",
        str(have["bug"] + 6),
        "--labels",
        "bug",
    )
    dry = cli(home, *words, "--dry-run")
    assert dry["wanted"] == {"bug": 6}
    assert "Messages of users that have the label:" in dry["first_request"]
    assert asked(sim) == 0
    tried = cli(home, *words, "--no-keep")
    assert Datasets(home.state).newest("triage") == parent.id
    before = asked(sim)
    told = cli(home, *words)
    assert asked(sim) == before, "what was written is not asked again"
    assert told["kept"] == tried["kept"]
    assert told["kept"]["bug"] > 0
    parts = told["manifest"]["parts"]
    assert parts["train"]["synthetic"] == parts["train"]["simulated"] == told["kept"]["bug"]
    assert parts["train"]["references_by"]["synthetic:frontier"] == told["kept"]["bug"]
    assert (
        parts["calibration"]
        == json.loads((parent.folder / "dataset.json").read_bytes())["parts"]["calibration"]
    )
    shown = CliRunner().invoke(
        app,
        ["dataset", "show", "newest", "--task", "triage", "--config", str(home.path)],
        env={"COLUMNS": "120"},
    )
    assert "verified by people" in shown.stdout
    assert "a model's word" in shown.stdout
    assert "SIMULATED" in shown.stdout
