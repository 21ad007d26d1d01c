"""One measurement: a window in the middle of a steady load, with CPU and calls read at both of its ends."""

import os
import time
from typing import NamedTuple

from benchmarks.cpu import machine_busy_us, read_tree
from benchmarks.entrants import Running
from benchmarks.load import CONNECTIONS, Summary, load
from benchmarks.processes import Processes

_LEAD_S = 0.5
_QUIET_US_PER_S = 50_000
_QUIET_WAIT_S = 10.0


class Round(NamedTuple):
    """One entrant's figures of one round."""

    cpu_us_per_call: float
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    calls: int
    errors: int
    upstream_per_call: float
    others_cores: float


class _Reading(NamedTuple):
    at_s: float
    calls: int
    cpu_us: int
    ours_us: int
    machine_us: int


def measure(processes: Processes, wrk: str, running: Running, seconds: float) -> Round:
    """Warm up, then load for `seconds`; RuntimeError when the entrant dies or answers nothing.

    Calls are counted by the upstream, between the same two moments as CPU, while the load goes on before and
    after: so calls in flight at one end of the window stand against those at the other, however slow it is.
    """
    upstream = running.upstream
    early_errors = _warm_up(processes, wrk, running, max(1.0, seconds / 2))
    count_before = upstream.count()
    with load(processes, wrk, running.target, running.folder) as sending:
        time.sleep(_LEAD_S)
        first = _read(running)
        time.sleep(seconds)
        last = _read(running)
        rss_mb = read_tree(running.child.pid).rss_mb
        summary = sending.finish()
    wait_until_quiet(running)
    count_after = upstream.count() - upstream.counter_reads * 3
    if running.child.exit_status() is not None:
        status = running.child.exit_status()
        raise RuntimeError(f"died under load with status {status}: {running.child.log_tail()}")
    received = last.calls - first.calls - upstream.counter_reads
    if received <= 0 or summary.calls == 0:
        raise RuntimeError(f"answered no call in {seconds:g} s; {summary.errors} errors")
    return _round(
        first,
        last,
        summary._replace(refused=summary.refused + early_errors),
        received=received,
        upstream_per_call=_upstream_per_call(summary.calls, count_after - count_before),
        rss_mb=rss_mb,
    )


def wait_until_quiet(running: Running) -> None:
    """Let an entrant finish what it has in flight, so that it does not run into the next one's window."""
    deadline = time.monotonic() + _QUIET_WAIT_S
    while time.monotonic() < deadline:
        before = read_tree(running.child.pid).cpu_us
        time.sleep(0.2)
        if read_tree(running.child.pid).cpu_us - before <= _QUIET_US_PER_S * 0.2:
            return


def _warm_up(processes: Processes, wrk: str, running: Running, seconds: float) -> int:
    with load(processes, wrk, running.target, running.folder) as sending:
        time.sleep(seconds)
        errors = sending.finish().errors
    wait_until_quiet(running)
    return errors


def _read(running: Running) -> _Reading:
    # CPU last at both ends: the window of CPU is as long as the window of calls.
    calls = running.upstream.count()
    ours = read_tree(os.getpid()).cpu_us
    return _Reading(time.monotonic(), calls, read_tree(running.child.pid).cpu_us, ours, machine_busy_us())


def _round(
    first: _Reading,
    last: _Reading,
    summary: Summary,
    *,
    received: int,
    upstream_per_call: float,
    rss_mb: float,
) -> Round:
    calls = round(received / upstream_per_call)
    elapsed_s = last.at_s - first.at_s
    others_us = (last.machine_us - first.machine_us) - (last.ours_us - first.ours_us)
    return Round(
        cpu_us_per_call=(last.cpu_us - first.cpu_us) / calls,
        calls_per_s=calls / elapsed_s,
        p50_ms=summary.p50_us / 1000,
        p99_ms=summary.p99_us / 1000,
        rss_mb=rss_mb,
        calls=calls,
        errors=summary.errors,
        upstream_per_call=upstream_per_call,
        others_cores=max(0.0, others_us / elapsed_s / 1e6),
    )


def _upstream_per_call(calls: int, upstream_calls: int) -> float:
    # Calls in flight when wrk stops are missing in its report: up to CONNECTIONS more upstream prove nothing.
    return min(upstream_calls, max(calls, upstream_calls - CONNECTIONS)) / calls
