"""From rows to a stored dataset: duplicates, groups, parts, consent, versions, and what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support.datasets import AT_MS, LABELS, make, part_by_text, row

from smallfirst.contracts import JsonContract, LabelContract, TextContract
from smallfirst.datasets.build import Order, build
from smallfirst.datasets.example import Example
from smallfirst.datasets.heldout import open_heldout
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.members import key_of
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.row import Row, Tally
from smallfirst.datasets.store import Dataset, Datasets
from smallfirst.errors import DatasetError

LONG = "the printer in the second floor office does not print anything since we moved it to the other room on Monday"


def many(count: int = 300, **fields: object) -> list[Row]:
    return [
        row(f"question number {at} about {at * 7919} things", LABELS.labels[at % 3], **fields)
        for at in range(count)
    ]


def opened(state: Path, *rows: Row, **options: object) -> Dataset:
    return Datasets(state).open(make(state, rows, **options).id)  # pyright: ignore[reportArgumentType]


def everything(dataset: Dataset) -> list[Example]:
    held = open_heldout(dataset, lambda _: None)
    return [*dataset.examples("train"), *dataset.examples("calibration"), *held]


def test_parts_have_their_shares_of_each_label(tmp_path: Path) -> None:
    parts = make(tmp_path, many()).manifest.parts
    assert {part: one.rows for part, one in parts.items()} == {"train": 180, "calibration": 60, "heldout": 60}
    assert parts["heldout"].labels == dict.fromkeys(LABELS.labels, 20)
    parts = make(tmp_path, many(), rule=Rule(heldout_rows=99)).manifest.parts
    assert (parts["heldout"].rows, parts["train"].rows + parts["calibration"].rows) == (99, 201)
    with pytest.raises(DatasetError, match="--heldout 300: there are only 300 examples in all"):
        make(tmp_path, many(), rule=Rule(heldout_rows=300))


def test_where_nothing_has_come_or_gone_it_is_still_the_version_before(tmp_path: Path) -> None:
    first = make(tmp_path, many())
    parent = Datasets(tmp_path).open(first.id)
    again = make(tmp_path, many(), parent=parent)
    assert (again.id, again.new) == (first.id, False)
    more = make(tmp_path, [*many(), row("something else entirely", LABELS.labels[0])], parent=parent)
    assert more.new
    assert more.manifest.parent == first.id
    assert [one.name for one in (tmp_path / "datasets").iterdir() if one.name.startswith(".")] == []


def test_of_the_same_text_one_is_kept_a_person_before_a_model_the_majority_before_the_newest(
    tmp_path: Path,
) -> None:
    rows = [
        row("Hello  there", "bug", id="a", at_ms=AT_MS),
        row("hello there", "billing", id="b", at_ms=AT_MS + 1),
        row("HELLO THERE", "billing", id="c", at_ms=AT_MS + 2),
        row("Hello there", "how-to", id="d", at_ms=AT_MS + 3, reference_by="model:x"),
        row("Hello there", "how-to", id="e", at_ms=AT_MS + 3, reference_by="model:x"),
    ]
    dataset = opened(tmp_path, *rows)
    (kept,) = everything(dataset)
    assert (kept.id, kept.label) == ("c", "billing")
    assert dataset.manifest.duplicates.exact_removed == 4
    assert dataset.manifest.duplicates.contradicting == 1


def test_nearly_the_same_is_removed_where_it_agrees_and_shares_a_group_where_it_does_not(
    tmp_path: Path,
) -> None:
    near = LONG.replace("Monday", "Tuesday")
    dataset = opened(tmp_path, row(LONG, "bug", at_ms=1), row(near, "bug", at_ms=2), row("something else"))
    assert [one.messages[0]["content"] for one in everything(dataset) if "printer" in str(one.messages)] == [
        near
    ]
    assert dataset.manifest.duplicates.near_removed == 1
    dataset = opened(tmp_path, row(LONG, "bug"), row(near, "how-to"), row("something else"))
    printers = [one for one in everything(dataset) if "printer" in str(one.messages)]
    assert len(printers) == 2
    assert len({one.group for one in printers}) == 1
    assert dataset.manifest.duplicates.near_kept == 2


def test_texts_do_not_contradict_one_another(tmp_path: Path) -> None:
    dataset = opened(
        tmp_path,
        row(LONG, "It is broken."),
        row(LONG.upper(), ["Broken since Monday."]),
        row(LONG.replace("Monday", "Friday"), "Broken."),
        contract=TextContract(),
    )
    assert len(everything(dataset)) == 1
    assert dataset.manifest.duplicates.contradicting == 0


def test_the_frame_of_a_prompt_does_not_make_all_texts_alike(tmp_path: Path) -> None:
    frame = "Answer the customer politely and shortly in the language of the message below, which reads as follows: "
    rows = [row(f"{frame} {one.messages[0]['content']}", one.reference) for one in many()]
    assert make(tmp_path, rows).manifest.duplicates.largest_group == 1


def test_what_belongs_together_stays_together(tmp_path: Path) -> None:
    rows = [row(f"text {at} about {at * 31}", keys=(f"user:{at % 40}",)) for at in range(200)]
    turns = [
        {"role": "user", "content": "My first question is about an invoice"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "And the second one about a fee"},
    ]
    first = row("My first question is about an invoice", "billing")
    later = Row(messages=turns, where="", source="test.jsonl", reference="billing")
    dataset = opened(tmp_path, *rows, first, later)
    by_user: dict[str, set[str]] = {}
    part_of = {one.id: one.part for one in dataset.members()}
    for one in everything(dataset):
        by_user.setdefault(one.group, set()).add(part_of[one.id])
    assert all(len(parts) == 1 for parts in by_user.values())
    assert len(by_user) == 41


def test_tenants_stay_together_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = [row(f"text {at} about {at * 31}", tenant=f"t{at % 10}") for at in range(100)]
    assert make(tmp_path, rows).manifest.duplicates.largest_group == 1
    manifest = make(tmp_path, rows, rule=Rule(group_by="tenant")).manifest
    assert sum(part.groups for part in manifest.parts.values()) == 10
    assert [part.tenants for part in manifest.parts.values()] == [6, 2, 2]


def test_the_newest_are_held_out(tmp_path: Path) -> None:
    rows = [row(f"text {at} about {at * 31}", at_ms=AT_MS + at) for at in range(100)]
    dataset = opened(tmp_path, *rows, rule=Rule(by_time=True))
    train, calibration = (list(dataset.examples(part)) for part in ("train", "calibration"))
    held = open_heldout(dataset, lambda _: None)
    assert (len(train), len(calibration), len(held)) == (60, 20, 20)
    assert max(one.at_ms for one in train) < min(one.at_ms for one in calibration)
    assert max(one.at_ms for one in calibration) < min(one.at_ms for one in held)
    with pytest.raises(DatasetError, match="--by-time: some examples have no time"):
        make(tmp_path, [row("x")], rule=Rule(by_time=True))


def test_what_may_not_be_trained_on_is_not_in_train_and_what_is_synthetic_is_in_train_alone(
    tmp_path: Path,
) -> None:
    rows = [
        *many(60),
        *(row(f"refused {at} {at * 37}", trainable=False) for at in range(30)),
        *(row(f"made up {at} {at * 37}", synthetic=True) for at in range(30)),
        *(row(f"by a model {at} {at * 37}", reference_by="model:x", provider="closed") for at in range(30)),
        *(row(f"corrected {at} {at * 37}", reference_by="correction") for at in range(30)),
        *(row(f"no label {at} {at * 37}", "oos") for at in range(30)),
    ]
    dataset = opened(tmp_path, *rows, forbidden=frozenset({"closed"}))
    texts = {part: [str(one.messages) for one in dataset.examples(part)] for part in ("train", "calibration")}
    held = [str(one.messages) for one in open_heldout(dataset, lambda _: None)]
    assert not any("refused" in text or "by a model" in text for text in texts["train"])
    assert any("refused" in text for text in held)
    assert any("corrected" in text for text in texts["train"])
    assert sum("made up" in text for text in texts["train"]) == 30
    assert sum("no label" in text for text in texts["train"]) == 30
    assert dataset.manifest.rows == 210


def test_given_parts_hold_and_the_better_guarded_one_has_the_group(tmp_path: Path) -> None:
    rows = [row("one", split="train"), row("two", split="calibration"), row("three", split="heldout")]
    rows += [
        row("a trained text", split="train", keys=("u",)),
        row("a held-out text", split="heldout", keys=("u",)),
    ]
    parts = part_by_text(opened(tmp_path, *rows))
    told = {
        text: parts[key_of(text)] for text in ("one", "two", "three", "a trained text", "a held-out text")
    }
    assert list(told.values()) == ["train", "calibration", "heldout", "heldout", "heldout"]


def test_a_later_version_leaves_everybody_where_they_were(tmp_path: Path) -> None:
    first = opened(tmp_path, *many(200))
    second = opened(tmp_path, *many(600), parent=first, rule=Rule(seed=5, ratios=(0.2, 0.4, 0.4)))
    before, now = part_by_text(first), part_by_text(second)
    assert all(now[text] == part for text, part in before.items())
    assert len(now) == 600
    assert second.manifest.parent == first.id
    assert second.manifest.seal == first.manifest.seal == first.manifest.parts["heldout"].sha256
    third = opened(tmp_path, *many(900), parent=second)
    assert third.manifest.seal == first.manifest.seal


def test_who_comes_to_a_group_goes_where_it_is(tmp_path: Path) -> None:
    rows = [row(f"text {at} about {at * 31}", keys=(f"user:{at}",)) for at in range(100)]
    first = opened(tmp_path, *rows)
    more = [row(f"new text {at} on {at * 37}", keys=(f"user:{at}",)) for at in range(100)]
    second = opened(tmp_path, *more, parent=first)  # the earlier ones are not even there
    before = part_by_text(first)
    now = part_by_text(second)
    for at in range(100):
        assert now[key_of(f"new text {at} on {at * 37}")] == before[key_of(f"text {at} about {at * 31}")]


def test_a_bridge_between_train_and_held_out_drops_what_was_trained_on(tmp_path: Path) -> None:
    rows = [row("left one", split="train", keys=("l",)), row("right one", split="heldout", keys=("r",))]
    first = opened(tmp_path, *rows)
    bridge = row("the bridge", keys=("l", "r"))
    second = opened(tmp_path, *rows, bridge, parent=first)
    parts = part_by_text(second)
    assert parts == {key_of("right one"): "heldout", key_of("the bridge"): "heldout"}
    assert second.manifest.dropped == 1


def test_the_same_rows_give_the_same_dataset_and_others_another(tmp_path: Path) -> None:
    result = make(tmp_path, many())
    again = make(tmp_path, many())
    assert (again.id, again.new, result.new) == (result.id, False, True)
    other = make(tmp_path, many(299)).id
    assert other != result.id
    assert Datasets(tmp_path).newest("triage") == other
    make(tmp_path, many())
    assert Datasets(tmp_path).newest("triage") == result.id
    assert not list((tmp_path / "datasets").glob(".*"))
    assert [one.id for one in Datasets(tmp_path).list("triage")].count(result.id) == 1


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    dataset = opened(tmp_path, *many(20))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in dataset.folder.rglob("*") if path.is_file()}
    folders = {
        stat.S_IMODE(path.stat().st_mode)
        for path in (dataset.folder, dataset.folder / "heldout", dataset.folder.parent)
    }
    assert (modes, folders) == ({0o600}, {0o700})


@pytest.mark.parametrize("name", ["train.jsonl", "heldout/heldout.jsonl", "members.tsv"])
def test_a_flipped_byte_is_refused(tmp_path: Path, name: str) -> None:
    dataset = opened(tmp_path, *many(50))
    path = dataset.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    read = {
        "train.jsonl": lambda: list(dataset.examples("train")),
        "heldout/heldout.jsonl": lambda: open_heldout(dataset, lambda _: None),
        "members.tsv": dataset.members,
    }[name]
    with pytest.raises(DatasetError, match=f"{path.name} was altered"):
        read()


def test_an_altered_manifest_is_refused(tmp_path: Path) -> None:
    dataset = opened(tmp_path, *many(20))
    path = dataset.folder / "dataset.json"
    path.write_bytes(path.read_bytes().replace(b'"seed":0', b'"seed":1'))
    with pytest.raises(DatasetError, match="its manifest no longer has its name's hash"):
        Datasets(tmp_path).open("newest", task="triage")


def test_the_held_out_part_is_recorded_before_it_is_read(tmp_path: Path) -> None:
    dataset = opened(tmp_path, *many(50))
    with pytest.raises(DatasetError, match="read by `smallfirst gate` alone"):
        dataset.examples("heldout")  # pyright: ignore[reportArgumentType]
    events: list[dict[str, object]] = []
    assert len(open_heldout(dataset, events.append)) == 10
    assert events == [
        {"dataset": dataset.id, "task": "triage", "heldout_sha256": dataset.manifest.parts["heldout"].sha256,
         "seal": dataset.manifest.seal, "rows": 10}
    ]  # fmt: skip

    def full_disk(_: object) -> None:
        raise OSError("no space")

    (dataset.folder / "heldout" / "heldout.jsonl").unlink()
    with pytest.raises(OSError, match="no space"):  # the file is not even looked for
        open_heldout(dataset, full_disk)


def test_references_are_read_by_the_contract_and_what_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a test: label: not one of the 3 labels: 'nope'"):
        make(tmp_path, [row("x", "nope")])
    schema = JsonContract({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    (found,) = everything(opened(tmp_path, row("x", '{"n": 7}'), contract=schema))
    assert found.fields == found.reference == {"n": 7}
    with pytest.raises(DatasetError, match="fields: not valid at n"):
        make(tmp_path, [row("x", {"n": "7"})], contract=schema)
    several = LabelContract(("a", "b"), pick="several")
    found = {
        str(one.label)
        for one in everything(opened(tmp_path, row("x", "b, a"), row("y", ["a"]), contract=several))
    }
    assert found == {"['b', 'a']", "['a']"}
    with pytest.raises(DatasetError, match="references: expected a text"):
        make(tmp_path, [row("x", [])], contract=TextContract())


def test_nothing_usable_says_why(tmp_path: Path) -> None:
    tally = Tally(skip_bad=True)
    with pytest.raises(
        DatasetError, match="nothing is usable: 2 malformed: label: not one of the 3 labels: 'nope'"
    ):
        make(tmp_path, [row("x", "nope"), row("y", "nope")], tally=tally)
    assert not list((tmp_path / "datasets").iterdir())


def test_an_interrupted_build_leaves_nothing_and_a_killed_one_is_swept_up(tmp_path: Path) -> None:
    def rows():
        yield from many(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, rows())
    assert not list((tmp_path / "datasets").iterdir())
    dead = tmp_path / "datasets" / ".999999999.1.making"
    (dead / "heldout").mkdir(parents=True)
    alive = tmp_path / "datasets" / f".{os.getpid()}.1.making"
    alive.mkdir()
    make(tmp_path, many(5))
    assert not dead.exists()
    assert alive.exists()


def test_names_are_found_by_their_beginning(tmp_path: Path) -> None:
    datasets = Datasets(tmp_path)
    with pytest.raises(DatasetError, match="task 'triage' has no dataset; `smallfirst dataset build`"):
        datasets.find("newest", task="triage")
    name = make(tmp_path, many(20)).id
    assert datasets.find(name[:8]) == datasets.find("newest", task="triage") == name
    with pytest.raises(DatasetError, match=f"no dataset begins with 'xyz' \\(known: {name[:12]}\\)"):
        datasets.find("xyz")
    assert datasets.find("newest") == name  # of the only task that has any
    other = Order(task="other", contract=LABELS)
    build(many(20), other, datasets, redactor=Redactor(()), tally=Tally())
    with pytest.raises(DatasetError, match="newest of which task\\? --task other or --task triage"):
        datasets.find("newest")
    datasets.remove(datasets.find("newest", task="other"))
    datasets.remove(name)
    assert datasets.list() == []
