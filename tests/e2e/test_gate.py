"""`smallfirst gate` as a user runs it: from a dataset to a verdict, against a simulator whose models are right as often as they are told to be."""

from __future__ import annotations

import getpass
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support import intents
from support.gateway import GatewayProcess
from support.simulator import SimulatorProcess
from support.sorted_tickets import FRONTIER, LABELS, MARKER, TASK
from typer.testing import CliRunner

from smallfirst.cli.main import app
from smallfirst.errors import SmallfirstError
from smallfirst.ledger import Filter, Ledger
from smallfirst.releases import Releases, Verdicts

ROWS = 260  # 60 train, 60 calibration, 140 held out
HELD_OUT = 140
CONFIG = (
    FRONTIER
    + """
[models.mini]
provider = "sim"
id = "sim-frontier-mini"
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6 }}]

[models.nano]
provider = "sim"
id = "sim-nano"
prices = [{{ since = "2026-01-01", input = 0.04, output = 0.15 }}]
"""
    + TASK
    + """
margin = 0.1
ladder = [{{ model = "SMALL", max_tokens = 16 }}, {{ model = "frontier", max_tokens = 16 }}]
"""
)


def text(at: int) -> str:
    return f"Ticket number {at} asks about thing {at % 7} of order {1000 + at}"


@pytest.fixture(scope="module")
def _sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    folder = tmp_path_factory.mktemp("answers")
    rows = [{"input": text(at), "answers": {"triage": LABELS[at % 3]}} for at in range(ROWS)]
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "tasks.toml").write_text(
        f'[tasks.triage]\nmarker = "{MARKER}"\naccuracy_by_model = {{ sim-nano = 0.5 }}\n'
    )
    options = {"answers": folder / "answers.jsonl", "tasks": folder / "tasks.toml"}
    with SimulatorProcess(options) as process:
        yield process


@pytest.fixture
def sim(_sim: SimulatorProcess) -> SimulatorProcess:
    _sim.reset()
    return _sim


@pytest.fixture
def home(sim: SimulatorProcess, tmp_path: Path) -> GatewayProcess:
    """A configuration, and a dataset of its task; no gateway runs."""
    place = GatewayProcess(tmp_path, CONFIG.format(sim=sim.base_url).replace("SMALL", "mini"))
    dataset(place, HELD_OUT)
    return place


def dataset(home: GatewayProcess, heldout: int, *more: str) -> None:
    parts = ["train"] * 60 + ["calibration"] * 60 + ["heldout"] * heldout
    rows = [
        {"id": f"t-{at}", "input": text(at), "label": LABELS[at % 3], "part": part,
         "channel": "mail" if at % 2 else "chat"}
        for at, part in enumerate(parts)
    ]  # fmt: skip
    path = home.folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [
        "dataset",
        "import",
        str(path),
        "--task",
        "triage",
        "--split-field",
        "part",
        "--slice",
        "channel",
    ]
    done = run(home, *words, "--near", "2", *more)
    assert done.exit_code == 0, done.output


def run(home: GatewayProcess, *words: str, config: Path | None = None) -> Result:
    """A command in this process."""
    command = [*words, "--config", str(config or home.path)]
    return CliRunner(env=home.environ).invoke(app, command)


def edited(home: GatewayProcess, *changes: tuple[str, str]) -> Path:
    """The configuration with these words instead of those."""
    told = home.path.read_text()
    for old, new in changes:
        assert old in told
        told = told.replace(old, new)
    path = home.folder / "edited.toml"
    path.write_text(told)
    return path


def built(home: GatewayProcess, *, config: Path | None = None) -> str:
    done = run(home, "release", "build", "--json", config=config)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["id"]


def gate(
    home: GatewayProcess, release: str, *words: str, config: Path | None = None
) -> tuple[int, dict[str, Any]]:
    done = run(home, "gate", *([release] if release else []), *words, "--json", config=config)
    assert done.stdout, done.exception
    return done.exit_code, json.loads(done.stdout)


def reads(home: GatewayProcess) -> list[dict[str, Any]]:
    with Ledger.read(home.state) as ledger:
        return [event.detail for event in reversed(ledger.queries.events(kind="heldout-read", limit=None))]


