"""A real redis-server of the tests' own, on a socket in a folder of theirs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")
_START_TIMEOUT_S = 20.0
_SETTINGS = {"port": "0", "save": "", "appendonly": "no", "daemonize": "no", "databases": "4"}


class RedisServer:
    """Starts it, and stops it again: a context manager. Skips the test where there is no binary."""

    def __init__(self, **settings: str) -> None:
        if BINARY is None:
            pytest.skip("no redis-server is installed: apt-get install redis-server")
        self._binary = BINARY
        self._settings = _SETTINGS | settings
        self._folder = Path(tempfile.mkdtemp(prefix="sf-redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = self._folder / "redis.sock"
        self.url = f"unix://{self.socket}"

    def start(self) -> Self:
        options = [part for name, value in self._settings.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [self._binary, *options, "--unixsocket", str(self.socket), "--dir", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self.socket.exists():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline_s, "redis-server does not listen"
            time.sleep(0.01)
        return self

    def freeze(self) -> None:
        """It holds its connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)
