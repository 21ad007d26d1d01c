"""What a run can be taken up again from: `STATE/training/TASK-KEY/`, there whole or not at all.

    checkpoint.json        where the run is, what was measured, and the name and SHA-256 of:
    STEP.safetensors       weights, the optimiser's state, the best weights so far, the state of the random numbers
    run.lock               held by the process that trains

The key is made of everything that decides the run, so another dataset or rate never goes on from here. Tensors and JSON: nothing that runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import StateError
from smallfirst.models.adapters.store import file_sha256

if TYPE_CHECKING:
    import torch

FORMAT = 1
_FILE = "checkpoint.json"


class Position(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a run is. `step` optimiser steps are done; `evaluated` of the planned evaluations; `worse` of them in a row brought nothing better."""

    step: int = 0
    evaluated: int = 0
    worse: int = 0
    best_step: int = -1
    best_score: float | None = None
    best_loss: float | None = None
    highest_score: float = 0.0
    lowest_loss: float = 1e300  # infinity is not JSON
    pending_loss: float = 0.0  # of steps that have no point of the curve yet
    pending_tokens: int = 0
    seconds: float = 0.0
    tokens: int = 0
    supervised: int = 0
    curves: list[dict[str, float]] = []
    done: bool = False


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    position: Position
    file: str
    sha256: str
    format: int = FORMAT


def run_key(decides: dict[str, Any]) -> str:
    """A hash over everything that decides a run."""
    return hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest()


class Checkpoints:
    """The checkpoint of one run: at most one, the latest."""

    def __init__(self, state: Path, task: str, key: str) -> None:
        self.key = key
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in task)
        self.folder = state / "training" / f"{safe}-{key[:16]}"

    @property
    def exists(self) -> bool:
        """Whether there is one to go on from."""
        return (self.folder / _FILE).is_file()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process trains the same meanwhile. Raises `StateError` where one does."""
        while (descriptor := self._locked()) is None:
            pass
        try:
            yield
        finally:
            self._remove_if_empty()
            os.close(descriptor)

    def _locked(self) -> int | None:
        """The lock, opened and held; None where who held it before has just removed it."""
        path = self.folder / "run.lock"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise StateError(
                "the same is being trained by another process: wait for it, or change a setting"
            ) from error
        if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)
        return None

    def save(self, position: Position, tensors: dict[str, torch.Tensor]) -> None:
        """Replaces the checkpoint. A process that dies in it leaves the one before."""
        from safetensors.torch import save

        data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
        name = f"{position.step}-{position.evaluated}.safetensors"
        write_whole(self.folder / name, data)
        kept = _Kept(key=self.key, position=position, file=name, sha256=hashlib.sha256(data).hexdigest())
        write_whole(self.folder / _FILE, msgspec.json.encode(kept))
        for path in self.folder.iterdir():
            if path.name not in (name, _FILE, "run.lock"):
                path.unlink()

    def load(self) -> tuple[Position, dict[str, torch.Tensor]]:
        """Where the run was. Raises `StateError` for one that is damaged, or was made by something else."""
        from safetensors.torch import load_file

        path = self.folder / _FILE
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError) as error:
            raise StateError(f"{path} cannot be read ({error}): {_AGAIN}") from error
        if kept.key != self.key or kept.format != FORMAT:
            raise StateError(f"{path} is of another run, or of another version of smallfirst: {_AGAIN}")
        weights = self.folder / Path(kept.file).name
        if not weights.is_file() or file_sha256(weights) != kept.sha256:
            raise StateError(f"{weights} is missing or was altered: {_AGAIN}")
        return kept.position, load_file(weights)

    def remove(self) -> None:
        """Deletes it: the run was brought to its end, or begins anew."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name != "run.lock":
                path.unlink()

    def _remove_if_empty(self) -> None:
        if not any(path.name != "run.lock" for path in self.folder.iterdir()):
            shutil.rmtree(self.folder)


_AGAIN = "give the command again with --restart, and it begins anew"
