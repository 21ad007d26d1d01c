"""What an improvement has done so far: `STATE/improve/TASK.json`, written whole after each step, so that the same command goes on where it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import StateError

Step = Literal["dataset", "head", "answers", "router", "release", "gate", "canary"]
STEPS: tuple[Step, ...] = ("dataset", "head", "answers", "router", "release", "gate", "canary")

End = Literal["canary", "proposed", "nothing", "refused", "undecided"]
"""`proposed`: it passed the gate, and somebody may promote it. `nothing`: there is nothing to gain, or nothing that is not live. `refused` and
`undecided` are the gate's: fail, and not enough evidence."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was begun or is over, and what came of it: ids by which it is found again. `skipped` says why there was nothing to do."""

    state: Literal["begun", "done", "skipped"]
    at_ms: int
    told: dict[str, Any] = {}


class Record(msgspec.Struct, kw_only=True):
    """One improvement of a task. `asked` is what the command was asked for and what the configuration said of the task: another is another."""

    task: str
    began_ms: int
    asked: str
    steps: dict[Step, Done] = {}
    end: End | None = None
    why: str = ""


def path_of(state: Path, task: str) -> Path:
    """Where a task's record lies: names may hold what a file's name may not."""
    safe = all(letter.isalnum() or letter in "-_" for letter in task)
    name = task if safe else hashlib.sha256(task.encode()).hexdigest()[:16]
    return state / "improve" / f"{name}.json"


def read_record(state: Path, task: str) -> Record | None:
    """The last improvement of a task; None where there was none. Raises `StateError` where it cannot be read."""
    path = path_of(state, task)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); delete it, and the improvement begins anew"
        ) from error


def write_record(state: Path, record: Record) -> None:
    """Raises `OSError` where the disk does not take it."""
    write_whole(path_of(state, record.task), msgspec.json.encode(record))
