"""A run, from the first process to the rows: install, start everyone, take rounds in turn, soak."""

import os
import platform
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from benchmarks import peers
from benchmarks.entrants import ENTRANTS, Entrant, Running, Site, start
from benchmarks.http import free_port
from benchmarks.measure import Round, measure
from benchmarks.processes import Processes
from benchmarks.results import Result, Row, measured, skipped
from benchmarks.soak import Soak, soak
from benchmarks.upstream import Upstream, start_upstream

_REPOSITORY = Path(__file__).parent.parent
_SOAKED = "smallfirst"


class Settings(NamedTuple):
    """What is run, and for how long."""

    command: str
    entrants: tuple[Entrant, ...]
    named: frozenset[str]  # keys that the user named; --quick leaves out peers that were not
    rounds: int
    seconds: float
    soak_calls: int  # 0: no soak
    quick: bool


class Bench:
    """One run. `run` once; the processes it starts belong to `processes`, which ends them."""

    def __init__(self, settings: Settings, processes: Processes, progress: Progress, folder: Path) -> None:
        self._settings = settings
        self._processes = processes
        self._progress = progress
        self._folder = folder
        self._reasons: dict[str, str] = {}
        self._running: dict[str, Running] = {}
        self._rounds: dict[str, list[Round]] = {entrant.key: [] for entrant in settings.entrants}
        steps = len(settings.entrants) * (1 + settings.rounds) + settings.soak_calls / 10_000
        self._task = progress.add_task("starting", total=steps)

    def run(self) -> Result:
        """Measure the chosen entrants; those that cannot be are rows with the reason.

        RuntimeError when nothing can be measured: no nginx, no wrk.
        """
        settings = self._settings
        taken_at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        self._nginx = peers.find_program(self._processes, "nginx", allowed=not settings.quick)
        self._wrk = peers.find_program(self._processes, "wrk", allowed=not settings.quick)
        self._upstreams = {paced: self._start_upstream(paced=paced) for paced in self._kinds()}
        for entrant in settings.entrants:
            self._step(f"starting {entrant.name}")
            self._start(entrant)
        for number in range(1, settings.rounds + 1):
            for entrant in settings.entrants:
                self._step(f"round {number} of {settings.rounds}: {entrant.name}")
                self._measure(entrant, number)
        rows = [self._row(entrant) for entrant in settings.entrants]
        memory, reason = self._soak()
        return Result(
            taken_at=taken_at,
            command=settings.command,
            machine=_machine(),
            seconds=settings.seconds,
            rounds=settings.rounds,
            rows=rows,
            soak=memory,
            soak_reason=reason,
        )

    def _kinds(self) -> set[bool]:
        return {entrant.stream for entrant in self._settings.entrants}

    def _start_upstream(self, *, paced: bool) -> Upstream:
        folder = self._folder / ("upstream-paced" if paced else "upstream")
        return start_upstream(self._processes, folder, self._nginx, paced=paced)

    def _start(self, entrant: Entrant) -> None:
        try:
            peer = self._peer_folder(entrant)
            self._running[entrant.key] = start(
                self._processes, entrant, self._site(entrant, entrant.key, peer)
            )
        except RuntimeError as error:
            self._give_up(entrant, str(error))

    def _peer_folder(self, entrant: Entrant) -> Path:
        if entrant.peer is None:
            return self._folder
        settings = self._settings
        if settings.quick and entrant.key not in settings.named:
            raise peers.Skip("left out by --quick; name it with --only to have it")
        self._progress.update(self._task, description=f"installing {entrant.name}")
        folder = peers.install_peer(self._processes, entrant.peer, allowed=not settings.quick)
        self._progress.update(self._task, description=f"starting {entrant.name}")
        return folder

    def _site(self, entrant: Entrant, name: str, peer: Path) -> Site:
        return Site(self._folder / name, free_port(), self._upstreams[entrant.stream], peer, self._nginx)

    def _measure(self, entrant: Entrant, number: int) -> None:
        running = self._running.get(entrant.key)
        if running is None:
            return
        try:
            taken = measure(self._processes, self._wrk, running, self._settings.seconds)
        except (RuntimeError, OSError, HTTPException) as error:
            del self._running[entrant.key]
            self._processes.stop(running.child)
            self._give_up(entrant, f"failed in round {number}: {error}")
        else:
            self._rounds[entrant.key].append(taken)
            errors = f", {taken.errors} ERRORS" if taken.errors else ""
            figures = f"{taken.cpu_us_per_call:,.0f} µs CPU a call, {taken.calls_per_s:,.0f} calls/s"
            self._say(f"{entrant.name}: {figures}{errors}")

    def _row(self, entrant: Entrant) -> Row:
        running = self._running.get(entrant.key)
        if running is None:
            return skipped(entrant, self._reasons[entrant.key])
        rounds = self._rounds[entrant.key]
        # A yardstick that failed in a later round has fewer rounds than the entrant: those have no ratio.
        yardstick = self._rounds.get(entrant.baseline, [])
        baseline = [yardstick[i] if i < len(yardstick) else None for i in range(len(rounds))]
        return measured(entrant, running.start_s, rounds, baseline)

    def _soak(self) -> tuple[Soak | None, str | None]:
        calls = self._settings.soak_calls
        if calls == 0:
            return None, "not asked for"
        entrant = next(entrant for entrant in ENTRANTS if entrant.key == _SOAKED)
        if entrant.key not in self._running:
            return None, self._reasons.get(entrant.key, "not among the entrants of this run")
        for running in self._running.values():
            self._processes.stop(running.child)
        self._progress.update(self._task, description=f"soak: {calls:,} calls")
        begun = self._progress.tasks[self._task].completed
        try:
            running = start(self._processes, entrant, self._site(entrant, "soak", self._folder))
            return soak(
                self._processes, self._wrk, running, calls, lambda done: self._soaked(begun, done)
            ), None
        except (RuntimeError, OSError, HTTPException) as error:
            return None, self._plain(str(error))

    def _soaked(self, begun: float, done: int) -> None:
        self._progress.update(self._task, completed=begun + done / 10_000)

    def _step(self, description: str) -> None:
        self._progress.update(self._task, description=description, advance=1)

    def _give_up(self, entrant: Entrant, reason: str) -> None:
        self._reasons[entrant.key] = self._plain(reason)
        self._say(f"skipped {entrant.name}: {self._reasons[entrant.key]}")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _plain(self, reason: str) -> str:
        """The reason without the paths of this machine, and of a readable length."""
        for path, name in ((self._folder, "RUN"), (_REPOSITORY, "."), (Path.home(), "~")):
            reason = reason.replace(str(path), name)
        return reason if len(reason) <= 400 else reason[:400] + "…"


def _machine() -> dict[str, str | int | float]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {"CPU": cpu, "cores": len(os.sched_getaffinity(0)), "Python": platform.python_version()}
