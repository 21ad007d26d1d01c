"""Hashes of big files, each computed once: remembered by path, size and time of change, so that 16 GB are not read at every start."""

from __future__ import annotations

from pathlib import Path

import msgspec

from smallfirst.durable import locked, write_whole
from smallfirst.models.adapters.store import file_sha256

_FILE = "hashes.json"
_REMEMBERED = 2000


class _Hashed(msgspec.Struct, frozen=True):
    size_bytes: int
    changed_ns: int
    sha256: str


class Hashes:
    """What is remembered lies in `folder`. A file that was changed and given its old size and time back is taken for what it was."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._known = self._read()

    def of(self, path: Path) -> str:
        """The SHA-256 of a file, in hex. Raises `OSError`."""
        path = path.resolve()
        status = path.stat()
        known = self._known.get(str(path))
        if known and (known.size_bytes, known.changed_ns) == (status.st_size, status.st_mtime_ns):
            return known.sha256
        hashed = _Hashed(status.st_size, status.st_mtime_ns, file_sha256(path))
        self._remember(str(path), hashed)
        return hashed.sha256

    def _remember(self, path: str, hashed: _Hashed) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path.with_name(f".{_FILE}.lock")):
            kept = [item for item in self._read().items() if item[0] != path][1 - _REMEMBERED :]
            self._known = dict([*kept, (path, hashed)])
            write_whole(self._path, msgspec.json.encode(self._known))

    def _read(self) -> dict[str, _Hashed]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Hashed])
        except (FileNotFoundError, msgspec.DecodeError):  # nothing is lost: the files are hashed again
            return {}
