"""Installs what is compared, each into a folder of its own under `.peers/`, and finds nginx and wrk."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import Processes

FOLDER = Path(__file__).parent / ".peers"
_INSTALL_S = 45 * 60
_DONE = "installed"


class Peer(NamedTuple):
    """A peer, its pinned version, and how that gets into a folder (commands, run one after another)."""

    version: str
    commands: Callable[[Path], list[list[str]]]


class Skip(RuntimeError):
    """Why something is not measured. Its text is printed in the table."""


def _from_pypi(requirement: str, version: str) -> Peer:
    return Peer(
        version,
        lambda folder: [
            [sys.executable, "-m", "venv", str(folder)],
            [
                str(folder / "bin" / "pip"),
                "install",
                "--quiet",
                "--disable-pip-version-check",
                f"{requirement}=={version}",
            ],
        ],
    )


def _from_npm(package: str, version: str) -> Peer:
    npm = shutil.which("npm") or "npm"
    flags = ["--no-audit", "--no-fund", "--no-save"]
    return Peer(
        version, lambda folder: [[npm, "install", *flags, "--prefix", str(folder), f"{package}@{version}"]]
    )


PEERS = {
    "tensorzero": _from_pypi("tensorzero", "2026.6.0"),
    "portkey": _from_npm("@portkey-ai/gateway", "1.15.2"),
    "litellm": _from_pypi("litellm[proxy]", "1.106.2"),
}


def install_peer(processes: Processes, name: str, *, allowed: bool) -> Path:
    """The peer's folder, installed now if it was not and that is `allowed`; else Skip with the reason."""
    peer, folder = PEERS[name], FOLDER / name
    done = folder / _DONE
    if done.exists() and done.read_text() == peer.version:
        return folder
    if not allowed:
        raise Skip("not installed, and --quick installs nothing")
    folder.mkdir(parents=True, exist_ok=True)
    for command in peer.commands(folder):
        _run(processes, command, FOLDER / f"{name}.log")
    done.write_text(peer.version)
    return folder


def find_program(processes: Processes, name: str, *, allowed: bool) -> str:
    """Path of a system program, from its Debian package when missing and we may; else Skip."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if found := shutil.which(name, path=path):
        return found
    apt = shutil.which("apt-get")
    if not allowed or apt is None or os.geteuid() != 0:
        raise Skip(f"{name} is missing: install the package `{name}` and run again")
    # Outside containers Debian starts nginx as a service, too; it stays on port 80 and out of our way.
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", name]):
        _run(processes, [apt, *arguments], FOLDER / f"{name}.log")
    found = shutil.which(name, path=path)
    if found is None:
        raise Skip(f"the package `{name}` brought no program `{name}`")
    return found


def _run(processes: Processes, command: list[str], log: Path) -> None:
    try:
        child = processes.start(command, log=log, env={"DEBIAN_FRONTEND": "noninteractive"})
    except OSError as error:
        raise Skip(f"not installed: {Path(command[0]).name}: {error.strerror}") from error
    try:
        status = child.wait(_INSTALL_S)
    except subprocess.TimeoutExpired as error:
        processes.stop(child)
        raise Skip(f"not installed: took longer than {_INSTALL_S // 60} minutes") from error
    if status != 0:
        raise Skip(f"not installed: {child.log_tail()}")
