"""The adapters of one state directory: immutable folders, each named by the hash of its manifest, which names the hashes of its files.

    STATE/adapters/<64 hex digits>/adapter.json      the manifest: this file's SHA-256 is the name
    STATE/adapters/<64 hex digits>/peft/             the adapter as PEFT wrote it
    STATE/adapters/<64 hex digits>/probes.jsonl      what the trainer's model answered to calibration examples
    STATE/adapters/<64 hex digits>/made.json         when, by whom, on what: not part of the name
    STATE/adapters/<64 hex digits>/forms/FORM…       exported forms, made when they are first wanted, each with `FORM.json` that says its hash
    STATE/adapters/deployed.json                     where adapters are served (`deployments.py`)

A folder is there whole or not at all; what was altered afterwards is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from pathlib import Path

import msgspec

from smallfirst.durable import left_behind, settle, write_whole
from smallfirst.errors import ReleaseError
from smallfirst.models.adapters.adapter import FORMAT, Form, Made, Manifest, Probe, is_named

PEFT = "peft"
_MANIFEST, _MADE, _PROBES, _FORMS = "adapter.json", "made.json", "probes.jsonl", "forms"
_NAME = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    manifest: Manifest
    made: Made


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """An exported form: a file, or a folder. `sha256` is the file's; of a folder, that of its files' names and hashes."""

    form: Form
    name: str  # in `forms/`; of `peft` the folder beside it
    sha256: str
    size_bytes: int


class Adapter:
    """One adapter, its manifest already checked."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def peft(self) -> Path:
        """The folder that PEFT wrote."""
        return self.folder / PEFT

    def check(self) -> None:
        """Raises `ReleaseError` where a file is missing or was altered."""
        for name, sha256 in self.manifest.files.items():
            path = self.peft / name
            if not path.is_file() or file_sha256(path) != sha256:
                raise ReleaseError(
                    f"adapter {self.id[:12]} was altered: {PEFT}/{name} is missing or no longer what its manifest says; train it again"
                )

    def probes(self) -> list[Probe]:
        """Raises `ReleaseError` where the file was altered."""
        path = self.folder / _PROBES
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != self.manifest.probes_sha256:
            raise ReleaseError(f"adapter {self.id[:12]} was altered: {_PROBES} is not what its manifest says")
        return [msgspec.json.decode(line, type=Probe) for line in data.splitlines()]

    @property
    def forms(self) -> Path:
        """The folder of exported forms."""
        return self.folder / _FORMS

    def exported(self, form: Form) -> tuple[Path, Exported] | None:
        """Where that form lies, and what it is; None where it was not made. `peft` is always there."""
        if form == "peft":
            size = sum((self.peft / name).stat().st_size for name in self.manifest.files)
            sha256 = folder_sha256(self.manifest.files)
            return self.peft, Exported(form=form, name=PEFT, sha256=sha256, size_bytes=size)
        try:
            told = msgspec.json.decode((self.forms / f"{form}.json").read_bytes(), type=Exported)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ReleaseError(
                f"adapter {self.id[:12]}: forms/{form}.json cannot be read: {error}"
            ) from error
        if told.form != form or not _is_plain(told.name):
            raise ReleaseError(
                f"adapter {self.id[:12]} was altered: forms/{form}.json says {told.form} in {told.name[:64]!r}"
            )
        path = self.forms / told.name
        return (path, told) if path.exists() else None

    def keep(self, exported: Exported) -> None:
        """Says that a form now lies in `forms`, whole."""
        write_whole(self.forms / f"{exported.form}.json", msgspec.json.encode(exported))