def asked(sim: SimulatorProcess) -> Counter[tuple[str, str]]:
    """How often each model was asked each text."""
    found: Counter[tuple[str, str]] = Counter()
    for request in sim.requests(detail=True)["requests"]:
        body = request["body"]
        body = json.loads(body) if isinstance(body, str) else body
        found[body["model"], body["messages"][-1]["content"]] += 1
    return found


def test_a_candidate_as_good_passes_once_and_can_be_promoted(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    release = built(home)
    refused = run(home, "release", "promote", release)
    assert isinstance(refused.exception, SmallfirstError)
    assert "has no passing verdict" in str(refused.exception)

    status, found = gate(home, release)
    assert (status, found["finding"], found["known"]) == (0, "pass", False)
    (task,) = found["tasks"]
    assert (task["finding"], task["read"]) == ("pass", 1)
    (one,) = task["comparisons"]
    assert (one["against"], one["examples"], one["loss"]) == ("frontier", HELD_OUT, 0.0)
    assert one["bound"] <= one["margin"] == 0.1
    assert found["simulated"] == ["frontier", "mini"]
    assert found["fingerprints"]["mini"]["upstream_models"] == ["sim-frontier-mini"]
    assert found["fingerprints"]["mini"]["probes"]
    assert task["disagreement"]["examples"] == HELD_OUT
    assert Verdicts(home.state).load(release, found["id"]).finding == "pass"
    assert [read["read"] for read in reads(home)] == [1]

    sim.reset()
    again, same = gate(home, release)
    assert (again, same["known"], same["id"]) == (0, True, found["id"])
    assert not asked(sim)
    assert len(reads(home)) == 1
    promoted = run(home, "release", "promote", release)
    assert promoted.exit_code == 0, promoted.output


def test_the_verdict_can_be_carried_by_a_pull_request(home: GatewayProcess) -> None:
    release = built(home)
    path = home.folder / "verdict.md"
    done = run(home, "gate", release, "--markdown", str(path))
    assert done.exit_code == 0
    assert "promote it: smallfirst release promote" in done.output
    written = path.read_text()
    assert written.startswith("## ✅ smallfirst gate: pass")
    assert "Ticket number" not in written + done.output  # rows are shown to nobody
    shown = run(home, "gate", "show", release, "--json")
    assert json.loads(shown.stdout)["id"] in written


def test_what_is_held_out_is_not_copied(home: GatewayProcess) -> None:
    gate(home, built(home))
    folders = sorted(path.name.split("-")[0] for path in (home.state / "gates").iterdir() if path.is_dir())
    assert folders == ["calibration", "heldout"]
    for path in (home.state / "gates").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        assert path.is_dir() or b"Ticket number" not in path.read_bytes()


def test_a_worse_candidate_is_refused_before_a_read_is_spent(home: GatewayProcess) -> None:
    config = edited(home, ('"mini", max_tokens', '"nano", max_tokens'))
    release = built(home, config=config)
    status, found = gate(home, release, config=config)
    assert (status, found["finding"], found["tasks"][0]["read"]) == (3, "fail", 0)
    assert "calibration shows already that it is worse" in found["tasks"][0]["note"]
    assert reads(home) == []
    refused = run(home, "release", "promote", release, config=config)
    assert "is no pass" in str(refused.exception)

    status, found = gate(home, release, "--anyway", config=config)
    assert (status, found["finding"], found["tasks"][0]["read"]) == (3, "fail", 1)
    assert found["tasks"][0]["comparisons"][0]["examples"] == HELD_OUT
    # A second candidate pays for the first one's read.
    status, found = gate(home, built(home))
    assert found["tasks"][0]["read"] == 2
    assert found["tasks"][0]["comparisons"][0]["alpha"] == pytest.approx(0.05 / 6)


def test_too_few_held_out_examples_are_said_before_they_are_read(home: GatewayProcess) -> None:
    dataset(home, 30)
    release = built(home)
    status, found = gate(home, release)
    (plan,) = found["plans"]
    (prospect,) = plan["prospects"]
    assert (status, found["finding"]) == (4, "not-enough-evidence")
    assert prospect["rows"] == 30 < prospect["needed"]
    assert prospect["chance"] < 0.5
    assert found["tasks"][0]["comparisons"][0]["examples_needed"] == prospect["needed"]
    assert reads(home) == []
    status, found = gate(home, release, "--anyway")
    assert (status, found["tasks"][0]["read"]) == (4, 1)
    assert found["tasks"][0]["comparisons"][0]["examples_needed"] > 30


def test_a_plan_spends_nothing(home: GatewayProcess, sim: SimulatorProcess) -> None:
    release = built(home)
    status, found = gate(home, release, "--plan")
    assert status == 0
    assert "finding" not in found
    assert found["plans"][0]["prospects"][0]["chance"] > 0.9
    assert reads(home) == []
    assert not Verdicts(home.state).ids(release)
    calibration = set(asked(sim))
    gate(home, release)
    assert all(
        asked(sim)[each] == 1 for each in calibration if each[0] == "sim-frontier"
    )  # kept from the plan


def test_declared_slices_and_budgets_are_judged(home: GatewayProcess) -> None:
    rule = '\ngate = { slices = ["channel"], cost_ratio_max = 0.5, latency_ratio_max = 50 }\n[gate]\nmin_slice_rows = 60\n'
    config = home.folder / "edited.toml"
    config.write_text(home.path.read_text() + rule)
    status, found = gate(home, built(home, config=config), "--anyway", config=config)
    (task,) = found["tasks"]
    assert [one["slice"] for one in task["comparisons"]] == ["", "channel=chat", "channel=mail"]
    budgets = {one["of"]: one for one in task["budgets"]}
    assert budgets["cost"]["finding"] == "pass"
    assert 0.01 < budgets["cost"]["value"] < 0.1
    assert budgets["latency_p95"]["finding"] == "pass"
    assert status == {"pass": 0, "fail": 3, "not-enough-evidence": 4}[found["finding"]]


def test_a_later_candidate_is_compared_with_what_is_live_and_with_the_frontier(home: GatewayProcess) -> None:
    first = built(home)
    gate(home, first)
    assert run(home, "release", "promote", first).exit_code == 0
    config = edited(home, ("max_tokens = 16 }, {", "max_tokens = 17 }, {"))
    second = built(home, config=config)
    status, found = gate(home, second, "--anyway", config=config)
    assert found["comparator"] == first
    assert [one["against"] for one in found["tasks"][0]["comparisons"]] == ["live", "frontier"]
    assert found["tasks"][0]["read"] == 2
    assert status in (0, 4)


def test_what_is_live_and_proven_is_not_judged_again(home: GatewayProcess, sim: SimulatorProcess) -> None:
    release = built(home)
    _, found = gate(home, release)
    run(home, "release", "promote", release)
    sim.reset()
    status, again = gate(home, release)
    assert (status, again["id"], again["known"]) == (0, found["id"], True)
    assert not asked(sim)


def test_a_task_that_is_as_it_was_is_not_compared(home: GatewayProcess, sim: SimulatorProcess) -> None:
    first = built(home)
    gate(home, first)
    run(home, "release", "promote", first)
    more = '\n[tasks.other]\nladder = ["frontier"]\n'
    config = edited(home, ("\n[tasks.triage]", more + "\n[tasks.triage]"))
    second = built(home, config=config)
    sim.reset()
    status, found = gate(home, second, config=config)
    assert status == 0, found
    told = {task["task"]: task["unchanged"] for task in found["tasks"]}
    assert told == {"other": True, "triage": True}
    assert not asked(sim)
    assert found["fingerprints"]["mini"]["upstream_models"] == ["sim-frontier-mini"]
    assert run(home, "release", "promote", second, config=config).exit_code == 0


def test_one_task_alone_is_a_look_and_no_verdict(home: GatewayProcess) -> None:
    release = built(home)
    status, found = gate(home, release, "--task", "triage")
    assert (status, found["saved"]) == (0, False)
    assert not Verdicts(home.state).ids(release)
    status, whole = gate(home, release)
    assert (status, whole["saved"]) == (0, True)
    assert len(reads(home)) == 1  # the same comparison
    unknown = run(home, "gate", release, "--task", "nothing")
    assert "has no task 'nothing'" in str(unknown.exception)


def test_a_held_out_part_dealt_anew_has_been_read(home: GatewayProcess) -> None:
    config = edited(home, ('"mini", max_tokens', '"nano", max_tokens'))
    gate(home, built(home, config=config), "--anyway", config=config)
    dataset(home, HELD_OUT - 10, "--parent", "none")
    status, found = gate(home, built(home))
    assert (status, found["tasks"][0]["read"]) == (0, 2)
    told = json.loads(run(home, "gate", "reads", "--task", "triage", "--json").stdout)
    assert (len(told["reads"]), told["reads_elsewhere"]) == (2, 0)


def test_what_an_evaluation_has_paid_for_is_not_asked_again(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    release = built(home)
    done = run(home, "eval", "--task", "triage", "--release", release)
    assert done.exit_code == 0, done.output
    sim.reset()
    status, found = gate(home, "", "--plan", "--max-usd", "0.000001")  # of the newest release
    assert (status, len(found["plans"])) == (0, 1)
    assert not asked(sim)
    with Ledger.read(home.state) as ledger:
        assert len(ledger.queries.calls(Filter(origin="eval"), limit=1000)) == 2 * 60
    assert gate(home, release)[0] == 0


def test_rows_that_are_held_out_are_not_evaluated(home: GatewayProcess, sim: SimulatorProcess) -> None:
    rows = home.folder / "rows.jsonl"
    words = ("eval", "--task", "triage", "--model", "mini", "--data", str(rows), "--json")
    done = run(home, *words)
    assert done.exit_code == 0, done.output
    assert f"{HELD_OUT} rows of rows.jsonl are held out" in done.stderr
    assert {at for _, at in asked(sim)} == {text(at) for at in range(ROWS - HELD_OUT)}
    held = [line for line in rows.read_text().splitlines() if '"part": "heldout"' in line]
    rows.write_text("\n".join(held))
    assert "all rows of rows.jsonl are held out" in str(run(home, *words).exception)


def test_another_rule_is_another_comparison(home: GatewayProcess) -> None:
    release = built(home)
    _, first = gate(home, release)
    config = home.folder / "edited.toml"
    config.write_text(home.path.read_text() + "\n[gate]\nalpha = 0.1\n")
    stale = run(home, "release", "promote", release, config=config)
    assert "another rule" in str(stale.exception)
    status, found = gate(home, release, config=config)
    assert status == 0
    assert found["id"] != first["id"]
    assert found["tasks"][0]["read"] == 2
    assert run(home, "release", "promote", release, config=config).exit_code == 0


def test_evidence_that_lapsed_is_gathered_anew(home: GatewayProcess, sim: SimulatorProcess) -> None:
    release = built(home)
    _, first = gate(home, release)
    Verdicts(home.state).lapse(release, first["id"], model="mini", reason="it answers under another name")
    refused = run(home, "release", "promote", release)
    assert "lapsed" in str(refused.exception)
    sim.reset()
    status, found = gate(home, release)
    assert (status, found["known"], found["tasks"][0]["read"]) == (0, False, 2)
    assert asked(sim)["sim-frontier-mini", text(130)] >= 1
    assert run(home, "release", "promote", release).exit_code == 0


def test_a_judge_that_nobody_measured_proves_nothing_and_is_not_asked(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    scorer = '\nscorer = { kind = "judge", model = "frontier", rubric = "The label fits the ticket." }\n'
    config = home.folder / "edited.toml"
    config.write_text(home.path.read_text() + scorer)
    status, found = gate(home, built(home, config=config), "--anyway", config=config)
    assert (status, found["finding"]) == (4, "not-enough-evidence")
    assert "was never measured" in found["tasks"][0]["note"]
    assert reads(home) == []
    assert not asked(sim)


def test_a_new_classifier_is_judged_in_the_same_read(home: GatewayProcess) -> None:
    more = '\n[tasks.summary]\nladder = ["frontier"]\n'
    config = edited(home, ("\n[tasks.triage]", more + "\n[tasks.triage]"))
    rows = [each for each in intents.examples() if each["task"] == "summary"]
    rows += [{"input": text(at), "task": "triage"} for at in range(60)]
    path = str(intents.write(home.folder / "examples.jsonl", rows))
    assert run(home, "router", "intents", "--examples", path, config=config).exit_code == 0
    status, found = gate(home, built(home, config=config), config=config)
    told = {task["task"]: task for task in found["tasks"]}
    both = [(one["against"], one["slice"], one["examples"]) for one in told["triage"]["comparisons"]]
    assert both == [("frontier", "", HELD_OUT), ("frontier", "intents", HELD_OUT)]
    assert (told["triage"]["finding"], told["triage"]["read"], len(reads(home))) == ("pass", 1, 1)
    assert (status, told["summary"]["finding"]) == (4, "not-enough-evidence")
    assert "task 'summary' has no dataset" in told["summary"]["note"]


def test_a_newer_verdict_takes_the_place_of_an_older_pass(home: GatewayProcess) -> None:
    release = built(home)
    _, first = gate(home, release)
    dataset(home, 30, "--parent", "none")
    status, newer = gate(home, release)
    assert (status, newer["finding"]) == (4, "not-enough-evidence")
    refused = str(run(home, "release", "promote", release).exception)
    assert f"verdict {newer['id'][:12]} on release {release[:12]} is no pass" in refused
    refused = str(run(home, "release", "promote", release, "--verdict", first["id"]).exception)
    assert f"verdict {newer['id'][:12]} on release {release[:12]} is newer" in refused


def test_four_eyes_and_a_signature(home: GatewayProcess) -> None:
    me = getpass.getuser()
    release = built(home)
    signed = home.folder / "edited.toml"
    signed.write_text(
        home.path.read_text()
        + f'\n[gate]\napprovers = ["somebody-else", "{me}"]\nsigning_key = "env:GATE_KEY"\n'
    )
    home.environ["GATE_KEY"] = "a key that nobody guesses"
    status, found = gate(home, release, config=signed)
    assert status == 0
    assert found["signature"]
    approved = run(home, "gate", "approve", release, config=signed)
    assert "its author cannot approve it: ask somebody-else" in str(approved.exception)
    # Somebody else built it: now this user may.
    built_by = Releases(home.state).folder / release / "built.json"
    built_by.write_text(built_by.read_text().replace(f'"by":"{me}"', '"by":"somebody-else"'))
    assert "is not approved" in str(run(home, "release", "promote", release, config=signed).exception)
    assert run(home, "gate", "approve", release, config=signed).exit_code == 0
    assert run(home, "release", "promote", release, config=signed).exit_code == 0
    home.environ["GATE_KEY"] = "another key"
    assert "another key" in str(run(home, "release", "promote", release, config=signed).exception)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("gate", "ffff"), "no release begins with 'ffff'"),
        (("gate", "show", "ffff"), "no release begins with 'ffff'"),
        (("gate", "approve", "ffff"), "gate.approvers names nobody"),
        (("gate", "reads", "--task", "nothing"), "task 'nothing' has no dataset"),
    ],
)
def test_errors_name_what_is_wrong(home: GatewayProcess, words: tuple[str, ...], says: str) -> None:
    found = run(home, *words)
    assert isinstance(found.exception, SmallfirstError)
    assert says in str(found.exception)


