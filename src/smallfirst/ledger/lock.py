"""Who may write to a state directory: one gateway, or for a moment a command that imports what a dead one
left.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Literal

from smallfirst.errors import StateError

_FILE = "gateway.lock"
_POLL_S = 0.02
_IMPORT_PATIENCE_S = 30.0
Holder = Literal["gateway", "import"]


class StateLock:
    """An exclusive lock on a state directory. The kernel lets go of it when its process dies, however it
    dies.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, state: Path, holder: Holder) -> StateLock:
        """The lock; waits for a command that imports. Raises `StateError` that names the gateway which has
        it.
        """
        deadline_s = time.monotonic() + _IMPORT_PATIENCE_S
        while True:
            lock, other = cls._try(state, holder)
            if lock is not None:
                return lock
            if not other.startswith("import ") or time.monotonic() > deadline_s:
                pid = other.partition(" ")[2] or "unknown"
                raise StateError(
                    f"another gateway (process {pid}) uses {state}: stop it, or give this one a storage.path"
                )
            time.sleep(_POLL_S)

    @classmethod
    def take_if_free(cls, state: Path, holder: Holder) -> StateLock | None:
        return cls._try(state, holder)[0]

    @classmethod
    def _try(cls, state: Path, holder: Holder) -> tuple[StateLock | None, str]:
        fd = os.open(state / _FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(fd, 64, 0).decode("ascii", "replace").strip()
            os.close(fd)
            return None, other
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{holder} {os.getpid()}\n".encode(), 0)
        return cls(fd), ""

    def release(self) -> None:
        """Lets go. The file stays: removing it would let two processes lock two files of one name."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
