"""The datasets of one state directory: immutable folders, each named by the hash of its manifest, which names the hashes of its parts.

    STATE/datasets/<64 hex digits>/dataset.json          the manifest: this file's SHA-256 is the name
    STATE/datasets/<64 hex digits>/train.jsonl           one `Example` a line, in order of id
    STATE/datasets/<64 hex digits>/calibration.jsonl
    STATE/datasets/<64 hex digits>/heldout/heldout.jsonl read by the gate alone, through `heldout.py`
    STATE/datasets/<64 hex digits>/members.tsv           who is in which part, without texts
    STATE/datasets/<64 hex digits>/made.json             when and by whom: not part of the name

For its owner's eyes only. A folder is there whole or not at all; what was altered afterwards is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

import smallfirst
from smallfirst.datasets.example import Example, Split
from smallfirst.datasets.manifest import FORMAT, Made, Manifest
from smallfirst.datasets.members import FILE as MEMBERS
from smallfirst.datasets.members import Member, read_members
from smallfirst.errors import DatasetError
from smallfirst.releases.policy import canonical
from smallfirst.user import user_name

_NAME = re.compile(r"[0-9a-f]{64}")
_MANIFEST = "dataset.json"
_MADE = "made.json"
_CHUNK_BYTES = 1 << 20
Open = Literal["train", "calibration"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    manifest: Manifest
    made: Made


class Dataset:
    """One dataset, its manifest already checked. Rows are read one by one."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def id(self) -> str:
        return self.folder.name

    def examples(self, split: Open) -> Iterator[Example]:
        """The examples of the train or the calibration part, in order of id. Raises `DatasetError` where the file was altered, before the
        first of them. The held-out part is read by the gate alone.
        """
        if split not in ("train", "calibration"):
            raise DatasetError(
                f"{split!r} is not read here: `train` and `calibration` are; the held-out part is read by `smallfirst gate` alone"
            )
        return read_part(self, split)

    def members(self) -> list[Member]:
        """Who is in which part. Raises `DatasetError` where the file was altered."""
        path = self.folder / MEMBERS
        with _opened(path) as file:
            _verify(file, self.manifest.members_sha256, path)
        return list(read_members(path))


def part_path(folder: Path, split: Split) -> Path:
    """Where a part's file lies."""
    return folder / "heldout" / "heldout.jsonl" if split == "heldout" else folder / f"{split}.jsonl"


def read_part(dataset: Dataset, split: Split) -> Iterator[Example]:
    """For `Dataset.examples`, `heldout.py` and `screen.py`: the file is hashed through the same handle that is then read."""
    path = part_path(dataset.folder, split)
    decoder = msgspec.json.Decoder(Example)
    with _opened(path) as file:
        _verify(file, dataset.manifest.parts[split].sha256, path)
        file.seek(0)
        for line in file:
            yield decoder.decode(line)


