"""Another classifier of the calls that name no task is a change like any other: judged on held-out examples, without asking a model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import intents
from support.datasets import make, row

from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.store import Artifacts, Described
from smallfirst.config.schema import Config, Model, Provider, Task
from smallfirst.contracts import LabelContract, TextContract
from smallfirst.datasets.manifest import Rule
from smallfirst.errors import ReleaseError
from smallfirst.evals.session import Home
from smallfirst.gate.gate import Found, Gate, Wish
from smallfirst.gate.intents import intents_of
from smallfirst.gate.reads import Reads
from smallfirst.gate.report import markdown
from smallfirst.ledger import Ledger
from smallfirst.releases import Live, Releases, load_serving
from smallfirst.releases.bundle import baseline
from smallfirst.releases.promotion import Promoter, Promotion
from smallfirst.releases.verdict import TaskVerdict
from smallfirst.training.intent_fit import fit_task_intents
from smallfirst.training.task_rows import read_task_examples

SHORT = ("triage", "extract")  # the tasks that have datasets
HELD_OUT = 140
SAID = {
    "triage": "I was charged {} times on my invoice {}",
    "extract": "Shipping note: {} parcels to Hamburg, order {}",
}
CROSSED = {"triage": "extract", "extract": "triage", "summary": "summary"}


def configured(**more: Any) -> Config:
    """Every task is the frontier's, so that no model is asked: only the classifier can change."""
    contracts = {
        "triage": LabelContract(labels=("a", "b")),
        "extract": TextContract(),
        "summary": TextContract(),
    }
    return Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
        models={"frontier": Model(provider="p")},
        tasks={
            name: Task(ladder=("frontier",), contract=each, margin=0.1) for name, each in contracts.items()
        },
        **more,
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Classifiers: one that is right, another that is as good, one that takes two tasks for one another, one that knows only two."""
    rows = intents.examples(junk=True)
    crossed = [each | {"task": CROSSED.get(each["task"], each["task"])} for each in rows]
    short = [each for each in rows if each["task"] != "summary"]
    folder = tmp_path_factory.mktemp("rows")

    def fit(rows: list[dict[str, Any]]) -> bytes:
        read = read_task_examples(intents.write(folder / "rows.jsonl", rows), tuple(intents.SYSTEM))
        return fit_task_intents(read, open_embedder("wordllama")).data

    return {"right": fit(short), "other": fit(short[4:]), "crossed": fit(crossed), "all": fit(rows)}


class Place:
    """A state directory with datasets of two tasks."""

    def __init__(self, state: Path, fitted: dict[str, bytes]) -> None:
        self.home = Home(configured(), state, state, {})
        self._fitted = fitted
        for task in SHORT:
            self.dataset(task)

    def dataset(self, task: str) -> None:
        parts = ["calibration"] * 60 + ["heldout"] * HELD_OUT
        said = SAID.get(task, "Minutes of meeting {}: the board approved budget {}")
        rows = [
            row(said.format(at % 9, 7919 * at), "a" if task == "triage" else ["fine"], split=part)
            for at, part in enumerate(parts)
        ]
        make(
            self.home.state,
            rows,
            task=task,
            contract=self.home.config.tasks[task].contract,
            rule=Rule(near=2),
        )

    def release(self, classifier: str = "") -> str:
        artifacts = Artifacts(self.home.state)
        made = baseline(self.home.config)
        if classifier:
            sha256 = artifacts.save(self._fitted[classifier], Described(at_ms=1, kind="intents", task=""))
            made = msgspec.structs.replace(made, intents=sha256)
        return Releases(self.home.state).save(made, artifacts=artifacts)[0]

    def gate(self, release: str, **wish: Any) -> Found:
        return asyncio.run(Gate(self.home, release, Wish(**wish)).judge())

    def promote(self, release: str, unproven: str = "") -> None:
        Promoter(self.home.state, self.home.config, {}).promote(release, Promotion(unproven=unproven))

    @property
    def reads(self) -> int:
        with Ledger.read(self.home.state) as ledger:
            return len(ledger.queries.events(kind="heldout-read", limit=None))


@pytest.fixture
def place(tmp_path: Path, fitted: dict[str, bytes]) -> Place:
    return Place(tmp_path, fitted)


def tasks(found: Found) -> dict[str, TaskVerdict]:
    assert found.verdict is not None
    return {each.task: each for each in found.verdict.tasks}


def test_a_first_classifier_that_takes_calls_rightly_passes_and_its_reads_count(place: Place) -> None:
    release = place.release("right")
    found = place.gate(release)
    told = tasks(found)
    assert {name: each.finding for name, each in told.items()} == dict.fromkeys(intents.SYSTEM, "pass")
    for task in SHORT:
        (one,) = told[task].comparisons
        assert (one.against, one.slice, one.examples, one.score) == ("frontier", "intents", HELD_OUT, 1.0)
        assert one.bound <= one.margin == 0.1
        assert (told[task].read, told[task].unchanged) == (1, True)
    assert not told["summary"].comparisons  # neither classifier knows it
    assert place.reads == 2
    assert place.gate(release).known
    assert place.reads == 2
    place.promote(release)
    serving = load_serving(Live(release=release), state=place.home.state, config=place.home.config)
    assert serving.intents == Releases(place.home.state).load(release).intents


def test_one_that_takes_calls_for_other_tasks_fails_though_no_policy_changed(place: Place) -> None:
    place.dataset("summary")
    found = place.gate(place.release("crossed"))
    told = tasks(found)
    assert found.verdict is not None
    assert found.verdict.finding == "fail"
    assert {name: each.finding for name, each in told.items()} == {
        "triage": "fail", "extract": "fail", "summary": "pass",
    }  # fmt: skip
    assert "calibration shows already that it is worse" in told["triage"].note
    assert (told["triage"].read, told["triage"].comparisons[0].finding) == (0, "fail")
    assert place.reads == 1
    found = place.gate(place.release("crossed"), anyway=True)
    assert (tasks(found)["triage"].finding, tasks(found)["triage"].read) == ("fail", 1)
    assert tasks(found)["triage"].comparisons[0].loss > 0.9


def test_a_live_classifier_is_compared_too_and_none_at_all_needs_no_evidence(place: Place) -> None:
    first = place.release("right")
    place.gate(first)
    place.promote(first)
    again = tasks(place.gate(place.release("other")))["triage"]
    assert [one.against for one in again.comparisons] == ["live", "frontier"]
    assert (again.finding, again.read) == ("pass", 2)
    without = place.gate(place.release())
    assert all(each.unchanged and not each.comparisons for each in tasks(without).values())
    assert without.verdict is not None
    assert without.verdict.finding == "pass"
    assert place.reads == 4


def test_what_is_live_without_proof_proves_nothing_for_itself(place: Place) -> None:
    name, state = place.release("crossed"), place.home.state
    made = Releases(state).load(name)
    assert intents_of(state, name, made, (name, made), proven=True) is None
    unproven = intents_of(state, name, made, (name, made), proven=False)
    assert unproven is not None
    assert (unproven.candidate, unproven.live) == (made.intents, None)


def test_a_verdict_on_another_classifier_proves_nothing(place: Place) -> None:
    judged, other, state = place.release("right"), place.release("other"), place.home.state
    verdict = place.gate(judged).verdict
    assert verdict is not None
    (state / "verdicts" / judged).rename(state / "verdicts" / other)
    with pytest.raises(ReleaseError, match=f"is on release {judged[:12]}, not on {other[:12]}"):
        load_serving(Live(release=other, verdict=verdict.id), state=state, config=place.home.config)


def test_a_task_without_a_dataset_is_named(place: Place) -> None:
    found = place.gate(place.release("all"))
    told = tasks(found)
    assert {name: each.finding for name, each in told.items()} == {
        "triage": "pass", "extract": "pass", "summary": "not-enough-evidence",
    }  # fmt: skip
    assert "task 'summary' has no dataset" in told["summary"].note
    assert found.verdict is not None
    assert "No dataset." in markdown(found.verdict)
    assert "what takes calls for the task is not" in markdown(found.verdict)
    place.dataset("summary")
    assert tasks(place.gate(place.release("all")))["summary"].finding == "pass"


def test_a_plan_shows_no_held_out_example_to_anything(place: Place) -> None:
    found = place.gate(place.release("right"), plan_only=True)
    assert {one.slice for plan in found.plans for one in plan.prospects} == {"intents"}
    assert found.plans[0].prospects[0].chance > 0.9
    assert place.reads == 0
    assert Reads(place.home.state, alpha=0.05).elsewhere("triage", ()) == 0
