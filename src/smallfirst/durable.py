"""Files that are there whole, or not at all, and changed by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replaces the file in one step, for its owner's eyes only, and on the disk when this returns.

    A process that dies in it leaves the file as it was, and at most a hidden partial beside it. Raises `OSError` that names the file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    settle(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else is in here with this file. The kernel lets go of it when its process dies; for the time of one small write."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def settle(folder: Path) -> None:
    """Makes the new name itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def left_behind(folder: Path, ending: str) -> Iterator[Path]:
    """Hidden folders `.PID.….ENDING` whose process is gone: a killed command was making something in them."""
    for path in folder.glob(f".*.{ending}"):
        pid = path.name.split(".")[1]
        if not (pid.isdigit() and _lives(int(pid))):
            yield path


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
