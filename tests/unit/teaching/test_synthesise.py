"""Thin labels are written for, tenant by tenant, and what is written is held against the real examples before it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.datasets import LABELS, make, row
from support.ledger import call, settlement
from support.tickets import SAID, WHERE

from smallfirst.config.load import load
from smallfirst.contracts import JsonContract, LabelContract, TextContract
from smallfirst.datasets.held import Marks
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.screen import LIKE, THERE
from smallfirst.datasets.store import Datasets, read_part
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.evals.session import Home
from smallfirst.evals.store import Answered
from smallfirst.ledger.erasure import Erasure, erase
from smallfirst.ledger.ledger import Ledger
from smallfirst.teaching import synthesise
from smallfirst.teaching.lesson import Lesson, lesson_of
from smallfirst.teaching.synthesise import Wish, Written, asked_for, check_any, select_written
from smallfirst.teaching.teacher import Teacher
from smallfirst.teaching.writing import Subject, question_of

CONFIG = """
[providers.up]
base_url = "http://127.0.0.1:9/v1"
[models.big]
provider = "up"
[tasks.triage]
contract = { type = "label", labels = ["billing", "bug", "how-to"] }
ladder = ["big"]
"""
TEACHER = Teacher(name="big", provider="up", simulated=False)
NO_MARKS = Marks()


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    """Tickets of two tenants, few of them how-to."""
    rows = [
        row(f"{said} {where}", label, tenant="acme" if at % 2 else "zeta")
        for label, some in SAID.items()
        for said in some
        for at, where in enumerate(WHERE if label != "how-to" else WHERE[:3])
    ]
    make(tmp_path, rows, rule=Rule(near=0.9, ratios=(0.8, 0.1, 0.1)))
    path = tmp_path / "smallfirst.toml"
    path.write_text(CONFIG, "utf-8")
    return lesson_of(Home(load(path), tmp_path, tmp_path, {}), "triage", "newest", note="")


def written(lesson: Lesson, texts: Sequence[Any], wish: Wish, **answer: Any) -> Written:
    """What comes of one answer to the first batch."""
    asked = asked_for(list(lesson.parent.examples("train")), lesson.contract, wish, lesson.marks)
    told: dict[str, Any] = {"output": json.dumps(list(texts)), "score": 1.0}
    one = Answered(arm="big", example=asked.batches[0].id, call="c", **(told | answer))
    return select_written({one.example: one}, asked, wish, lesson, teacher=TEACHER, progress=lambda *_: None)


def whys(found: Written) -> list[str]:
    return [one["why"] for one in found.rejected]


def test_thin_labels_are_wished_for_and_seeds_are_of_one_tenant(lesson: Lesson) -> None:
    examples = list(lesson.parent.examples("train"))
    counts = {label: sum(one.label == label for one in examples) for label in LABELS.labels}
    asked = asked_for(examples, LABELS, Wish(per_label=counts["bug"], at_once=4, seeds=3), NO_MARKS)
    assert asked.wanted == {
        label: counts["bug"] - count for label, count in counts.items() if count < counts["bug"]
    }
    for batch in asked.batches:
        assert {(seed.tenant, seed.label) for seed in batch.seeds} == {(batch.tenant, batch.label)}
        assert 0 < len(batch.seeds) <= 3
    assert {batch.tenant for batch in asked.batches} == {"acme", "zeta"}
    assert len({batch.id for batch in asked.batches}) == len(asked.batches)
    assert sum(batch.count for batch in asked.batches) >= sum(asked.wanted.values())


def test_a_label_without_a_real_example_cannot_be_written_for() -> None:
    asked = asked_for([], LABELS, Wish(per_label=5), NO_MARKS)
    assert set(asked.cannot) == set(LABELS.labels)
    with pytest.raises(DatasetError, match="no real example"):
        check_any(asked, Wish(per_label=5))


def test_nothing_is_written_for_labels_that_have_enough(lesson: Lesson) -> None:
    wish = Wish(per_label=1)
    asked = asked_for(list(lesson.parent.examples("train")), LABELS, wish, NO_MARKS)
    with pytest.raises(DatasetError, match="no label has fewer than 1 train examples"):
        check_any(asked, wish)


@pytest.mark.parametrize(
    ("contract", "labels", "says"),
    [
        (TextContract(), (), "one label of a set, or for JSON"),
        (LabelContract(("a", "b"), pick="several"), (), "one label of a set, or for JSON"),
        (LABELS, ("refund",), "'refund' is not one of the task's labels"),
        (JsonContract(schema={}), ("bug",), "has no labels"),
    ],
)
def test_what_cannot_be_written_for_is_said(contract: Any, labels: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        asked_for([], contract, Wish(per_label=5, labels=labels), NO_MARKS)


def test_written_examples_are_marked_and_stand_in_train(lesson: Lesson) -> None:
    wish = Wish(per_label=40, labels=("how-to",))
    texts = ["How do I invite my whole team at once", "Where do I change who may see a board"]
    found = written(lesson, [*texts, "Mail me at a@b.example how I add a filter"], wish)
    assert (found.kept, whys(found)) == ({"how-to": 3}, [])
    made = Datasets(lesson.home.state).open(lesson.make(found.change).id)
    new = [one for one in made.examples("train") if one.synthetic]
    assert {one.label for one in new} == {"how-to"}
    assert {one.lineage.reference_by for one in new} == {"synthetic:big"}
    assert {one.lineage.provider for one in new} == {"up"}
    assert {one.tenant for one in new} <= {"acme", "zeta"}
    assert "Mail me at <EMAIL_1> how I add a filter" in {one.messages[0]["content"] for one in new}
    parts = made.manifest.parts
    assert (parts["train"].synthetic, parts["calibration"].synthetic, parts["heldout"].synthetic) == (3, 0, 0)
    assert parts["train"].verified == lesson.parent.manifest.parts["train"].rows


def test_a_written_message_names_the_calls_that_it_was_written_after(tmp_path: Path, lesson: Lesson) -> None:
    calls = {
        f"c-{at}": text
        for at, text in enumerate(("How do I add a user", "Where is my profile", "How can I sort"))
    }
    more = [row(text, "how-to", call=name, source="ledger") for name, text in calls.items()]
    state = tmp_path / "of-calls"
    make(
        state,
        more + [row(f"It crashes on page {at}") for at in range(9)],
        rule=Rule(ratios=(1, 0, 0), near=2, same=2),
    )
    home = Home(lesson.home.config, state, state, {})
    told = lesson_of(home, "triage", "newest", note="")
    wish = Wish(per_label=9, labels=("how-to",))
    found = written(told, ["How do I invite my whole team at once"], wish)
    made = Datasets(state).open(told.make(found.change).id)
    (new,) = [one for one in made.examples("train") if one.synthetic]
    assert set(new.lineage.after) == set(calls)
    (member,) = [one for one in made.members() if one.id == new.id]
    assert set(member.calls) == set(calls)
    (batch, *_) = asked_for(list(made.examples("train")), told.contract, wish, told.marks).batches
    subject = Subject(name="triage", contract=told.contract)
    assert set(question_of(batch, subject).lineage.after) == set(calls), (
        "and so does the question, until it is erased"
    )


def test_who_asks_for_the_rest_asks_something_else(lesson: Lesson) -> None:
    """Else a model that answers the same to the same would never bring more."""
    wish = Wish(per_label=60, labels=("bug",), seeds=3)
    examples = list(lesson.parent.examples("train"))
    first = asked_for(examples, LABELS, wish, NO_MARKS).batches[0]
    assert first == asked_for(examples, LABELS, wish, NO_MARKS).batches[0]
    one = msgspec.structs.replace(examples[0], id="w", synthetic=True, label="how-to")
    assert asked_for([*examples, one], LABELS, wish, NO_MARKS).batches[0].asked != first.asked


def test_what_was_erased_is_not_taught_on(lesson: Lesson, tmp_path: Path) -> None:
    state = tmp_path / "erased"
    ledger = Ledger.open(state)
    told = call()
    ledger.journal.append_settlement(settlement(told))
    ledger.importer.import_now()
    ledger.close()
    make(state, [row(f"It crashes on page {at}", call=told.id if at == 3 else "") for at in range(20)])
    home = Home(lesson.home.config, state, state, {})
    lesson_of(home, "triage", "newest", note="")
    assert erase(state, Erasure(at_ms=told.at_ms + 1, call=told.id)).calls == 1
    with pytest.raises(
        DatasetError, match=r"1 examples of dataset .* erased since: `smallfirst dataset build` first"
    ):
        lesson_of(home, "triage", "newest", note="")


def test_copies_are_not_kept_whatever_part_they_copy(lesson: Lesson) -> None:
    own = {
        part: next(one for one in read_part(lesson.parent, part)).messages[0]["content"]
        for part in ("train", "calibration", "heldout")
    }
    found = written(lesson, [text.upper() for text in own.values()], Wish(per_label=40))
    assert found.reasons == {THERE: 3}
    assert not found.change.rows
    found = written(lesson, [f"{own['heldout']}!"], Wish(per_label=40))
    assert found.reasons == {LIKE: 1}
    assert found.rejected == [], "what is like a held-out text is counted, and shown to nobody"


def test_the_head_must_not_be_sure_of_another_label(lesson: Lesson) -> None:
    texts = ["I was charged twice on my invoice, please refund the payment", "How do I invite my whole team"]
    found = written(lesson, texts, Wish(per_label=40, labels=("how-to",), sure=0.5))
    assert whys(found) == [synthesise.OTHER_LABEL]
    assert (found.judged, found.disagreed, found.kept) == (2, 1, {"how-to": 1})
    lenient = written(lesson, texts, Wish(per_label=40, labels=("how-to",), sure=1.0))
    assert (lenient.disagreed, lenient.kept) == (1, {"how-to": 2})


@pytest.mark.parametrize(
    ("texts", "answer", "why"),
    [
        ([], {"output": "Sure! Here are some."}, synthesise.NO_ARRAY),
        ([], {"output": '["cut', "truncated": True}, "cut short"),
        (["x" * 5000], {}, synthesise.TOO_LONG),
        (["  "], {}, synthesise.TOO_LONG),
    ],
)
def test_answers_that_are_none_are_counted(
    lesson: Lesson, texts: list[str], answer: dict[str, Any], why: str
) -> None:
    found = written(lesson, texts, Wish(per_label=40), **answer)
    assert whys(found) == [why]
    assert not found.change.rows


def test_no_more_are_kept_than_were_wanted(lesson: Lesson) -> None:
    have = sum(one.label == "how-to" for one in lesson.parent.examples("train"))
    texts = [
        f"How do I {what}"
        for what in ("invite a whole team", "rename a project", "print a board", "sort a list")
    ]
    found = written(lesson, texts, Wish(per_label=have + 2, labels=("how-to",)))
    assert (found.kept, whys(found)) == ({"how-to": 2}, [synthesise.ENOUGH] * 2)


def test_a_dataset_of_another_contract_is_not_continued(tmp_path: Path) -> None:
    make(tmp_path, [row(f"question {at}", ["text"]) for at in range(20)], contract=TextContract())
    path = tmp_path / "smallfirst.toml"
    path.write_text(CONFIG, "utf-8")
    with pytest.raises(DatasetError, match="was made for a text contract"):
        lesson_of(Home(load(path), tmp_path, tmp_path, {}), "triage", "newest", note="")


def test_pairs_are_held_to_the_schema(tmp_path: Path) -> None:
    contract = JsonContract(
        schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    )
    rows = [row(f"please send {at} pieces of thing {at * 7919}", {"n": at}) for at in range(30)]
    make(tmp_path, rows, contract=contract)
    path = tmp_path / "smallfirst.toml"
    schema = '{ type = "json", schema = { type = "object", properties = { n = { type = "integer" } }, required = ["n"] } }'
    path.write_text(
        CONFIG.replace('{ type = "label", labels = ["billing", "bug", "how-to"] }', schema), "utf-8"
    )
    lesson = lesson_of(Home(load(path), tmp_path, tmp_path, {}), "triage", "newest", note="")
    pairs = [
        {"message": "could we have 12 of the blue ones", "value": {"n": 12}},
        {"message": "some of the red ones for tomorrow", "value": {"n": "some"}},
    ]
    found = written(lesson, pairs, Wish(per_label=5))
    assert (found.kept, whys(found)) == ({"": 1}, [synthesise.UNMET])
    made = Datasets(tmp_path).open(lesson.make(found.change).id)
    (new,) = [one for one in made.examples("train") if one.synthetic]
    assert (new.fields, new.label) == ({"n": 12}, None)
