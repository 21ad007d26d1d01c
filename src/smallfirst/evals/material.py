"""What an evaluation is made on: the calibration part of a dataset unless told otherwise, or the plain rows of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.config.schema import Config
from smallfirst.contracts import Contract
from smallfirst.datasets.example import Example, Lineage
from smallfirst.datasets.formats import File, read_files
from smallfirst.datasets.held import Marks, text_key_of
from smallfirst.datasets.mapping import Mapping
from smallfirst.datasets.members import texts_of
from smallfirst.datasets.reference import FIELD_BY_KIND, NoReferenceError, kind_of, reference_reader
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import DatasetError, EvalError


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """Examples, and where they are from: a dataset's hash or a file's name, and the part of it."""

    examples: tuple[Example, ...]
    dataset: str
    split: str = ""

    def limited(self, count: int | None) -> Material:
        """At most so many of them, drawn by their ids: of two limits the smaller's examples are among the larger's."""
        if count is None or count >= len(self.examples):
            return self
        drawn = sorted(self.examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())
        chosen = {example.id for example in drawn[:count]}
        kept = tuple(example for example in self.examples if example.id in chosen)
        return msgspec.structs.replace(self, examples=kept)


def from_dataset(state: Path, task: str, name: str, split: str) -> Material:
    """The examples of a dataset's part. `name`: "newest" of the task, or a hash's beginning.

    Raises `EvalError` for the held-out part, or a dataset of another task; `DatasetError` where there is none, or it was altered.
    """
    from smallfirst.datasets import Datasets

    if split not in ("calibration", "train"):
        raise EvalError(
            f"--split {split}: calibration or train; the held-out part is read by `smallfirst gate` alone, where each read is paid for"
        )
    datasets = Datasets(state)
    found = datasets.newest(task) if name == "newest" else datasets.find(name)
    if found is None:
        raise EvalError(
            f"there is no dataset of task {task!r}: `smallfirst dataset build` or `smallfirst dataset import` makes one, "
            "or give rows with --data FILE"
        )
    dataset = datasets.open(found)
    if dataset.manifest.task != task:
        raise EvalError(f"dataset {found[:12]} is of task {dataset.manifest.task!r}, not {task!r}")
    return Material(examples=tuple(dataset.examples(split)), dataset=found, split=split)


def from_file(path: Path, contract: Contract, mapping: Mapping | None = None) -> Material:
    """The rows of a file, in any format that `dataset import` reads. Nothing is redacted, and nothing but the run keeps them.

    Raises `DatasetError` with the line and the field of the first that is wrong.
    """
    read, tally = reference_reader(contract), Tally()
    rows = read_files([File(path)], mapping or Mapping(), FIELD_BY_KIND[kind_of(contract)], tally)
    examples = tuple(_example(row, read) for row in rows)
    if not examples:
        raise DatasetError(f"{path} has no rows that can be used: {tally.reasons() or 'it is empty'}")
    _check_ids(examples, path)
    return Material(examples=examples, dataset=path.name)


def without_heldout(found: Material, state: Path, config: Config, task: str) -> Material:
    """The rows of a file that no dataset of the task holds out: they are known again by their texts. Raises `EvalError` where none is left."""
    from smallfirst.datasets import Datasets
    from smallfirst.datasets.redaction import Redactor

    datasets, told = Datasets(state), config.tasks[task]
    held: set[str] = set()
    for listed in datasets.list(task):
        held |= texts_of(datasets.open(listed.id).members(), "heldout")
    if not held:
        return found
    marks = Marks(after=told.router.question_after, before=told.router.question_before)
    redactor = Redactor(config.learning.redact, told.redact)

    def is_held(example: Example) -> bool:
        stored = redactor.redact(Row(messages=example.messages, where="", source=""))
        return text_key_of(msgspec.structs.replace(example, messages=stored.messages), marks) in held

    kept = tuple(one for one in found.examples if not is_held(one))
    if not kept:
        raise EvalError(
            f"all rows of {found.dataset} are held out in datasets of {task!r}, and the gate alone asks those: "
            "leave --data away, and the calibration part is asked"
        )
    return msgspec.structs.replace(found, examples=kept)


def _example(row: Row, read: Callable[[Any], dict[str, Any]]) -> Example:
    try:
        told = read(row.answer if row.reference is msgspec.UNSET else row.reference)
    except NoReferenceError as error:
        raise DatasetError(f"{row.where}: {error}") from error
    lineage = Lineage(
        source=row.source,
        call=row.call,
        line=row.line,
        reference_by=row.reference_by,
        provider=row.provider,
    )
    return Example(
        id=row.id or f"line-{row.line}",
        messages=row.messages,
        tools=row.tools,
        group=row.keys[0] if row.keys else "",
        tenant=row.tenant,
        at_ms=row.at_ms,
        slices=row.slices,
        lineage=lineage,
        **told,
    )


def _check_ids(examples: Sequence[Example], path: Path) -> None:
    lines: dict[str, int] = {}
    for example in examples:
        if example.id in lines:
            raise DatasetError(
                f"{path}, line {example.lineage.line}: id: {example.id!r} is that of line {lines[example.id]} already"
            )
        lines[example.id] = example.lineage.line
