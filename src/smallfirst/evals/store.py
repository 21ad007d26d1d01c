"""A run on the disk: what is compared, and every answer as it came, so that none is paid for twice.

    RUN/run.json         what is compared with what: written before the first question
    RUN/examples.jsonl   the examples, where they may be looked at (never those of a held-out part)
    RUN/answers.jsonl    one line an answer; a later line of the same arm and example replaces an earlier one
    RUN/finished         there once every example has an answer of every arm

Lines are written whole and at once: what a kill cuts short is the last line, which is left out and asked again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.ledger.records import Attempt
from smallfirst.releases.policy import canonical

_SYNC_EVERY = 16  # answers
_SYNC_AFTER_S = 1.0


class ArmTold(msgspec.Struct, frozen=True, kw_only=True):
    """An arm, as a run remembers it. `simulated`: those of its models that only pretend. `baseline`: the frontier alone, answers unchecked."""

    name: str
    policy: str  # the hash of what it asks: `Policy.answers_hash`
    models: tuple[str, ...]
    release: str = ""
    simulated: tuple[str, ...] = ()
    baseline: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run compares. Two runs with the same `key` ask the same questions of the same policies and score alike."""

    task: str
    arms: tuple[ArmTold, ...]
    scorer: str  # its id
    examples: str  # their hash
    count: int
    dataset: str = ""  # a dataset's hash, or the name of a file
    split: str = ""
    at_ms: int = 0
    by: str = ""
    version: str = ""
    note: str = ""
    contract: Any = None  # of the task, for who shows its answers
    margin: float = 0.0
    reference: str = ""  # the arm that the others are compared with; empty: the first
    slices: tuple[str, ...] = ()  # by which its report was asked for
    simulated_judge: str = ""  # the model that scores, where it only pretends

    @property
    def key(self) -> str:
        compared = (self.task, [(arm.name, arm.policy) for arm in self.arms])
        return hashlib.sha256(canonical((compared, self.scorer, self.examples))).hexdigest()


class Answered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one arm answered to one example: a line of `answers.jsonl`.

    `score` is None where it was answered and could not be scored yet; an arm that failed to answer has scored 0 and says why in `error`.
    `failed_by` tells why apart: "model" (it refused or broke off: an answer like any other), "outside" (nobody was there: asked again when
    the run goes on). Costs are None where a price is unknown.
    """

    arm: str
    example: str
    call: str
    at_ms: int = 0
    output: str = ""
    error: str = ""
    failed_by: str = ""
    score: float | None = None
    parts: dict[str, float] = {}
    note: str = ""
    unmet: str = ""  # what the contract finds wrong with what was released
    model: str = ""  # what answered
    rung: int = -1
    rungs: int = 1
    latency_ms: float = 0.0
    ttft_ms: float | None = None
    cost_nusd: int | None = 0
    judge_nusd: int | None = 0
    tool_calls: int = 0
    confidence: float | None = None
    truncated: bool = False
    refused: bool = False
    decision: dict[str, Any] = {}
    attempts: tuple[Attempt, ...] = ()

    @property
    def total_nusd(self) -> int | None:
        """The answer and its judging together."""
        if self.cost_nusd is None or self.judge_nusd is None:
            return None
        return self.cost_nusd + self.judge_nusd

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be asked."""
        return self.failed_by != "outside" and self.score is not None


def examples_hash(examples: Sequence[Example]) -> str:
    """The name of these examples in this order, whatever else they came with."""
    hashed = hashlib.sha256()
    for example in examples:
        hashed.update(canonical((example.id, example.messages, example.tools, example.reference)))
    return hashed.hexdigest()


