"""Learned weights of one state directory, and what is known of each.

    STATE/artifacts/<64 hex digits>.safetensors      the weights: this file's SHA-256 is its name (`artifact.py`)
    STATE/artifacts/<64 hex digits>.json             when, of which kind, for which task: not part of the name
    STATE/artifacts/<64 hex digits>.rows             of an index, the examples that it names by their hashes (`examples.py`)

Weights without their description are not listed: they come first, so that what is listed is whole.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import ReleaseError

_SUFFIX = ".safetensors"  # `artifact.SUFFIX`, which would bring numpy along to those who only look
_ROWS = ".rows"  # `examples.ROWS`, for the same reason
_NAME = re.compile(r"[0-9a-f]{64}")


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """Where weights came from. `kind` is the artifact's: "head", "router", "intents"; `report` what fitting them measured."""

    at_ms: int
    kind: str
    task: str
    note: str = ""
    report: dict[str, Any] = {}


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str
    described: Described


class Artifacts:
    """The artifacts of one state directory."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "artifacts"

    def save(self, data: bytes, described: Described, *, rows: bytes | None = None) -> str:
        """The hash that the weights are now found under. Each of the files is written whole or not at all; `rows` are an index's.

        The same weights may be saved again: they are then described anew, and the newest of their task.
        """
        name = hashlib.sha256(data).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        if rows is not None:
            write_whole(self.path(name).with_suffix(_ROWS), rows)
        self._write(self.path(name), data)
        self._write(self._description(name), msgspec.json.encode(described))
        return name

    def path(self, sha256: str) -> Path:
        """Where the weights of that hash lie, or would."""
        return self.folder / f"{sha256}{_SUFFIX}"

    def find(self, prefix: str) -> str:
        """The one artifact whose hash begins with `prefix`. Raises `ReleaseError`."""
        names = self._names()
        found = [name for name in names if name.startswith(prefix)]
        if len(found) != 1:
            known = ", ".join(name[:12] for name in names) or "none; `smallfirst train` makes one"
            what = "no weights begin" if not found else f"the hashes of {len(found)} artifacts begin"
            raise ReleaseError(f"{what} with {prefix[:64]!r} (known: {known})")
        return found[0]

    def newest(self, kind: str, task: str) -> str | None:
        """The hash of what was made last for a task; None where there is nothing."""
        return next((listed.sha256 for listed in self.list(kind, task)), None)

    def list(self, kind: str | None = None, task: str | None = None) -> list[Listed]:
        """The artifacts of that kind and task, or all, newest first. Raises `ReleaseError` where a description cannot be read."""
        listed = [Listed(sha256=name, described=self._read(name)) for name in self._names()]
        wanted = [
            one for one in listed if kind in (None, one.described.kind) and task in (None, one.described.task)
        ]
        return sorted(wanted, key=lambda one: (one.described.at_ms, one.sha256), reverse=True)

    def _description(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.json"

    def _write(self, target: Path, data: bytes) -> None:
        partial = self.folder / f".{target.name}.{os.getpid()}"
        try:
            partial.write_bytes(data)
            partial.replace(target)
        except BaseException:  # a full disk, Ctrl-C: nothing half is left behind
            partial.unlink(missing_ok=True)
            raise

    def _read(self, sha256: str) -> Described:
        try:
            return msgspec.json.decode(self._description(sha256).read_bytes(), type=Described)
        except (OSError, msgspec.DecodeError) as error:
            raise ReleaseError(f"the description of weights {sha256[:12]} cannot be read: {error}") from error

    def _names(self) -> list[str]:
        """The hashes of what is whole."""
        if not self.folder.is_dir():
            return []
        described = (path.stem for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem))
        return sorted(name for name in described if self.path(name).is_file())
