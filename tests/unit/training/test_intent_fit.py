"""The intent classifier: right with and without a system prompt, and none of them for what is none."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import intents

from smallfirst.classify import artifact
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.embedders import open_embedder
from smallfirst.errors import ConfigError, ReleaseError
from smallfirst.routing.intent import Intent, IntentClassifier, load_intents
from smallfirst.training.intent_fit import IntentFit, fit_task_intents
from smallfirst.training.scope import cut
from smallfirst.training.task_rows import read_task_examples
from smallfirst.wire.turns import Conversation, Turn

TASKS = tuple(intents.SYSTEM)
VAGUE = "Here is one more, it came in today"
FOREIGN = "Translate what the user says into French. Answer with the translation and nothing else."


def fit(folder: Path, rows: list[dict[str, Any]]) -> IntentFit:
    read = read_task_examples(intents.write(folder / "rows.jsonl", rows), TASKS)
    return fit_task_intents(read, open_embedder("wordllama"))


def load(folder: Path, fitted: IntentFit, embedder: Embedder | None = None) -> IntentClassifier:
    path = folder / f"{artifact.unpack(fitted.data).sha256}.safetensors"
    path.write_bytes(fitted.data)
    return load_intents(path, lambda name: embedder or open_embedder(name))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> IntentFit:
    return fit(tmp_path_factory.mktemp("rows"), intents.examples())


@pytest.fixture(scope="module")
def ask(fitted: IntentFit, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Intent]:
    classifier = load(tmp_path_factory.mktemp("artifact"), fitted)

    def asked(text: str, system: str = "", *earlier: Turn, near: bool = False) -> Intent:
        conversation = Conversation(turns=(*earlier, Turn("user", text)), system=system)
        return classifier.find_now(conversation, near=near)

    return asked


@pytest.mark.parametrize("task", TASKS)
def test_the_question_alone_is_enough(ask: Callable[..., Intent], task: str) -> None:
    found = ask(intents.ASKED[task])
    assert found.task == task
    assert found.probability > 0.5
    assert next(iter(found.nearest)) == task


@pytest.mark.parametrize("task", TASKS)
def test_a_known_system_prompt_makes_it_sure(ask: Callable[..., Intent], task: str) -> None:
    told = ask(intents.ASKED[task], intents.SYSTEM[task])
    assert (told.task, told.probability > 0.95) == (task, True)
    cut_short = intents.SYSTEM[task].rsplit(" ", 2)[0]  # the same application, a little later
    assert ask(intents.ASKED[task], cut_short).task == task
    assert ask(VAGUE).task == ""
    assert ask(VAGUE, intents.SYSTEM[task]).task == task


@pytest.mark.parametrize("task", TASKS)
def test_a_question_under_another_applications_prompt_is_none(ask: Callable[..., Intent], task: str) -> None:
    assert ask(intents.ASKED[task], FOREIGN).task == ""


def test_the_system_prompt_overrules_the_question(ask: Callable[..., Intent]) -> None:
    assert ask(intents.ASKED["triage"], intents.SYSTEM["summary"]).task in ("summary", "")


@pytest.mark.parametrize("text", intents.JUNK)
def test_junk_is_none_without_any_example_of_it(ask: Callable[..., Intent], text: str) -> None:
    found = ask(text)
    assert found.task == ""
    assert found.in_scope < found.least
    assert ask(text, FOREIGN).task == ""


def test_what_was_said_before_counts(ask: Callable[..., Intent]) -> None:
    said = (Turn("user", intents.ASKED["triage"]), Turn("assistant", "billing"))
    alone, later = ask("and this one too"), ask("and this one too", "", *said)
    assert later.nearest.get("triage", 0) > alone.nearest.get("triage", 0)


def test_the_nearest_examples_are_told_by_id_where_wanted(ask: Callable[..., Intent]) -> None:
    assert ask(intents.ASKED["extract"]).near == ()
    assert all(one.id.startswith("extract-") for one in ask(intents.ASKED["extract"], near=True).near)


def test_examples_without_system_prompts_leave_them_out_of_account(tmp_path: Path) -> None:
    found = fit(tmp_path, intents.examples(system=False))
    assert not found.report["system_prompts"]
    classifier = load(tmp_path, found)
    asked = Conversation(turns=(Turn("user", intents.ASKED["triage"]),), system=intents.SYSTEM["triage"])
    assert classifier.find_now(asked).task == "triage"


def test_one_prompt_for_all_tasks_tells_nothing(tmp_path: Path) -> None:
    same = [{"role": "system", "content": "You are a helpful assistant."}]
    rows = [
        {"task": row["task"], "messages": [*same, {"role": "user", "content": row["input"]}]}
        for row in intents.examples(system=False)
    ]
    classifier = load(tmp_path, fit(tmp_path, rows))

    def taken(text: str) -> str:
        return classifier.find_now(
            Conversation(turns=(Turn("user", text),), system="You are a helpful assistant.")
        ).task

    assert [taken(intents.ASKED[task]) for task in TASKS] == list(TASKS)
    assert [taken(text) for text in intents.JUNK] == [""] * len(intents.JUNK)


def test_a_task_that_never_had_a_prompt_is_seen_by_its_question(tmp_path: Path) -> None:
    rows = [
        row
        if row["task"] != "extract" or "input" in row
        else {"id": row["id"], "task": "extract", "input": row["messages"][1]["content"]}
        for row in intents.examples()
    ]
    classifier = load(tmp_path, fit(tmp_path, rows))
    for task in ("extract", "triage"):
        asked = Conversation(turns=(Turn("user", intents.ASKED[task]),), system=FOREIGN)
        assert classifier.find_now(asked).task == ("extract" if task == "extract" else "")


def test_one_task_and_what_is_none(tmp_path: Path) -> None:
    rows = [row for row in intents.examples(junk=True) if row["task"] in ("triage", None)]
    classifier = load(tmp_path, fit(tmp_path, rows))
    assert classifier.find_now(Conversation(turns=(Turn("user", intents.ASKED["triage"]),))).task == "triage"
    assert (
        classifier.find_now(Conversation(turns=(Turn("user", "How tall is the Eiffel tower?"),))).task == ""
    )


def test_two_tasks_and_nothing_else(tmp_path: Path) -> None:
    rows = [row for row in intents.examples(system=False) if row["task"] != "summary"]
    classifier = load(tmp_path, fit(tmp_path, rows))
    assert classifier.find_now(Conversation(turns=(Turn("user", intents.ASKED["triage"]),))).task == "triage"
    assert classifier.find_now(Conversation(turns=(Turn("user", intents.JUNK[0]),))).task == ""


def test_a_call_without_a_word_is_none(ask: Callable[..., Intent]) -> None:
    assert ask("").task == ""


def test_the_report_tells_what_was_kept(fitted: IntentFit) -> None:
    told = fitted.report
    assert told["tasks"] == sorted(TASKS)
    assert told["kept"] >= 0.95
    assert told["accuracy"] >= 0.95
    assert told["oos_recall"] is None
    assert told["by_task"]["triage"] | {"accuracy": 1, "kept": 1} == {
        "examples": 48,
        "with_system_prompt": 24,
        "accuracy": 1,
        "kept": 1,
    }


def test_no_text_is_kept_and_the_same_rows_make_the_same_bytes(fitted: IntentFit, tmp_path: Path) -> None:
    assert b"charged twice" not in fitted.data
    assert b"help desk" not in fitted.data
    assert fit(tmp_path, intents.examples()).data == fitted.data


def test_slow_embedders_are_asked_off_the_loop_and_other_weights_are_refused(
    fitted: IntentFit, tmp_path: Path
) -> None:
    class Slow:
        name, dimensions, slow = "slow", 256, True

        def __init__(self, sha256: str) -> None:
            self.sha256 = sha256

        def embed(self, texts: list[str]) -> np.ndarray:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return open_embedder("wordllama").embed(texts)

    classifier = load(tmp_path, fitted, Slow(open_embedder("wordllama").sha256))
    found = asyncio.run(classifier.find(Conversation(turns=(Turn("user", intents.ASKED["triage"]),))))
    assert found.task == "triage"
    with pytest.raises(ReleaseError, match="was fitted with embedder wordllama"):
        load(tmp_path, fitted, Slow("0" * 64))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"input": "x", "task": "triag"}',
            'line 1: task: "triag" is not configured; did you mean "triage"?',
        ),
        ('{"input": "x"}', "line 1: task: required, but missing"),
        ('{"task": "triage"}', "line 1: messages: required, but missing"),
        ('{"input": 3, "task": "triage"}', r"line 1: Expected `str \| null`, got `int` - at `\$.input`"),
        ('{"messages": [{"content": "x"}], "task": null}', "line 1: messages"),
        (
            '{"messages": [{"role": "system", "content": "x"}], "task": null}',
            "line 1: messages: there is no user",
        ),
        ("nonsense", "line 1: JSON is malformed"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ConfigError, match=message.replace("?", r"\?") if "mean" in message else message):
        read_task_examples(path, TASKS)


def test_too_few_rows_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    rows = intents.examples(system=False)
    few = [row for row in rows if row["task"] == "triage"] + [
        row for row in rows if row["task"] == "extract"
    ][:4]
    with pytest.raises(ConfigError, match="task 'extract' has 4 examples; 5 at least"):
        fit(tmp_path, few)
    with pytest.raises(ConfigError, match="nothing to tell apart"):
        fit(tmp_path, few[:-4])


def test_the_cut_keeps_what_it_must_and_goes_lower_where_that_costs_nothing() -> None:
    inside = np.arange(100.0)
    assert cut(inside, np.zeros(0)) == 5.0
    assert (inside >= cut(inside, np.array([50.0, 60.0]))).mean() >= 0.95
    assert cut(inside, np.full(10, -9.0)) == -4.5


DATA = Path(os.environ.get("SMALLFIRST_DATA") or Path(__file__).parents[4] / "shared" / "data") / "clinc150"


def test_clinc150(tmp_path: Path) -> None:
    """Ten intents as tasks, 100 examples of each and 100 out of scope; measured on validation rows."""
    if not DATA.is_dir():
        pytest.skip(f"needs clinc150 in {DATA.parent}; SMALLFIRST_DATA says where the data are")

    def rows(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]

    train = rows("train.jsonl")
    kinds = sorted({row["label"] for row in train})[::15]
    path = intents.write(
        tmp_path / "clinc.jsonl",
        [row | {"task": row["label"]} for row in train if row["label"] in kinds]
        + [row | {"task": None} for row in rows("oos_train.jsonl")],
    )
    classifier = load(tmp_path, fit_task_intents(read_task_examples(path, kinds), open_embedder("wordllama")))

    def taken(text: str) -> Intent:
        return classifier.find_now(Conversation(turns=(Turn("user", text),)))

    inside = [(row["label"], taken(row["input"])) for row in rows("val.jsonl") if row["label"] in kinds]
    outside = [taken(row["input"]) for row in rows("oos_val.jsonl")]
    accuracy = np.mean(
        [max(found.nearest, key=found.nearest.__getitem__) == label for label, found in inside]
    )
    right = np.mean([found.task == label for label, found in inside])
    recall = np.mean([found.task == "" for found in outside])
    print(f"clinc150: likeliest {accuracy:.3f}, taken rightly {right:.3f}, out of scope {recall:.3f}")
    assert accuracy >= 0.96
    assert right >= 0.9
    assert recall >= 0.85