class RunStore:
    """The folder of one run. Whoever appends holds a lock: two processes never pay for one run at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._answers = folder / "answers.jsonl"
        self._examples = folder / "examples.jsonl"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def finished(self) -> bool:
        return (self.folder / "finished").exists()

    @property
    def keeps_examples(self) -> bool:
        return self._examples.exists()

    def begin(self, manifest: Manifest, examples: Sequence[Example] = ()) -> None:
        """Writes what is compared; `examples` where people may look at them. A run that was begun is left as it is.

        Raises `EvalError` where another comparison was begun in this folder.
        """
        if (self.folder / "run.json").exists():
            if self.manifest().key != manifest.key:
                raise EvalError(
                    f"{self.folder} holds another comparison: its arms, examples or scorer are not these"
                )
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if examples:
            lines = b"".join(msgspec.json.encode(example) + b"\n" for example in examples)
            _write(self._examples, lines)
        _write(self.folder / "run.json", msgspec.json.format(msgspec.json.encode(manifest)))

    def manifest(self) -> Manifest:
        """Raises `EvalError` where there is no run, or its description cannot be read."""
        path = self.folder / "run.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise EvalError(f"{self.folder} is no run: it has no run.json") from None
        except msgspec.DecodeError as error:
            raise EvalError(f"{path} cannot be read: {error}") from error

    def examples(self) -> list[Example]:
        """The examples of the run. Raises `EvalError` where it keeps none (held-out ones are shown to nobody), or they were altered."""
        path = self._examples
        if not self.keeps_examples:
            raise EvalError(f"run {self.name} keeps no examples: they are not to be looked at")
        try:
            found = [
                msgspec.json.decode(line, type=Example) for line in path.read_bytes().splitlines() if line
            ]
        except msgspec.DecodeError as error:
            raise EvalError(f"{path} cannot be read: {error}") from error
        if examples_hash(found) != self.manifest().examples:
            raise EvalError(f"{path} was altered: its examples are not those of the run")
        return found

    def read(self) -> dict[tuple[str, str], Answered]:
        """The answers until now, by arm and example, in the order in which they came first. A line that is cut short is left out."""
        found: dict[tuple[str, str], Answered] = {}
        if not self._answers.exists():
            return found
        decoder = msgspec.json.Decoder(Answered)
        for line in self._answers.read_bytes().split(b"\n"):
            try:
                answer = decoder.decode(line)
            except msgspec.DecodeError:
                continue
            found[answer.arm, answer.example] = answer
        return found

    @contextlib.contextmanager
    def appending(self) -> Iterator[Appender]:
        """Where answers are added. What was added is on the disk when it closes, however it closes.

        Raises `EvalError` where another process works on this run.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._answers, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EvalError(
                    f"another process works on run {self.name}: wait for it, or stop it"
                ) from None
            appender = Appender(fd)
            try:
                yield appender
            finally:
                appender.sync()
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Marks that every example has its answers."""
        _write(self.folder / "finished", b"")

    def forget(self) -> None:
        """Deletes the run, what was asked and answered first."""
        self._examples.unlink(missing_ok=True)
        self._answers.unlink(missing_ok=True)
        shutil.rmtree(self.folder)


class Appender:
    """Adds answers to a run's file: each is with the kernel when `add` returns, and on the disk within a second or sixteen answers."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._unsynced = 0
        self._synced_s = time.monotonic()
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            _write_all(fd, b"\n")  # ends a line that was cut short

    def add(self, answer: Answered) -> None:
        """Raises `EvalError` where it cannot be written: the disk is full, say."""
        try:
            _write_all(self._fd, msgspec.json.encode(answer) + b"\n")
        except OSError as error:
            raise EvalError(f"the run's answers cannot be written: {error.strerror}") from error
        self._unsynced += 1
        if self._unsynced >= _SYNC_EVERY or time.monotonic() - self._synced_s > _SYNC_AFTER_S:
            self.sync()

    def sync(self) -> None:
        os.fsync(self._fd)
        self._unsynced, self._synced_s = 0, time.monotonic()


class Runs:
    """The runs of a state directory, named `TASK-1`, `TASK-2` and so on."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "evals"

    def open(self, name: str) -> RunStore:
        """The run of that name, or whose name begins so. Raises `EvalError` that names what there is."""
        names = [store.name for store in self.list()]
        found = [name] if name in names else [known for known in names if known.startswith(name)]
        if len(found) != 1:
            what = "no run is" if not found else f"{len(found)} runs begin with"
            known = ", ".join(names[:10]) or "none; `smallfirst eval` makes one"
            raise EvalError(f"{what} {name!r} (newest first: {known})")
        return RunStore(self.folder / found[0])

    def list(self) -> list[RunStore]:
        """All runs that were begun, newest first."""
        if not self.folder.is_dir():
            return []
        stores = [RunStore(path) for path in self.folder.iterdir() if (path / "run.json").exists()]
        return sorted(stores, key=lambda store: (store.manifest().at_ms, store.name), reverse=True)

    def unfinished(self, manifest: Manifest) -> RunStore | None:
        """The newest run of the same comparison that was not brought to its end."""
        return next(
            (store for store in self.list() if not store.finished and store.manifest().key == manifest.key),
            None,
        )

    def new(self, task: str) -> RunStore:
        """A folder of its own for the next run of this task."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in task) or "run"
        number = 1
        while True:
            folder = self.folder / f"{stem}-{number}"
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
                continue
            return RunStore(folder)


def _write(path: Path, data: bytes) -> None:
    """Written aside, on the disk, then named: whole or not at all. Only its owner may read it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    partial.replace(path)


def _write_all(fd: int, data: bytes) -> None:
    """All of it: a signal or a nearly full disk may take a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
