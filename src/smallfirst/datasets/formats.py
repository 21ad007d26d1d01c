"""Files of examples, whatever wrote them: the format is seen in the first object of each, unless it is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec

from smallfirst.datasets import batches, langfuse, litellm, logs, plain
from smallfirst.datasets.example import SPLITS, Split
from smallfirst.datasets.lines import first_line
from smallfirst.datasets.mapping import Mapping
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import DatasetError

Format = Literal["plain", "batch", "log", "conversations", "litellm", "langfuse"]
FORMATS: tuple[Format, ...] = get_args(Format)


class File(NamedTuple):
    """A file, and the part that all of its rows are to stand in, where that is given."""

    path: Path
    split: Split | None = None


def named_file(text: str) -> File:
    """`FILE`, or `train=FILE`, `calibration=FILE`, `heldout=FILE`."""
    before, _, rest = text.partition("=")
    for split in SPLITS:
        if split == before and rest:
            return File(Path(rest), split)
    return File(Path(text))


def detect(path: Path) -> Format:
    """The format of a file by its first object. Raises `DatasetError` where it is none that is known."""
    value = first_line(path)
    if batches.is_batch(value):
        return "batch"
    if litellm.is_spend_log(value):
        return "litellm"
    if langfuse.is_observation(value):
        return "langfuse"
    if logs.is_conversation(value):
        return "conversations"
    if logs.is_log(value):
        return "log"
    return "plain"


def read_files(
    files: Sequence[File], mapping: Mapping, reference: str, tally: Tally, *, named: str = ""
) -> Iterator[Row]:
    """The rows of all files. `reference`: the field of plain rows that the task's contract makes the usual one."""
    if named and named not in FORMATS:
        raise DatasetError(f"--format: {named!r} is not known (known: {', '.join(FORMATS)})")
    kinds = [(file, named or detect(file.path)) for file in files]
    joined = [file for file, kind in kinds if kind == "batch"]
    for file, kind in kinds:
        if kind != "batch":
            yield from _given(file, _read(file.path, kind, mapping, reference, tally))
    if joined:
        yield from _given(joined[0], batches.read_batches([file.path for file in joined], mapping, tally))


def _read(path: Path, kind: str, mapping: Mapping, reference: str, tally: Tally) -> Iterator[Row]:
    if kind == "plain":
        return plain.read_plain(path, mapping, reference, tally)
    readers = {
        "log": logs.read_log,
        "conversations": logs.read_conversations,
        "litellm": litellm.read_spend_logs,
        "langfuse": langfuse.read_observations,
    }
    return readers[kind](path, mapping, tally)


def _given(file: File, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        yield row if file.split is None else msgspec.structs.replace(row, split=file.split)