def test_without_a_dataset_it_says_how_to_make_one(sim: SimulatorProcess, tmp_path: Path) -> None:
    place = GatewayProcess(tmp_path, CONFIG.format(sim=sim.base_url).replace("SMALL", "mini"))
    found = run(place, "gate", built(place))
    assert "smallfirst dataset" in str(found.exception)


def test_money_that_is_spent_stops_it_and_the_same_command_goes_on(home: GatewayProcess) -> None:
    release = built(home)
    found = run(home, "gate", release, "--max-usd", "0.001")
    assert "its money is spent" in str(found.exception)
    status, found = gate(home, release)
    assert status == 0


def test_a_gate_that_was_killed_goes_on_without_paying_twice(
    home: GatewayProcess, sim: SimulatorProcess
) -> None:
    release = built(home)
    command = home.command("gate", release, "--concurrency", "1", "--config", str(home.path), "--json")
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=home.environ)
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and not _answers(home) > 5:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert 5 < _answers(home) < 2 * HELD_OUT
    assert [read["read"] for read in reads(home)] == [1]

    status, found = gate(home, release)
    assert (status, found["tasks"][0]["read"]) == (0, 1)
    assert len(reads(home)) == 1
    # Probes aside, twice is only what was under way when it died.
    counted = asked(sim)
    twice = [each for each, times in counted.items() if each[0] == "sim-frontier" and times > 1]
    assert len(twice) <= 2
    assert sum(each[0] == "sim-frontier" for each in counted) == 60 + HELD_OUT