class Adapters:
    """The adapters of one state directory."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "adapters"

    def workplace(self) -> Path:
        """A new folder with an empty `peft/`, for an adapter that is made; `save` moves it into place. What a killed command left is removed."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in left_behind(self.folder, "making"):
            shutil.rmtree(path, ignore_errors=True)
        place = self.folder / f".{os.getpid()}.{time.monotonic_ns()}.making"
        place.mkdir(mode=0o700)
        (place / PEFT).mkdir(mode=0o700)
        return place

    def save(self, place: Path, manifest: Manifest, made: Made, probes: bytes) -> tuple[str, bool]:
        """The adapter's name, and whether it is new. `place` comes from `workplace`; it is gone afterwards.

        `probes` are the lines whose hash the manifest names. The same adapter may be made again: it is then the newest of its task.
        """
        name = manifest.id
        target = self.folder / name
        write_whole(place / _PROBES, probes)
        write_whole(place / _MANIFEST, manifest.data)
        write_whole(place / _MADE, msgspec.json.encode(made))
        if target.exists():
            write_whole(target / _MADE, msgspec.json.encode(made))
            shutil.rmtree(place)
            return name, False
        place.rename(target)
        settle(self.folder)
        return name, True

    def find(self, prefix: str) -> str:
        """The one adapter whose name begins so; else the newest of the task of that name; "newest" is the newest of the only task that has any.

        Raises `ReleaseError`.
        """
        names = self._names()
        found = [name for name in names if prefix and name.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        newest = self._newest_known() if prefix == "newest" else self.newest(prefix)
        if newest is not None:
            return newest
        known = (
            ", ".join(name[:12] for name in names) or "none; `smallfirst train TASK --method lora` makes one"
        )
        what = f"{len(found)} adapters begin" if found else "no adapter begins"
        raise ReleaseError(f"{what} with {prefix[:64]!r} (known: {known})")

    def open(self, prefix: str) -> Adapter:
        """The adapter, if its manifest is still what its name says. Raises `ReleaseError`."""
        name = self.find(prefix)
        return Adapter(self.folder / name, self._manifest(name))

    def listed(self, prefix: str) -> Listed:
        """The adapter with how it was made. Raises `ReleaseError` as `open` does."""
        name = self.find(prefix)
        return Listed(id=name, manifest=self._manifest(name), made=self._made(name))

    def wanted(self, name: str) -> str | None:
        """The hash of what a configured model's `adapter` names: the newest of that task, else the one whose hash begins so; or None."""
        if newest := self.newest(name):
            return newest
        found = [known for known in self._names() if is_named(name, task="", adapter=known)]
        return found[0] if len(found) == 1 else None

    def newest(self, task: str) -> str | None:
        """The name of what was made last for a task; None where there is nothing."""
        return next((listed.id for listed in self.list(task)), None)

    def list(self, task: str | None = None) -> list[Listed]:
        """All adapters, or those of a task, newest first. Raises `ReleaseError` where one cannot be read."""
        listed, damaged = self.survey()
        if damaged:
            raise ReleaseError(next(iter(damaged.values())))
        return [one for one in listed if task in (None, one.manifest.task)]

    def survey(self) -> tuple[list[Listed], dict[str, str]]:
        """All adapters that can be read, newest first, and why the others cannot."""
        listed: list[Listed] = []
        damaged: dict[str, str] = {}
        for name in self._names():
            try:
                listed.append(Listed(id=name, manifest=self._manifest(name), made=self._made(name)))
            except ReleaseError as error:
                damaged[name] = f"{error}; `smallfirst adapters rm {name[:12]}` removes it"
        return sorted(listed, key=lambda one: (one.made.at_ms, one.id), reverse=True), damaged

    def remove(self, name: str) -> None:
        """Deletes an adapter and its forms for good. A process that dies in it leaves it there or hidden, never a part of it in its place."""
        gone = self.folder / f".{os.getpid()}.{time.monotonic_ns()}.removing"
        (self.folder / self.find(name)).rename(gone)
        settle(self.folder)
        for left in self.folder.glob(".*.removing"):  # and what a killed one left
            shutil.rmtree(left, ignore_errors=left != gone)

    def _newest_known(self) -> str | None:
        listed = self.list()
        tasks = sorted({one.manifest.task for one in listed})
        if len(tasks) > 1:
            raise ReleaseError(f"newest of which task? Name one instead: {', '.join(tasks)}")
        return listed[0].id if listed else None

    def _manifest(self, name: str) -> Manifest:
        try:
            data = (self.folder / name / _MANIFEST).read_bytes()
        except OSError as error:
            raise ReleaseError(f"adapter {name[:12]} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise ReleaseError(f"adapter {name[:12]} was altered: its manifest no longer has its name's hash")
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except msgspec.ValidationError as error:
            raise ReleaseError(
                f"adapter {name[:12]} was made by another version of smallfirst: {error}"
            ) from error
        if not all(map(_is_plain, manifest.files)):
            raise ReleaseError(f"adapter {name[:12]}: its manifest names a file outside of {PEFT}/")
        if manifest.format != FORMAT:
            raise ReleaseError(
                f"adapter {name[:12]} has format {manifest.format}, this version reads {FORMAT}"
            )
        return manifest

    def _made(self, name: str) -> Made:
        try:
            return msgspec.json.decode((self.folder / name / _MADE).read_bytes(), type=Made)
        except (OSError, msgspec.DecodeError) as error:
            raise ReleaseError(f"made.json of adapter {name[:12]} cannot be read: {error}") from error

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))


def _is_plain(name: str) -> bool:
    """Whether it is a file's name, and no way to another folder."""
    return name not in ("", ".", "..") and not {"/", "\\", "\0"}.intersection(name)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def folder_sha256(files: dict[str, str]) -> str:
    """One hash for files by name and hash."""
    return hashlib.sha256(msgspec.json.encode(files, order="sorted")).hexdigest()