class Datasets:
    """The datasets of one state directory."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "datasets"

    def workplace(self) -> Path:
        """A new folder beside the datasets, for one that is being made; `save` moves it into place. What a killed command left is removed."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.folder.glob(".*.making"):
            if not _lives(path.name):
                shutil.rmtree(path, ignore_errors=True)
        place = self.folder / f".{os.getpid()}.{time.monotonic_ns()}.making"
        (place / "heldout").mkdir(mode=0o700, parents=True)
        place.chmod(0o700)
        return place

    def save(self, place: Path, manifest: Manifest, *, note: str = "") -> tuple[str, bool]:
        """The dataset's name, and whether it is new. `place` comes from `workplace` and holds the parts and members; it is gone afterwards.

        The same dataset may be made again: it is then the newest of its task.
        """
        name = manifest.id
        target = self.folder / name
        new = not target.exists()
        note = note or ("" if new else self._made(name).note)
        made = Made(at_ms=int(time.time() * 1000), by=user_name(), version=smallfirst.__version__, note=note)
        (place / _MANIFEST).write_bytes(canonical(manifest))
        (place / _MADE).write_bytes(msgspec.json.encode(made))
        for path in [path for path in place.rglob("*") if path.is_file()]:
            path.chmod(0o600)
            _sync(path)
        if new:
            place.rename(target)
        else:
            (place / _MADE).replace(target / _MADE)
            shutil.rmtree(place)
        _sync(self.folder)
        return name, new

    def find(self, prefix: str, *, task: str | None = None) -> str:
        """The one dataset whose name begins so; "newest" is the newest of `task`, which may be left out where only one has datasets.

        Raises `DatasetError`.
        """
        if prefix == "newest":
            task = task or self._only_task()
            name = self.newest(task) if task else None
            if name is None:
                what = f"task {task!r} has no dataset" if task else "there is no dataset"
                raise DatasetError(
                    f"{what}; `smallfirst dataset build` or `smallfirst dataset import` makes one"
                )
            return name
        names = self._names()
        found = [name for name in names if name.startswith(prefix)]
        if len(found) != 1 or not prefix:
            known = ", ".join(name[:12] for name in names) or "none; `smallfirst dataset import` makes one"
            what = "no dataset begins" if not found else f"{len(found)} datasets begin"
            raise DatasetError(f"{what} with {prefix[:64]!r} (known: {known})")
        return found[0]

    def _only_task(self) -> str | None:
        tasks = sorted({listed.manifest.task for listed in self.list()})
        if len(tasks) > 1:
            raise DatasetError(f"newest of which task? --task {' or --task '.join(tasks)}, or a hash")
        return tasks[0] if tasks else None

    def newest(self, task: str) -> str | None:
        """The name of what was made last for a task; None where there is nothing."""
        return next((listed.id for listed in self.list(task)), None)

    def list(self, task: str | None = None) -> list[Listed]:
        """All datasets, or those of a task, newest first."""
        listed = [
            Listed(id=name, manifest=self._manifest(name), made=self._made(name)) for name in self._names()
        ]
        wanted = [one for one in listed if task in (None, one.manifest.task)]
        return sorted(wanted, key=lambda one: (one.made.at_ms, one.id), reverse=True)

    def open(self, prefix: str, *, task: str | None = None) -> Dataset:
        """The dataset, if its manifest is still what its name says; with `task`, "newest" is the newest of that task."""
        name = self.find(prefix, task=task)
        return Dataset(self.folder / name, self._manifest(name))

    def remove(self, name: str) -> None:
        """Deletes a dataset for good, as an erasure demands."""
        shutil.rmtree(self.folder / self.find(name))

    def made(self, name: str) -> Made:
        """When and by whom."""
        return self._made(self.find(name))

    def _manifest(self, name: str) -> Manifest:
        data = (self.folder / name / _MANIFEST).read_bytes()
        if hashlib.sha256(data).hexdigest() != name:
            raise DatasetError(
                f"dataset {name[:12]} was altered after it was made: its manifest no longer has its name's hash"
            )
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except msgspec.ValidationError as error:
            raise DatasetError(
                f"dataset {name[:12]} was made by another version of smallfirst: {error}"
            ) from error
        if manifest.format != FORMAT:
            raise DatasetError(
                f"dataset {name[:12]} has format {manifest.format}, this version reads {FORMAT}"
            )
        return manifest

    def _made(self, name: str) -> Made:
        try:
            return msgspec.json.decode((self.folder / name / _MADE).read_bytes(), type=Made)
        except (OSError, msgspec.DecodeError) as error:
            raise DatasetError(f"made.json of dataset {name[:12]} cannot be read: {error}") from error

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def _sync(path: Path) -> None:
    """Sees to it that a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _verify(file: BinaryIO, sha256: str, path: Path) -> None:
    hashed = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        hashed.update(chunk)
    if hashed.hexdigest() != sha256:
        raise DatasetError(f"{path} was altered after the dataset was made: build or import it again")


def _lives(name: str) -> bool:
    """Whether the process that a folder is named for is still there."""
    try:
        os.kill(int(name.split(".")[1]), 0)
    except (ValueError, IndexError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