def _answers(home: GatewayProcess) -> int:
    """Of held-out examples, on the disk."""
    return sum(
        path.read_bytes().count(b"\n") for path in (home.state / "gates").glob("heldout-*/answers.jsonl")
    )


CACHE = "\n[tasks.triage.cache]\nexact = true\n"
SEMANTIC = CACHE + "[tasks.triage.cache.semantic]\ndelta = {}\n"


def with_cache(home: GatewayProcess, piece: str) -> Path:
    path = home.folder / "cached.toml"
    path.write_text(home.path.read_text() + piece)
    return path


def test_a_cache_alone_is_judged_without_asking_anybody(home: GatewayProcess, sim: SimulatorProcess) -> None:
    release = built(home)
    assert gate(home, release)[0] == 0
    assert run(home, "release", "promote", release).exit_code == 0
    sim.reset()

    config = with_cache(home, CACHE)
    exact = built(home, config=config)
    shown = run(home, "release", "diff", exact, "--json", config=config)
    assert "cache.exact: false → true" in shown.output
    assert "no task has anything to be asked" in run(home, "gate", exact, "--plan", config=config).output
    status, found = gate(home, exact, config=config)
    assert (status, found["tasks"][0]["read"], found["tasks"][0]["comparisons"]) == (0, 0, [])
    assert "only which answers are given again differs" in found["tasks"][0]["note"]
    assert gate(home, exact, config=config)[1]["known"]
    path = home.folder / "verdict.md"
    assert run(home, "gate", "show", exact, "--markdown", str(path), config=config).exit_code == 0
    assert "Nothing had to be asked." in path.read_text()

    config = with_cache(home, SEMANTIC.format(0.01))
    status, found = gate(home, built(home, config=config), config=config)
    (one,) = found["tasks"][0]["comparisons"]
    assert (status, one["examples"], one["margin"]) == (0, HELD_OUT, pytest.approx(0.09))
    assert one["bound"] < 0.09
    assert not asked(sim)
    assert len(reads(home)) == 1
    assert run(home, "release", "promote", exact, config=config).exit_code == 0


