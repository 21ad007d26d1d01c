"""What an entrant is, and how one is started."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from benchmarks.http import get, post
from benchmarks.load import Target
from benchmarks.processes import Child, Processes
from benchmarks.ticket import PLACE, check_answer, check_stream, request_body
from benchmarks.upstream import Upstream

_POLL_S = 0.02
_BEFORE_S = 60.0
_WRONG_S = 10.0


@dataclass(frozen=True)
class Site:
    """What an entrant is given to start with."""

    folder: Path
    port: int
    upstream: Upstream
    peer: Path  # where its packages are installed; the folder need not exist for those of our own environment
    nginx: str


@dataclass(frozen=True)
class Server:
    """How an entrant is started and called."""

    command: list[str]
    model: str = "small"
    path: str = "/v1/chat/completions"
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[list[str]] = ()  # commands that are run to their end first, with the same environment
    ready_path: str | None = None  # GET here is 200 once it is ready; None: the first answered call says so
    address_file: Path | None = None  # for one that picks its own port: it writes its base URL here


@dataclass(frozen=True)
class Entrant:
    """One row of the table."""

    key: str
    name: str
    does: str
    serve: Callable[[Site], Server]
    stream: bool = False
    baseline: str = "bare"
    peer: str | None = None
    start_s: float = 60.0


@dataclass(frozen=True)
class Running:
    """A started entrant that has answered one call rightly."""

    entrant: Entrant
    child: Child
    target: Target
    upstream: Upstream
    folder: Path
    start_s: float  # from the start of the process to its first answered call


def start(processes: Processes, entrant: Entrant, site: Site) -> Running:
    """Start an entrant and ask it one call; RuntimeError with the reason when the answer is not right."""
    site.folder.mkdir(parents=True, exist_ok=True)
    server = entrant.serve(site)
    for command in server.before:
        _run(processes, command, server, site.folder / "before.log")
    began = time.monotonic()
    try:
        child = processes.start(server.command, log=site.folder / "log", env=server.env)
    except OSError as error:
        raise RuntimeError(f"could not be started: {error.strerror}") from error
    try:
        target = _first_answer(child, server, entrant, site, deadline=began + entrant.start_s)
    except BaseException:
        processes.stop(child)
        raise
    return Running(entrant, child, target, site.upstream, site.folder, time.monotonic() - began)


def _run(processes: Processes, command: list[str], server: Server, log: Path) -> None:
    child = processes.start(command, log=log, env=server.env)
    try:
        status = child.wait(_BEFORE_S)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{' '.join(command[1:3])} took longer than {_BEFORE_S:g} s") from error
    finally:
        processes.stop(child)
    if status != 0:
        raise RuntimeError(f"{' '.join(command[1:3])} ended with status {status}: {child.log_tail()}")


def _first_answer(child: Child, server: Server, entrant: Entrant, site: Site, *, deadline: float) -> Target:
    body = request_body(server.model, stream=entrant.stream)
    problem = ""
    while time.monotonic() < deadline:
        if child.exit_status() is not None:
            raise RuntimeError(f"ended with status {child.exit_status()}: {child.log_tail()}")
        try:
            base = _base_url(server, site)
            if base and (server.ready_path is None or get(base + server.ready_path).status == 200):
                target = Target(base + server.path, server.headers, body)
                wrong = _ask(target, stream=entrant.stream)
                if wrong is None:
                    return target
                if (
                    not problem
                ):  # some answer errors for a moment while they start; what is wrong for long stays so
                    deadline = min(deadline, time.monotonic() + _WRONG_S)
                problem = wrong
        except (OSError, HTTPException):
            pass  # not listening yet
        time.sleep(_POLL_S)
    raise RuntimeError(f"gave no right answer in time: {problem or 'no answer'}: {child.log_tail()}")


def _base_url(server: Server, site: Site) -> str | None:
    if server.address_file is None:
        return f"http://127.0.0.1:{site.port}"
    return server.address_file.read_text().strip() or None if server.address_file.exists() else None


def _ask(target: Target, *, stream: bool) -> str | None:
    body = target.body.replace(PLACE, "0" * len(PLACE))
    answer = post(target.url, body, {"content-type": "application/json", **target.headers})
    if answer.status != 200:
        return f"status {answer.status}: {answer.body[:300].decode(errors='replace')}"
    try:
        return check_stream(answer.body) if stream else check_answer(answer.body)
    except (ValueError, LookupError, TypeError) as error:
        return f"not a chat completion ({error!r}): {answer.body[:300].decode(errors='replace')}"
