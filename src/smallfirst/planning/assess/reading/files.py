"""Calls in files, whatever wrote them: logs of either API, LiteLLM, Langfuse, batches, JSON Lines and CSV, packed by gzip or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from smallfirst.datasets import batches, langfuse, litellm
from smallfirst.datasets.lines import Line, Position, first_line, read_lines
from smallfirst.datasets.row import Tally
from smallfirst.errors import BadRequest, DatasetError
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading.batch_calls import read_batch_calls
from smallfirst.planning.assess.reading.columns import Columns, names_in
from smallfirst.planning.assess.reading.csv_calls import is_table, read_table
from smallfirst.planning.assess.reading.langfuse_calls import read_observation
from smallfirst.planning.assess.reading.litellm_calls import read_spend_log
from smallfirst.planning.assess.reading.log_calls import is_exchange, read_row

_TELLING = {"messages", "prompt", "answer", "model", "input_tokens", "output_tokens", "cost_usd"}
"""Facts of which a row has one, or it says nothing of a call."""

Progress = Callable[[str, int, int], None]
"""To be told the step, what is done of it, and how much there is."""


def read_logs(
    paths: Sequence[Path], columns: Columns, tally: Tally, *, progress: Progress = lambda *_: None
) -> Iterator[Observed]:
    """The calls of all files, those of a batch after the others. `tally.read` counts them; `progress` is told of bytes as they lie on the disk.

    A call that failed, or has no answer or no prompt, is one all the same. What is wrong is told to `tally`. Raises `DatasetError` where a file
    cannot be read, or has no object in it.
    """
    sizes = [_size(path) for path in paths]
    joined: list[Path] = []
    done = 0
    for path, size in zip(paths, sizes, strict=True):
        told = _position(progress, path.name, done, sum(sizes))
        if is_table(path):
            yield from _calls(read_table(path, tally, told), columns, tally)
        elif batches.is_batch(first_line(path)):
            joined.append(path)
            continue
        else:
            yield from _calls(read_lines(path, tally, position=told), columns, tally)
        done += size
    if joined:
        for observed in read_batch_calls(
            joined, columns, tally, _position(progress, "a batch", done, sum(sizes))
        ):
            tally.read += 1
            yield observed
    progress("reading", sum(sizes), sum(sizes))


def _calls(lines: Iterator[Line], columns: Columns, tally: Tally) -> Iterator[Observed]:
    first = True
    for line in lines:
        if first:
            columns.require(line.value, line.where)
            first = False
        try:
            for observed in _of_line(line, columns, tally):
                tally.read += 1
                yield observed
        except (BadRequest, ValueError) as error:
            tally.bad(line.where, str(error))


def _of_line(line: Line, columns: Columns, tally: Tally) -> Iterator[Observed]:
    """Each line is looked at by itself: a failed call may lack what its neighbours have."""
    value = line.value
    if litellm.is_spend_log(value):
        return read_spend_log(value, columns, tally)
    if langfuse.is_observation(value):
        return read_observation(value, columns, tally)
    found, unitless = columns.found(value)
    if not found.keys() & _TELLING and not is_exchange(value):
        raise ValueError(
            f"none of its fields is known (it has: {names_in(value)}): "
            "say what they are, as --map prompt=FIELD --map answer=FIELD"
        )
    if unitless:
        tally.note(
            f"calls whose {unitless} has no unit: name it with --map latency_ms={unitless} or --map latency_s={unitless}"
        )
    return read_row(value, columns)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def _position(progress: Progress, name: str, before: int, total: int) -> Position:
    return lambda place: progress(f"reading {name}", before + place, total)
