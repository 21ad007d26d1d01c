"""What larger models taught a dataset stays in train in every later version, but for what was erased or may no longer be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from support.datasets import LABELS, make, row

from smallfirst.datasets.addition import Change, add
from smallfirst.datasets.build import Order, build
from smallfirst.datasets.example import Example
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.row import Row, Tally
from smallfirst.datasets.store import Dataset, Datasets
from smallfirst.datasets.taught import FORBIDDEN, FORGOTTEN, UNMET
from smallfirst.ledger.erasure import call_sha256

TEXTS = [f"question {at} about the thing called {at * 7919} of mine" for at in range(60)]
OWN = [row(text, LABELS.labels[at % 3], id=f"t-{at}") for at, text in enumerate(TEXTS)]


def taught_row(text: str, label: str = "bug", **fields: Any) -> Row:
    told: dict[str, Any] = {
        "reference_by": "model:big",
        "provider": "sim",
        "source": "new.jsonl",
        "taught": True,
    }
    return row(text, label, **(told | fields))


def synthetic_row(text: str, *after: str) -> Row:
    return taught_row(text, reference_by="synthetic:big", source="synthetic", synthetic=True, after=after)


def taught(state: Path, *rows: Row, own: list[Row] = OWN) -> Dataset:
    """A dataset of people's examples, and what a model has added to it."""
    parent = Datasets(state).open(make(state, own).id)
    order = Order(task="triage", contract=LABELS, simulated=frozenset({"sim"}))
    change = Change(rows=[(one, "") for one in rows])
    return Datasets(state).open(add(change, parent, order, Datasets(state), redactor=Redactor(())).id)


def built(state: Path, parent: Dataset, rows: list[Row] = OWN, **order: Any) -> Dataset:
    told = Order(**({"task": "triage", "contract": LABELS} | order))
    result = build(rows, told, Datasets(state), redactor=Redactor(()), tally=Tally(), parent=parent)
    return Datasets(state).open(result.id)


def learned(dataset: Dataset) -> list[Example]:
    return [one for one in dataset.examples("train") if one.lineage.taught]


def texts(examples: list[Example]) -> set[str]:
    return {one.messages[0]["content"] for one in examples}


def test_a_later_version_has_what_its_parent_was_taught(tmp_path: Path) -> None:
    parent = taught(
        tmp_path, taught_row("asked by nobody yet"), synthetic_row("written by a model", "call-1")
    )
    made = built(tmp_path, parent)
    assert msgspec.to_builtins(learned(made)) == msgspec.to_builtins(learned(parent)), (
        "and all that is said of it"
    )
    assert {one.lineage.simulated for one in learned(made)} == {True}, "whatever the configuration says now"
    parts = {part: told.rows for part, told in made.manifest.parts.items()}
    assert parts == {part: told.rows for part, told in parent.manifest.parts.items()}
    assert made.manifest.sources == {"test.jsonl": 60, "new.jsonl": 1, "synthetic": 1}
    assert built(tmp_path, made).id == made.id, "where nothing has come, it is the same again"
    assert texts(learned(built(tmp_path, made, OWN[:50]))) == texts(learned(parent))


def test_a_persons_word_takes_the_place_of_the_models(tmp_path: Path) -> None:
    parent = taught(tmp_path, taught_row("asked by nobody yet", "bug"))
    made = built(tmp_path, parent, [*OWN, row("Asked by nobody yet", "billing")])
    assert learned(made) == []
    (one,) = [one for one in made.examples("train") if one.messages[0]["content"] == "Asked by nobody yet"]
    assert (one.label, one.lineage.reference_by) == ("billing", "gold")


def test_an_answer_that_was_asked_for_wins_over_a_recorded_one_and_a_real_question_over_a_written_one(
    tmp_path: Path,
) -> None:
    parent = taught(tmp_path, taught_row("asked by somebody", "bug"), synthetic_row("asked by one more"))
    recorded = [
        row(text, "billing", source="ledger", reference_by="model:other", provider="up")
        for text in ("asked by somebody", "asked by one more")
    ]
    by_text = {
        one.messages[0]["content"]: one
        for one in built(tmp_path, parent, [*OWN, *recorded]).examples("train")
    }
    assert by_text["asked by somebody"].label == "bug"
    assert (by_text["asked by one more"].label, by_text["asked by one more"].synthetic) == ("billing", False)


def test_what_was_erased_forbidden_or_is_no_answer_any_more_does_not_come_along(tmp_path: Path) -> None:
    rows = [
        taught_row("of a call that is erased", call="gone", source="ledger"),
        synthetic_row("written after such a call", "here", "gone"),
        taught_row("answered by one that forbids it", provider="strict"),
        taught_row("with a label that is none now", "how-to"),
        taught_row("that may stay", call="here", source="ledger"),
    ]
    parent = taught(tmp_path, *rows)
    assert {calls for member in parent.members() for calls in member.calls} == {"gone", "here"}
    own = [one for one in OWN if one.reference != "how-to"]
    made = built(
        tmp_path, parent, own,
        contract=msgspec.structs.replace(LABELS, labels=("billing", "bug")),
        forbidden=frozenset({"strict"}), forgotten=frozenset({call_sha256("gone")}),
    )  # fmt: skip
    assert texts(learned(made)) == {"that may stay"}
    assert made.manifest.skipped == {FORGOTTEN: 2, FORBIDDEN: 1, UNMET: 1}
    assert made.manifest.taken_over == 1


def test_a_conversation_that_was_taught_keeps_the_rest_of_it_out_of_held_out(tmp_path: Path) -> None:
    """Its key is in no example: only in who is bound to whom."""
    parent = taught(tmp_path, taught_row("how the talk began", keys=("conversation:7",)))
    made = built(tmp_path, built(tmp_path, parent, OWN[:55]), OWN)
    later = [
        row(f"turn {at} of that talk, on matter {at * 31}", "bug", keys=("conversation:7",))
        for at in range(30)
    ]
    last = built(tmp_path, made, [*OWN, *later])
    train = {member.id for member in last.members() if member.part == "train"}
    assert len(train) == made.manifest.parts["train"].rows + 30


def test_what_stands_in_train_alone_takes_nobodys_place_there(tmp_path: Path) -> None:
    """Shares are of the task's own questions: else many written ones would push all real ones out of train."""
    written = [synthetic_row(f"written message number {at} on matter {at * 613}") for at in range(200)]
    parent = taught(tmp_path, *written)
    later = [row(f"new question {at} about the other thing {at * 6121}", "bug") for at in range(100)]
    now, before = built(tmp_path, parent, [*OWN, *later]), Datasets(tmp_path).open(parent.manifest.parent)
    came = {
        part: now.manifest.parts[part].rows - before.manifest.parts[part].rows for part in now.manifest.parts
    }
    assert came["train"] - len(written) == 60
    assert (came["calibration"], came["heldout"]) == (20, 20)


def test_a_split_by_time_asks_for_no_time_of_what_was_written(tmp_path: Path) -> None:
    own = [msgspec.structs.replace(one, at_ms=1_000 + at) for at, one in enumerate(OWN)]
    parent = taught(tmp_path, synthetic_row("written by a model"), own=own)
    made = built(tmp_path, parent, own, rule=Rule(by_time=True))
    assert texts(learned(made)) == {"written by a model"}
