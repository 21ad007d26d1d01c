"""An embedded model's server: a child process, watched and started again when it dies.

To everything else it is one more OpenAI-compatible endpoint, so that a vLLM is the same thing with another
URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.models.llamacpp_child import FINISH, QUIET_THREADS, Said, Settings, Start

_log = logging.getLogger(__name__)
_SHOWN_LINES = 8
_TAIL_BYTES = 8192

# What the child is told of our environment: no provider's key is any business of its.
_PASSED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV")
_PASSED_PREFIXES = ("PYTHON", "LC_", "LD_", "DYLD_")

State = Literal["stopped", "starting", "ready", "restarting", "failed"]
"""`restarting`: it died and is started again after a pause. `failed`: that did not help several times in a
row; it is still tried, rarely.
"""


class EmbeddedServer:
    """llama.cpp over one GGUF file, on a free port of the loopback interface, opened by `key`.

    `on_ready` is told the base URL (another one after each restart) when the server answers, `on_gone` is
    called when it no longer does. Both are called on the event loop. What llama.cpp prints is in `log`, which
    stays short.
    """

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *,
        on_ready: Callable[[str], None],
        on_gone: Callable[[], None],
        key: str | None = None,
    ) -> None:
        self.settings = settings
        self.key = key or secrets.token_urlsafe(24)
        self.state: State = "stopped"
        self.base_url: str | None = None
        self.error = ""  # why it is not ready
        self.restarts = 0
        self._name = f"the embedded model {settings.name}"
        self._log_path = log
        self._logged_bytes = 0  # before this start
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begins to run it, in the background, until `stop`."""
        assert self._watch is None, "started twice"
        self.state = "starting"
        self._watch = asyncio.create_task(self._run(), name=f"embedded {self.settings.name}")

    async def ready(self) -> str:
        """The base URL, once the first start is over. Raises `StateError` with the end of the log if it failed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.state != "starting")
        if self.base_url is None:
            raise StateError(self.error or f"{self._name} is {self.state}")
        return self.base_url

    async def finish(self, limit_s: float) -> None:
        """Ends it when it has answered what it was asked, or at the limit; who asks it meanwhile is still answered."""
        try:
            await self._unwatched()
            process = self._process
            if process is not None and process.stdin is not None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                    process.stdin.write(FINISH)
                    async with asyncio.timeout(limit_s):
                        await process.wait()
        finally:
            await self.stop()  # also where nobody waits for it any more

    async def stop(self) -> None:
        """Ends it, and what it is generating."""
        await self._unwatched()
        await self._end()
        await self._become("stopped")

    async def _unwatched(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _run(self) -> None:
        deaths = 0  # in a row
        while True:
            try:
                url = await self._begin()
            except StateError as error:
                self.error = str(error)
                if deaths < limits.EMBEDDED_RESTARTS:  # after that everything has been said
                    _log.error("%s does not start; its calls climb. %s", self._name, error)
            else:
                if await self._serve(url) >= limits.EMBEDDED_STEADY_S:
                    deaths = 0
            deaths += 1
            await self._become("restarting" if deaths < limits.EMBEDDED_RESTARTS else "failed")
            await asyncio.sleep(_pause_s(deaths))
            self.restarts += 1

    async def _serve(self, url: str) -> float:
        """From `ready` until it dies; how many seconds that was."""
        assert self._process is not None
        since_s = time.monotonic()
        self.base_url = url
        self._on_ready(url)
        await self._become("ready")
        try:
            status = await self._process.wait()
        finally:
            self.base_url = None
            self._on_gone()
        self.error = f"{self._name} ended by itself (status {status})"
        _log.warning("%s and is started again; its log: %s", self.error, self._log_path)
        await self._end()
        return time.monotonic() - since_s

    async def _become(self, state: State) -> None:
        async with self._changed:
            self.state = state
            self._changed.notify_all()

    async def _begin(self) -> str:
        """Starts the child; its base URL, once it answers. Raises `StateError` with the end of its log."""
        begun = False
        try:
            async with asyncio.timeout(limits.EMBEDDED_START_TIMEOUT_S):
                self._logged_bytes = self._log_size()
                said = await self._said()
                if said.listening:
                    begun = True
                    return said.listening + "/v1"
                status = await self._status()  # its log is whole when it has ended
            why = said.error or f"it ended (status {status})"
        except TimeoutError:
            why = f"it did not answer within {limits.EMBEDDED_START_TIMEOUT_S:g} s"
        except (OSError, msgspec.DecodeError) as error:  # no process, no log, no sense
            why = str(error)
        finally:
            if not begun:
                await self._end()
        raise StateError(f"{why}{self._tail()}")

    async def _said(self) -> Said:
        """What the child says, empty if it ends without a word."""
        process = self._process = await self._spawn()
        assert process.stdin is not None
        assert process.stdout is not None
        start = Start(settings=self.settings, key=self.key, log=str(self._log_path), parent_pid=os.getpid())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it ended at once: its log says why
            process.stdin.write(msgspec.json.encode(start) + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        return msgspec.json.decode(line, type=Said) if line.endswith(b"\n") else Said()

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        # -P: a file in the working directory must not stand in for a module.
        command = [sys.executable, "-P", "-m", "smallfirst.models.llamacpp_child"]
        passed = {
            name: value
            for name, value in os.environ.items()
            if name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES)
        }
        descriptor = os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=descriptor,
                env=passed | QUIET_THREADS,
                start_new_session=True,  # Ctrl-C is the gateway's to hear: it drains first
            )
        finally:
            os.close(descriptor)

    async def _status(self) -> int | None:
        assert self._process is not None
        return await self._process.wait()

    def _log_size(self) -> int:
        return self._log_path.stat().st_size if self._log_path.exists() else 0

    def _tail(self) -> str:
        """The last lines that this start has logged, introduced; empty if there are none."""
        try:
            with self._log_path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(min(self._logged_bytes, size), size - _TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        shown = "\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:])
        return f". The end of {self._log_path}:\n{shown}" if shown else ""

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()  # the child's sign to go
        try:
            async with asyncio.timeout(limits.EMBEDDED_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _pause_s(deaths: int) -> float:
    """Before the start that follows so many deaths in a row."""
    return min(limits.EMBEDDED_RESTART_FIRST_S * 2 ** min(deaths - 1, 16), limits.EMBEDDED_RESTART_MAX_S)
