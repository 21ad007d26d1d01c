"""Every process of a run is started here, and none outlives it."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from benchmarks.cpu import descendants, tree_pids

STOP_GRACE_S = 5.0
PR_SET_CHILD_SUBREAPER = 36
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Child:
    """One started process, leader of its own session, with all that it starts in turn."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.pid = popen.pid
        self.log = log

    def exit_status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait for the process to end by itself; subprocess.TimeoutExpired when it does not."""
        return self._popen.wait(timeout_s)

    def interrupt(self) -> None:
        """Ask as Ctrl-C would; wrk answers with its report of the calls so far."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Ask the whole tree to end, and do not wait."""
        _signal(self._tree(), signal.SIGTERM)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """End the process and its whole tree: politely, then not."""
        before = self._tree()
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace_s)
        # A grandchild that left the session is still a descendant: we are the subreaper.
        kill((before | self._tree()) & descendants(os.getpid()))
        self._popen.wait()

    def _tree(self) -> set[int]:
        # Only ever our own descendants: the number of a process that ended may be somebody else's by now.
        return tree_pids(self.pid) & descendants(os.getpid())

    def log_tail(self, lines: int = 2) -> str:
        """The last lines that it wrote, on one line, for a skip reason."""
        text = _COLOURS.sub("", self.log.read_text(errors="replace")) if self.log.exists() else ""
        return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:])


class Processes:
    """All children of a run. Leaving the context stops every one, whatever the reason for leaving."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        # Orphans of our children come to us, not to init: even a daemon that forks twice stays in sight.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not cut the clearing-up short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in self._children:
            child.terminate()
        for child in reversed(self._children):
            child.stop()
        kill(descendants(os.getpid()))
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> Child:
        """Start a command in a session of its own; output goes to `log`; OSError without the command."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            child = Child(_spawn([*_dies_with_us(), *command], output, {**os.environ, **(env or {})}), log)
        self._children.append(child)
        return child

    def stop(self, child: Child) -> None:
        """Stop one child now rather than at the end."""
        child.stop()
        self._children.remove(child)


def kill(pids: set[int]) -> None:
    """SIGKILL to each, and reap those that are our own children."""
    _signal(pids, signal.SIGKILL)
    deadline = time.monotonic() + 1
    while pids & descendants(os.getpid()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def _dies_with_us() -> list[str]:
    """A prefix that ends the child when we are killed with SIGKILL and can clear up nothing."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _spawn(command: list[str], output: IO[bytes], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
