"""Load from wrk: the same chat request over and over, each with its own number, so that no cache answers."""

import itertools
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import Child, Processes
from benchmarks.ticket import PLACE

CONNECTIONS = 16
TIMEOUT_S = 30
_DONE = "wrk-summary "
_run_numbers = itertools.count(int(time.time()) % 100_000 * 1000)

_SCRIPT = """\
local head, tail, number = nil, nil, 0
function init(args)
  wrk.method = "POST"
  wrk.body = %(body)s
%(headers)s
  local whole, place = wrk.format(), "%(place)s"
  local from, to = whole:find(place, 1, true)
  head, tail = whole:sub(1, from - 1) .. "%(run)s", whole:sub(to + 1)
end
function request()
  number = number + 1
  return head .. string.format("%%0%(digits)dd", number) .. tail
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('%(done)s{"calls": %%d, "duration_us": %%d, "p50_us": %%d, "p99_us": %%d, '
    .. '"refused": %%d, "broken": %%d, "late": %%d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write, e.timeout))
end
"""


class Target(NamedTuple):
    """Where and what to send: a URL, its headers, and a body that holds PLACE once."""

    url: str
    headers: Mapping[str, str]
    body: str


class Summary(NamedTuple):
    """What wrk counted over its whole run; `refused`: status 400 and above, `late`: over TIMEOUT_S."""

    calls: int
    duration_us: int
    p50_us: int
    p99_us: int
    refused: int
    broken: int
    late: int

    @property
    def errors(self) -> int:
        """Calls that did not end in an answer with a good status."""
        return self.refused + self.broken + self.late


class Load:
    """A running wrk."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def alive(self) -> bool:
        """Whether it still sends."""
        return self._child.exit_status() is None

    def finish(self) -> Summary:
        """Stop now and report; RuntimeError when wrk did not report."""
        self._child.interrupt()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(TIMEOUT_S)
        for line in self._child.log.read_text().splitlines():
            if line.startswith(_DONE):
                return Summary(**json.loads(line.removeprefix(_DONE)))
        raise RuntimeError(f"wrk gave no report: {self._child.log_tail()}")


@contextmanager
def load(processes: Processes, wrk: str, target: Target, folder: Path) -> Iterator[Load]:
    """Send from CONNECTIONS connections of one thread until `finish` or the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "load.lua"
    script.write_text(_script(target))
    command = [
        wrk,
        "-t1",
        f"-c{CONNECTIONS}",
        "-d24h",
        f"--timeout={TIMEOUT_S}s",
        "--latency",
        "-s",
        str(script),
    ]
    child = processes.start([*command, target.url], log=folder / "wrk.log")
    try:
        yield Load(child)
    finally:
        processes.stop(child)


def _script(target: Target) -> str:
    run = f"{next(_run_numbers):08d}"[-8:]
    headers = {"content-type": "application/json", **target.headers}
    return _SCRIPT % {
        "body": json.dumps(target.body),
        "headers": "\n".join(f"  wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items()),
        "place": PLACE,
        "run": run,
        "digits": len(PLACE) - len(run),
        "done": _DONE,
    }
