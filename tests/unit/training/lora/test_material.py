"""Datasets that nothing can be learned from are refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.datasets import LABELS, row
from support.tuned import dataset_of, ticket_rows

from smallfirst.contracts import JsonContract, LabelContract, TextContract
from smallfirst.errors import TrainingError
from smallfirst.training.lora.material import material_of


def test_train_and_calibration_are_read_and_held_out_is_not(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path)
    (dataset.folder / "heldout" / "heldout.jsonl").unlink()
    material = material_of(dataset, "triage", LABELS)
    parts = dataset.manifest.parts
    assert (len(material.train), len(material.calibration)) == (
        parts["train"].rows,
        parts["calibration"].rows,
    )


def test_texts_that_have_none_of_the_labels_are_left_out(tmp_path: Path) -> None:
    rows = [*ticket_rows(), *(row(f"My cat likes tuna {at}", "oos") for at in range(30))]
    material = material_of(dataset_of(tmp_path, rows), "triage", LABELS)
    assert material.out_of_scope > 0
    assert {example.label for example in material.train} == set(LABELS.labels)


def test_a_dataset_of_one_label_is_refused(tmp_path: Path) -> None:
    rows = [row(f"It is broken {at}", "bug") for at in range(40)]
    with pytest.raises(TrainingError, match="have the label 'bug': there is nothing to tell apart"):
        material_of(dataset_of(tmp_path, rows), "triage", LABELS)


def test_a_label_that_the_contract_lost_is_named(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path)
    with pytest.raises(
        TrainingError, match="label 'how-to' is not one of the task's 2 labels: add it to the contract"
    ):
        material_of(dataset, "triage", LabelContract(("billing", "bug")))


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has 3 examples, and 8 are the fewest"):
        material_of(dataset_of(tmp_path, ticket_rows()[::12]), "triage", LABELS)


@pytest.mark.parametrize("contract", [JsonContract({"type": "object"}), TextContract()])
def test_a_dataset_of_another_contract_is_refused(
    tmp_path: Path, contract: JsonContract | TextContract
) -> None:
    with pytest.raises(TrainingError, match="was made for a label contract"):
        material_of(dataset_of(tmp_path), "triage", contract)


def test_a_dataset_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is of task 'triage', not of 'sort'"):
        material_of(dataset_of(tmp_path), "sort", LABELS)
