"""A version with more to train on: what judges models is the parent's to the byte, and nothing like it gets into train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.datasets import LABELS, make, row

from smallfirst.datasets.addition import Change, add
from smallfirst.datasets.build import Order, Result
from smallfirst.datasets.held import Marks
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.row import Row
from smallfirst.datasets.screen import LIKE, THERE, TWICE, Screen
from smallfirst.datasets.store import Dataset, Datasets, part_path, read_part
from smallfirst.errors import DatasetError

TEXTS = [f"question {at} about the thing called {at * 7919} of mine" for at in range(60)]


def parent_of(state: Path) -> Dataset:
    rows = [row(text, LABELS.labels[at % 3], id=f"t-{at}") for at, text in enumerate(TEXTS)]
    return Datasets(state).open(make(state, rows).id)


def added(state: Path, parent: Dataset, *rows: Row, forbidden: tuple[str, ...] = (), **change: Any) -> Result:
    order = Order(
        task="triage", contract=LABELS, forbidden=frozenset(forbidden), simulated=frozenset({"sim"})
    )
    told = Change(rows=[(one, "") for one in rows], **change)
    return add(told, parent, order, Datasets(state), redactor=Redactor(("email",)))


def by_model(text: str, label: str = "bug", **fields: Any) -> Row:
    told: dict[str, Any] = {"reference_by": "model:big", "provider": "sim", "source": "questions.jsonl"}
    return row(text, label, **(told | fields))


def texts_in(dataset: Dataset, part: Any) -> list[str]:
    return [one.messages[0]["content"] for one in read_part(dataset, part)]


def test_what_comes_stands_in_train_and_the_rest_is_the_parents_to_the_byte(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    result = added(
        tmp_path, parent, by_model("a new one, write to a@b.example"), by_model("and another", "billing")
    )
    made = Datasets(tmp_path).open(result.id)
    for part in ("calibration", "heldout"):
        assert part_path(made.folder, part).read_bytes() == part_path(parent.folder, part).read_bytes()
        assert made.manifest.parts[part] == parent.manifest.parts[part]
    assert (made.manifest.seal, made.manifest.parent) == (parent.manifest.seal, parent.id)
    train = texts_in(made, "train")
    assert set(train) - set(texts_in(parent, "train")) == {"a new one, write to <EMAIL_1>", "and another"}
    part = made.manifest.parts["train"]
    assert part.rows == len(train) == parent.manifest.parts["train"].rows + 2
    assert part.references_by == {"gold": part.rows - 2, "model:big": 2}
    assert (part.verified, part.simulated) == (part.rows - 2, 2)
    assert made.manifest.sources == {"questions.jsonl": 2, "test.jsonl": 60}
    ids = [one.id for one in made.examples("train")]
    assert ids == sorted(ids)
    assert {member.id: member.part for member in made.members() if member.part == "train"}.keys() == set(ids)


def test_a_later_build_leaves_everybody_where_they_are(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    made = Datasets(tmp_path).open(added(tmp_path, parent, by_model("a new one")).id)
    rows = [row(text, LABELS.labels[at % 3], id=f"t-{at}") for at, text in enumerate(TEXTS)]
    again = Datasets(tmp_path).open(make(tmp_path, [*rows, row("a new one", "bug")], parent=made).id)
    assert "a new one" in texts_in(again, "train")
    assert texts_in(again, "heldout") == texts_in(parent, "heldout")


def test_an_example_is_replaced_in_its_place_or_goes(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    first, second = list(parent.examples("train"))[:2]
    taken = by_model(first.messages[0]["content"], "how-to", id=first.id)
    made = Datasets(tmp_path).open(
        added(tmp_path, parent, instead={first.id: taken}, without=frozenset({second.id})).id
    )
    by_id = {one.id: one for one in made.examples("train")}
    assert second.id not in by_id
    assert second.id not in {member.id for member in made.members()}
    assert (by_id[first.id].label, by_id[first.id].group) == ("how-to", first.group)
    assert by_id[first.id].lineage.reference_by == "model:big"
    assert by_id[first.id].lineage.simulated
    keys = {member.id: member.keys for member in parent.members()}
    assert {member.id: member.keys for member in made.members()}[first.id] == keys[first.id]


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    with pytest.raises(DatasetError, match="nothing to add"):
        added(tmp_path, parent)
    with pytest.raises(DatasetError, match="1 answers that are not as the contract says"):
        added(tmp_path, parent, by_model("a new one", "no label of ours"))
    with pytest.raises(DatasetError, match="1 may not be trained on"):
        added(tmp_path, parent, by_model("a new one"), forbidden=("sim",))
    assert [listed.id for listed in Datasets(tmp_path).list()] == [parent.id]
    assert not list((tmp_path / "datasets").glob(".*"))


def test_what_may_no_longer_be_trained_on_goes(tmp_path: Path) -> None:
    parent = Datasets(tmp_path).open(
        added(tmp_path, parent_of(tmp_path), by_model("of one that forbids it by now")).id
    )
    result = added(tmp_path, parent, by_model("a new one", provider="up"), forbidden=("sim",))
    made = Datasets(tmp_path).open(result.id)
    assert set(texts_in(made, "train")) - set(texts_in(parent, "train")) == {"a new one"}
    assert set(texts_in(parent, "train")) - set(texts_in(made, "train")) == {"of one that forbids it by now"}
    assert sum("never_train_on names now" in why for why in made.manifest.skipped) == 1


def test_the_manifest_says_what_was_taken_out_of_all_of_them(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    assert "phone" in parent.manifest.redaction.kinds
    assert added(tmp_path, parent, by_model("a new one")).manifest.redaction.kinds == ("email",)


def test_an_altered_parent_is_refused(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    path = part_path(parent.folder, "heldout")
    path.write_bytes(path.read_bytes().replace(b"question", b"QUESTION", 1))
    with pytest.raises(DatasetError, match="was altered"):
        added(tmp_path, parent, by_model("a new one"))
    assert not list((tmp_path / "datasets").glob(".*"))


def test_an_id_that_is_taken_is_given_another(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    result = added(tmp_path, parent, by_model("one more", id="t-1"), by_model("and one more", id="t-1"))
    ids = [member.id for member in Datasets(tmp_path).open(result.id).members()]
    assert len(ids) == len(set(ids)) == 62


def test_what_is_there_or_too_like_it_is_not_added(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    held, train = texts_in(parent, "heldout")[0], texts_in(parent, "train")[0]
    found = Screen(parent, Marks()).look(
        [
            row(held.upper()),
            row(f"{held} today"),
            row(train),
            row("something of its own that nobody asked"),
            row("something of its own that nobody asked"),
            row(
                f"{train} and this is quite another matter, as it goes on and on about what was not said before"
            ),
        ]
    )
    assert [one.why for one in found] == [THERE, LIKE, THERE, "", TWICE, ""]


def test_what_is_alike_a_train_example_joins_its_group(tmp_path: Path) -> None:
    parent = parent_of(tmp_path)
    like = next(iter(parent.examples("train")))
    text = like.messages[0]["content"]
    (found,) = Screen(parent, Marks()).look([row(f"{text} now then")])
    assert (found.why, found.group) == ("", like.group)


def test_the_conversation_of_a_held_out_example_stays_out(tmp_path: Path) -> None:
    rows = [row(text, LABELS.labels[at % 3], keys=(f"conversation:{at}",)) for at, text in enumerate(TEXTS)]
    parent = Datasets(tmp_path).open(make(tmp_path, rows).id)
    held = {text: at for at, text in enumerate(TEXTS)}[texts_in(parent, "heldout")[0]]
    (found,) = Screen(parent, Marks()).look([row("something of its own", keys=(f"conversation:{held}",))])
    assert found.why == LIKE
