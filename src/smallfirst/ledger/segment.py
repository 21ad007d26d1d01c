"""One numbered file of the journal, whose room on the disk is taken before anything is written to it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec

from smallfirst.errors import StateError
from smallfirst.ledger import frames
from smallfirst.ledger.frames import MAGIC, PREFIX_BYTES

HEADER_BYTES = len(MAGIC)
_SUFFIX = ".seg"
_READ_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in the journal: a segment's number and an offset in it."""

    segment: int
    offset: int


class Extent(msgspec.Struct, frozen=True):
    """What of a segment may be read: up to `end`."""

    number: int
    path: Path
    end: int


class Segment:
    """An open segment; `position` is where the next frame goes."""

    __slots__ = ("fd", "number", "path", "position", "size", "synced")

    def __init__(self, number: int, path: Path, fd: int, size: int) -> None:
        self.number = number
        self.path = path
        self.fd = fd
        self.size = size
        self.position = HEADER_BYTES
        self.synced = 0

    @classmethod
    def create(cls, directory: Path, number: int, size: int) -> Segment:
        """A new segment of `size` bytes, all of them allocated. Raises `OSError` (ENOSPC), leaving nothing
        behind.
        """
        path = directory / f"{number:012d}{_SUFFIX}"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _allocate(fd, size)
            os.pwrite(fd, MAGIC, 0)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        return cls(number, path, fd, size)

    @property
    def free(self) -> int:
        return self.size - self.position

    def write(self, data: bytes) -> None:
        """Puts a frame at `position`. Raises `OSError`; the position then stays, and the next frame covers
        what was half written.
        """
        at = self.position
        written = os.pwrite(self.fd, data, at)
        while written < len(data):  # a signal, or a disk that has just filled up: the next turn says which
            more = os.pwrite(self.fd, data[written:], at + written)
            if more == 0:
                raise OSError(errno.ENOSPC, "no space left in the journal")
            written += more
        self.position = at + len(data)

    def sync(self) -> None:
        """What was written until now survives a power cut."""
        position = self.position
        if self.synced < position:
            _datasync(self.fd)
            self.synced = position

    def close(self) -> None:
        os.close(self.fd)
        self.fd = -1  # the kernel gives the number away again: nothing of ours may be written there

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def extent(self) -> Extent:
        return Extent(self.number, self.path, self.position)


def is_full(error: OSError) -> bool:
    """Whether the disk, or a quota on it, is full."""
    return error.errno in _FULL


def extents_of(directory: Path) -> list[Extent]:
    """The segments that lie in a directory, in order, each to its file's end. Raises `StateError` for what no
    journal wrote.
    """
    found = []
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        if any(head) and head != MAGIC:
            raise StateError(
                f"{path} is no journal segment that this version of smallfirst can read; nothing was changed"
            )
        found.append(Extent(int(path.name.removesuffix(_SUFFIX)), path, path.stat().st_size))
    return found


def read(extent: Extent, offset: int, *, most: int) -> frames.Scan:
    """Up to `most` whole frames of a segment from `offset` on; `end` of the answer is the offset behind them.

    Reads as much as it needs, so that a frame larger than a read is still found.
    """
    want = _READ_BYTES
    with extent.path.open("rb", buffering=0) as file:
        while True:
            size = min(want, extent.end - offset)
            data = os.pread(file.fileno(), size, offset) if size > 0 else b""
            found = frames.scan(data, most=most)
            whole = len(data) < size or size == extent.end - offset
            if found.payloads or whole or not found.damaged:
                return frames.Scan(found.payloads, offset + found.end, damaged=found.damaged and whole)
            want *= 4


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    zeros = bytes(_READ_BYTES)  # macOS: room is taken by writing it
    at = 0
    while at < size:
        at += os.pwrite(fd, zeros[: size - at], at)


def _datasync(fd: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(fd)


assert HEADER_BYTES >= PREFIX_BYTES
