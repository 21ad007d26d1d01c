"""The rollout's controller: a process of its own beside the gateway, which starts it where there is something to watch, and again when it dies.

It watches a canary and renews its lease, so that a controller that cannot be kept alive ends the canary by itself. The gateway imports nothing of it.
It ends at SIGTERM, and when its stdin closes: with the gateway that started it, however that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from smallfirst import limits
from smallfirst.gateway.running import Running

_log = logging.getLogger(__name__)
MODULE = "smallfirst.gate.controller"
_LOG = "controller.log"
_LOG_BYTES = 1024 * 1024  # of an older run's log, from where on it begins anew
_POLL_S = 0.25


def is_wanted(running: Running) -> bool:
    """Whether there is something to watch: a canary, a shadow, a task whose calls are explored, or whose cache may answer in other words."""
    if running.canary is not None or running.shadow is not None:
        return True
    if any(policy.cache.semantic is not None for policy in running.serving.policies.values()):
        return True
    tasks = running.config.tasks
    return any(
        len(policy.ladder) > 1 and task in tasks and tasks[task].rollout.explore > 0
        for task, policy in running.serving.policies.items()
    )


class Supervisor:
    """Keeps one controller alive while `wanted` says so."""

    def __init__(
        self,
        path: Path,
        state: Path,
        wanted: Callable[[], bool],
        *,
        module: str = MODULE,
        enabled: bool = True,
    ) -> None:
        self._command = [sys.executable, "-P", "-m", module, "--state", str(state), "--config", str(path)]
        self._log_path = state / _LOG
        self._wanted = wanted
        self._enabled = enabled
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stdin: int | None = None  # our end of its stdin
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The controller's process id, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        if self._enabled:
            self._task = asyncio.create_task(self._run(), name="controller")

    async def stop(self) -> None:
        """Ends it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._end()

    async def _run(self) -> None:
        deaths = 0  # in a row
        while True:
            if not self._wanted():
                await asyncio.sleep(_POLL_S)
                continue
            since_s = time.monotonic()
            try:
                ended = await self._live()
            except OSError as error:
                ended = str(error)
            if ended is None:
                deaths = 0  # it was not wanted any more
                continue
            deaths = 1 if time.monotonic() - since_s >= limits.CONTROLLER_STEADY_S else deaths + 1
            _log.warning(
                "the rollout's controller ended (%s) and is started again; its log: %s", ended, self._log_path
            )
            await asyncio.sleep(_pause_s(deaths))
            self.restarts += 1

    async def _live(self) -> str | None:
        """Starts it and stays with it; how it ended by itself, None where it was ended since nothing is left to watch."""
        try:
            process = self._process = await self._spawn()
        except BaseException:
            await self._end()
            raise
        died = asyncio.create_task(process.wait())
        try:
            while not died.done():
                await asyncio.wait([died], timeout=_POLL_S)
                if not died.done() and not self._wanted():
                    return None
            return f"status {died.result()}"
        finally:
            died.cancel()
            await self._end()

    async def _spawn(self) -> asyncio.subprocess.Process:
        fresh = self._log_path.exists() and self._log_path.stat().st_size > _LOG_BYTES
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0)
        descriptor = os.open(self._log_path, flags, 0o600)
        # The other end is held open by this process alone: the kernel closes it, however we die.
        stdin, self._stdin = os.pipe()
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=stdin,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C is the gateway's to hear
            )
        finally:
            os.close(descriptor)
            os.close(stdin)

    async def _end(self) -> None:
        process, self._process = self._process, None
        stdin, self._stdin = self._stdin, None
        if stdin is not None:
            os.close(stdin)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(limits.CONTROLLER_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _pause_s(deaths: int) -> float:
    """Before the start that follows so many deaths in a row."""
    return min(limits.CONTROLLER_RESTART_FIRST_S * 2 ** min(deaths - 1, 16), limits.CONTROLLER_RESTART_MAX_S)