def test_a_cache_takes_its_part_of_the_margin(home: GatewayProcess, sim: SimulatorProcess) -> None:
    limit = "[tasks.triage.gate]\ncache_error_max = 0.01\n"
    config = with_cache(home, SEMANTIC.format(0.02) + limit)
    status, found = gate(home, built(home, config=config), config=config)
    assert (status, found["tasks"][0]["budgets"][0]["finding"]) == (3, "fail")
    assert "gate.cache_error_max is 0.01" in found["tasks"][0]["note"]
    assert not asked(sim)

    config = with_cache(home, SEMANTIC.format(0.01) + limit)
    status, found = gate(home, built(home, config=config), config=config)
    (task,) = found["tasks"]
    assert (status, task["read"], task["comparisons"][0]["margin"]) == (0, 1, pytest.approx(0.09))
    assert "the margin is 0.1 less the 0.01 that the semantic cache may lose" in task["note"]
    asked_then = sum(asked(sim).values())

    config = with_cache(
        home, SEMANTIC.format(0.005) + limit
    )  # other evidence is asked for, and no new answers
    status, found = gate(home, built(home, config=config), config=config)
    assert (status, found["tasks"][0]["read"]) == (0, 2)
    probes = 16  # eight prompts of the small model, twice
    assert sum(asked(sim).values()) == asked_then + probes


def test_the_baseline_may_be_cached_without_a_dataset(sim: SimulatorProcess, tmp_path: Path) -> None:
    text = CONFIG.format(sim=sim.base_url).replace('{ model = "SMALL", max_tokens = 16 }, ', "")
    label = next(line for line in text.splitlines() if line.startswith("contract"))
    home = GatewayProcess(tmp_path, text.replace(label, "") + CACHE)
    release = built(home)
    status, found = gate(home, release)
    assert (status, found["tasks"][0]["dataset"]) == (0, "")
    assert run(home, "release", "promote", release).exit_code == 0
