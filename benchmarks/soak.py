"""Memory over many calls: it must be flat."""

import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.cpu import read_tree
from benchmarks.entrants import Running
from benchmarks.load import load
from benchmarks.processes import Processes

EARLY_CALLS = 10_000
_POLL_S = 0.1
_STALL_S = 60.0


class Soak(NamedTuple):
    """RSS of the process tree after EARLY_CALLS calls and after the last; `samples` are (calls, MB)."""

    calls: int
    early_rss_mb: float
    last_rss_mb: float
    errors: int
    samples: list[tuple[int, float]]

    @property
    def growth_bytes_per_call(self) -> float:
        """What each call after the early ones left behind."""
        return (self.last_rss_mb - self.early_rss_mb) * 1e6 / max(1, self.calls - EARLY_CALLS)


def soak(
    processes: Processes, wrk: str, running: Running, calls: int, progress: Callable[[int], None]
) -> Soak:
    """Send `calls` calls (more than EARLY_CALLS); RuntimeError when they stop being answered."""
    base = running.upstream.count()
    readings, every, due = 1, max(EARLY_CALLS // 2, calls // 40), 0
    samples: list[tuple[int, float]] = []
    early_mb: float | None = None
    with load(processes, wrk, running.target, running.folder) as sending:
        done, moved_s = 0, time.monotonic()
        while done < calls:
            time.sleep(_POLL_S)
            now = running.upstream.count() - base - readings * running.upstream.counter_reads
            readings += 1
            if now > done:
                done, moved_s = now, time.monotonic()
            elif not sending.alive() or time.monotonic() - moved_s > _STALL_S:
                raise RuntimeError(f"answered no call for a while, after {done} of {calls}")
            progress(min(done, calls))
            if early_mb is None and done >= EARLY_CALLS:
                early_mb = read_tree(running.child.pid).rss_mb
            if done >= due:
                samples.append((done, read_tree(running.child.pid).rss_mb))
                due = done + every
        last_mb = read_tree(running.child.pid).rss_mb
        summary = sending.finish()
    return Soak(done, early_mb if early_mb is not None else last_mb, last_mb, summary.errors, samples)
