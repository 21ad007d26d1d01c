"""What an adapter is trained on and measured by: the train and the calibration part of a dataset, checked before anything is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.contracts import Contract, LabelContract
from smallfirst.datasets.example import Example
from smallfirst.datasets.reference import kind_of
from smallfirst.datasets.store import Dataset
from smallfirst.errors import TrainingError

_FEWEST = 8


class Material(NamedTuple):
    """`out_of_scope` examples of the train part are left out: their answer is none that the contract allows."""

    train: list[Example]
    calibration: list[Example]
    out_of_scope: int


def material_of(dataset: Dataset, task: str, contract: Contract) -> Material:
    """The two parts. Raises `TrainingError` where nothing can be learned from them, `DatasetError` where they were altered."""
    name = f"dataset {dataset.id[:12]}"
    if dataset.manifest.task != task:
        raise TrainingError(f"{name} is of task {dataset.manifest.task!r}, not of {task!r}")
    if dataset.manifest.contract != kind_of(contract):
        raise TrainingError(
            f"{name} was made for a {dataset.manifest.contract} contract, and the task's is {kind_of(contract)}: import it again"
        )
    read = list(dataset.examples("train"))
    train = [example for example in read if example.label != OUT_OF_SCOPE]
    calibration = [example for example in dataset.examples("calibration") if example.label != OUT_OF_SCOPE]
    if len(train) < _FEWEST:
        raise TrainingError(
            f"the train part of {name} has {len(train)} examples, and {_FEWEST} are the fewest to learn from: import more"
        )
    if not calibration:
        raise TrainingError(
            f"the calibration part of {name} is empty, and it says when to stop: import more examples"
        )
    if isinstance(contract, LabelContract):
        _check_labels([*train, *calibration], train, contract, name)
    return Material(train, calibration, len(read) - len(train))


def _check_labels(
    examples: Sequence[Example], train: Sequence[Example], contract: LabelContract, name: str
) -> None:
    allowed = set(contract.labels)
    for example in examples:
        for label in _labels(example):
            if label not in allowed:
                raise TrainingError(
                    f"{name}, example {example.id}: label {label!r} is not one of the task's {len(allowed)} labels: "
                    "add it to the contract, or import the dataset again"
                )
    if contract.pick in ("one", "ordinal"):
        counts = Counter(label for example in train for label in _labels(example))
        if len(counts) < 2:
            raise TrainingError(
                f"all {len(train)} examples of {name}'s train part have the label {next(iter(counts), '')!r}: there is nothing to tell apart"
            )


def _labels(example: Example) -> list[str]:
    label = example.label
    return [] if label is None else [label] if isinstance(label, str) else label
