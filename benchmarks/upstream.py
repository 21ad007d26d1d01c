"""The two upstreams: a fixed chat completion from nginx, and a fixed paced stream. Both count their calls."""

import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from benchmarks import nginx
from benchmarks.http import free_port, get
from benchmarks.processes import Processes
from benchmarks.ticket import answer_body

START_S = 20.0


@dataclass(frozen=True)
class Upstream:
    """Where an upstream listens."""

    port: int
    counter_reads: int  # how many requests one reading of the counter adds to it

    @property
    def base_url(self) -> str:
        """The base URL as an OpenAI client wants it, ending in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def frontier_url(self) -> str:
        """A base URL where every call fails: what is sent there was not answered by the small model."""
        return f"http://127.0.0.1:{self.port}/frontier/v1"

    def count(self) -> int:
        """Requests received since the start (with nginx, readings of this counter included)."""
        numbers = re.findall(rb"\d+", get(f"http://127.0.0.1:{self.port}/count").body)
        return int(numbers[3] if len(numbers) > 1 else numbers[0])


def start_upstream(processes: Processes, folder: Path, nginx_program: str, *, paced: bool) -> Upstream:
    """Start an upstream and wait until it counts; RuntimeError when it does not start."""
    port = free_port()
    if paced:
        command = [sys.executable, "-m", "benchmarks.paced_upstream", "--port", str(port)]
    else:
        command = nginx.command(nginx_program, nginx.write_config(folder, _fixed_answer(port)))
    child = processes.start(command, log=folder / "log")
    upstream = Upstream(port, counter_reads=0 if paced else 1)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and child.exit_status() is None:
        with suppress(OSError, HTTPException):
            upstream.count()
            return upstream
        time.sleep(0.02)
    raise RuntimeError(f"the upstream did not start: {child.log_tail()}")


def _fixed_answer(port: int) -> str:
    return f"""\
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    default_type application/json;
    location = /v1/chat/completions {{ return 200 '{answer_body()}'; }}
    location /frontier/ {{ return 503 '{{"error":{{"message":"the frontier model was asked"}}}}'; }}
    location = /count {{ stub_status; }}
    location / {{ return 200 '{{"object":"list","data":[]}}'; }}
  }}"""
