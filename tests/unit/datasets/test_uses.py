"""What is done with a dataset: exported, compared, drawn, trained on, and forgotten with its calls."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from support.datasets import LABELS, make, row
from support.ledger import AT_MS, call, settlement

from smallfirst.config.load import parse
from smallfirst.config.schema import Config
from smallfirst.contracts import JsonContract, TextContract
from smallfirst.datasets.difference import difference
from smallfirst.datasets.drift import drift
from smallfirst.datasets.erased import erased_calls
from smallfirst.datasets.export import exported
from smallfirst.datasets.formats import File, read_files
from smallfirst.datasets.mapping import Mapping
from smallfirst.datasets.picture import draw
from smallfirst.datasets.row import Row, Tally
from smallfirst.datasets.store import Dataset, Datasets
from smallfirst.datasets.terms import forbidden_providers
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.ledger.erasure import Erasure, erase
from smallfirst.ledger.ledger import Ledger
from smallfirst.training.labels import labels_of


def opened(state: Path, rows: list[Row], **options: Any) -> Dataset:
    return Datasets(state).open(make(state, rows, **options).id)


def texts(count: int, *, labels: tuple[str, ...] = LABELS.labels, begin: str = "") -> list[Row]:
    return [row(f"{begin}text {at} about {at * 31}", labels[at % len(labels)]) for at in range(count)]


def test_what_is_exported_can_be_imported(tmp_path: Path) -> None:
    dataset = opened(
        tmp_path,
        [row(f"text {at} about {at * 31}", slices={"lang": "en"}, keys=(f"u{at // 2}",)) for at in range(20)],
    )
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"".join(exported(dataset.examples("train"), "plain")))
    rows = list(read_files([File(path)], Mapping(), "label", Tally()))
    examples = list(dataset.examples("train"))
    assert [(one.id, one.messages, one.reference, one.slices, one.keys) for one in rows] == [
        (one.id, one.messages, one.label, one.slices, (f"group:{one.group}",)) for one in examples
    ]


def test_the_forms_of_other_tools(tmp_path: Path) -> None:
    schema = JsonContract({"type": "object"})
    dataset = opened(tmp_path, [row("x", {"a": 1}, split="train")], contract=schema)
    (line,) = exported(dataset.examples("train"), "openai", instructions="Take it out.")
    asked = [{"role": "system", "content": "Take it out."}, {"role": "user", "content": "x"}]
    assert json.loads(line) == {"messages": [*asked, {"role": "assistant", "content": '{"a":1}'}]}
    dataset = opened(tmp_path, [row("x", ["one", "two"], split="train")], contract=TextContract())
    (line,) = exported(dataset.examples("train"), "trl")
    assert json.loads(line) == {"prompt": asked[1:], "completion": [{"role": "assistant", "content": "one"}]}
    with pytest.raises(DatasetError, match="--format: 'csv' is not known"):
        list(exported(dataset.examples("train"), "csv"))


def test_drift_is_seen_where_there_is_some_and_not_where_there_is_none(tmp_path: Path) -> None:
    chance = random.Random(1)

    def drawn(count: int, weights: tuple[int, int, int], begin: str) -> list[Row]:
        return [
            row(f"{begin} {at} {at * 31}", chance.choices(LABELS.labels, weights)[0], slices={"lang": "en"})
            for at in range(count)
        ]

    before = opened(tmp_path, drawn(400, (1, 1, 1), "first"))
    same = opened(tmp_path, drawn(400, (1, 1, 1), "again"))
    other = opened(
        tmp_path, drawn(400, (6, 1, 1), "now a much longer text than it was in the earlier dataset")
    )
    quiet = {one.of: one for one in drift(same.manifest, before.manifest)}
    loud = {one.of: one for one in drift(other.manifest, before.manifest)}
    assert set(quiet) == {"labels", "lengths", "slice lang"}
    assert not any(one.notable for one in quiet.values())
    assert loud["labels"].notable
    assert loud["lengths"].notable
    assert not loud["slice lang"].notable
    assert next(iter(loud["labels"].changes)) == "billing"
    assert loud["labels"].distance == pytest.approx(6 / 8 - 1 / 3, abs=0.07)


def test_of_a_version_that_has_all_of_the_one_before_what_came_is_compared(tmp_path: Path) -> None:
    before = opened(tmp_path, texts(300))
    now = opened(tmp_path, [*texts(300), *texts(60, labels=("bug",), begin="new ")], parent=before)
    (labels, _) = drift(now.manifest, before.manifest)
    assert (labels.added, labels.rows) == (True, 60)
    assert labels.distance == pytest.approx(2 / 3)


def test_two_datasets_differ_by_who_came_went_and_moved(tmp_path: Path) -> None:
    before = opened(tmp_path, [row("a", split="train"), row("b", split="train"), row("c", split="heldout")])
    now = opened(
        tmp_path, [row("a", split="calibration"), row("c", split="heldout"), row("d", split="train")]
    )
    found = difference(now, before)
    assert found.added == {"train": 1, "calibration": 0, "heldout": 0}
    assert found.removed == {"train": 1, "calibration": 0, "heldout": 0}
    assert (found.kept, found.moved) == (2, {"train → calibration": 1})


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_a_picture_is_drawn_of_sums(tmp_path: Path, ending: str) -> None:
    dataset = opened(tmp_path, texts(60))
    draw(tmp_path / f"picture{ending}", dataset.manifest)
    assert (tmp_path / f"picture{ending}").stat().st_size > 2000
    with pytest.raises(ConfigError, match=r"a picture is \.png or \.svg"):
        draw(tmp_path / "picture.pdf", dataset.manifest)


def test_a_head_is_trained_on_the_train_part(tmp_path: Path) -> None:
    dataset = opened(tmp_path, texts(30))
    rows = labels_of(dataset.examples("train"))
    assert len(rows) == dataset.manifest.parts["train"].rows
    assert {one.text for one in rows} == {one.messages[0]["content"] for one in dataset.examples("train")}
    with pytest.raises(ConfigError, match="the dataset's train part is empty"):
        labels_of([])


def test_datasets_learn_of_erased_calls(tmp_path: Path) -> None:
    kept, gone = call(at_ms=AT_MS), call(at_ms=AT_MS + 1)
    ledger = Ledger.open(tmp_path)
    for one in (kept, gone):
        ledger.journal.append_settlement(settlement(one))
    ledger.close()
    dataset = opened(tmp_path, [row(f"text {one.id}", id=one.id, call=one.id) for one in (kept, gone)])
    with Ledger.read(tmp_path) as view:
        assert erased_calls(dataset, view.queries) == 0
    erase(tmp_path, Erasure(at_ms=AT_MS + 10, call=gone.id))
    with Ledger.read(tmp_path) as view:
        assert erased_calls(dataset, view.queries) == 1


def test_forbidden_providers_have_the_names_that_logs_have_for_them() -> None:
    def forbidden(text: str) -> set[str]:
        config: Config = parse(text)
        return set(forbidden_providers(config))

    providers = '[providers.claude]\nkind = "anthropic"\n[providers.own]\nbase_url = "http://127.0.0.1:1/v1"\n[providers.gpt]\nkind = "openai"\n'
    assert forbidden(f'{providers}[learning]\nnever_train_on = ["claude"]') == {"claude", "anthropic"}
    assert forbidden(f'{providers}[learning]\nnever_train_on = ["own"]') == {"own"}
    assert forbidden(f'{providers}[learning]\nnever_train_on = ["gpt"]') == {"gpt", "openai"}
