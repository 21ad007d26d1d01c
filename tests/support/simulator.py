"""The simulated frontier as a child process, for tests that talk to it or through it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_SOURCE = Path(__file__).resolve().parents[2] / "src"
_START_TIMEOUT_S = 20.0


class SimulatorProcess:
    """Starts ``python -m smallfirst.simulator`` on a free port; a context manager that stops it again.

    ``options`` are its command-line options as a mapping: ``{"answers": path, "ttft_ms": 20}``.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._options = {"port": 0, "seed": 1, **(options or {})}
        self._process: subprocess.Popen[str] | None = None
        self.base_url = ""

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running process."""
        if self._process is None:
            raise RuntimeError("the simulator is not started")
        return self._process

    def start(self) -> Self:
        """Start and wait until it listens."""
        command = [sys.executable, "-m", "smallfirst.simulator"]
        for name, value in self._options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        path = os.pathsep.join(filter(None, [str(_SOURCE), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.base_url = json.loads(self._first_line())["listening"]
        return self

    def stop(self) -> int:
        """Stop it and return its exit status."""
        process = self.process
        process.terminate()
        try:
            status = process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if process.stdout:
            process.stdout.close()
        self._process = None
        return status

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Order faults after those in force: ``{"match": {...}, "times": 1, "fault": {...}}`` each."""
        self.call("POST", "/simulator/faults", list(rules))

    def fault(
        self, *, times: int | None = None, match: Mapping[str, Any] | None = None, **fault: Any
    ) -> None:
        """Order one fault by its fields: ``fault(status=429, retry_after=1, times=1)``."""
        self.faults({"match": dict(match or {}), "times": times, "fault": fault})

    def clear_faults(self) -> None:
        """Drop all faults."""
        self.call("DELETE", "/simulator/faults")

    def reset(self) -> None:
        """Forget faults, caches, finished requests and charges."""
        self.call("POST", "/simulator/reset")

    def invoice(self) -> dict[str, Any]:
        """The provider's account: ``lines``, ``total_nusd``, ``total_usd``."""
        return self.call("GET", "/simulator/invoice")

    def requests(self, *, detail: bool = False) -> dict[str, Any]:
        """``in_flight`` and ``requests``; with ``detail`` also the headers and bodies received."""
        return self.call("GET", f"/simulator/requests?detail={int(detail)}")

    def wait_until(self, holds: Callable[[dict[str, Any]], bool], timeout_s: float = 10.0) -> dict[str, Any]:
        """Poll ``requests()`` until ``holds`` says so, and return it; else ``TimeoutError``."""
        deadline = time.monotonic() + timeout_s
        while not holds(state := self.requests()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s} s: {state}")
            time.sleep(0.01)
        return state

    def call(self, method: str, path: str, body: Mapping[str, Any] | Sequence[Any] | None = None) -> Any:
        """One request to a control route; its JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def _first_line(self) -> str:
        stdout = self.process.stdout
        ready = stdout is not None and select.select([stdout], [], [], _START_TIMEOUT_S)[0]
        line = stdout.readline() if stdout and ready else ""
        if not line:
            self.process.kill()
            status = self.stop()
            raise RuntimeError(f"the simulator did not start (exit status {status})")
        return line
