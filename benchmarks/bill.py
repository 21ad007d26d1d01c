"""How long the bill of ten million calls takes.

    python -m benchmarks.bill [--calls 10000000] [--days 90] [--folder FOLDER] [--json]

Makes a ledger in `--folder` (default: one that is removed afterwards; one that has a ledger already is used again): a
week of calls, drawn evenly over 30 tenants with 60 keys each, 12 tasks and 6 models, which is what makes most rows, goes
through the ledger's own `Rollups`; the other weeks are that week's sums, at their own hours. Then the days are summed,
as a gateway does once a day, and it times `make_bill` by several groups and filters, the forecast, and the whole command
(`smallfirst bill`, start of Python included): the median of three, by the wall's clock and in CPU time, which others on
the machine change less.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from smallfirst.chat import Usage
from smallfirst.ledger import store
from smallfirst.ledger.days import fold
from smallfirst.ledger.names import Ids
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.records import Attempt, Call
from smallfirst.ledger.reports import Reports, Span
from smallfirst.ledger.rollups import Rollups
from smallfirst.planning.bill import forecast, make_bill

_TENANTS, _KEYS, _TASKS, _MODELS = 30, 60, 12, 6
_HOUR_MS = 3_600_000
_WEEK_HOURS = 168
_BATCH = 50_000
_ROUNDS = 3
_STATUSES = ("unmet", "doubted", "cancelled", "timeout")


def measure_bill(state: Path, *, calls: int, days: int) -> dict[str, Any]:
    """Seconds by what was asked, and the rows that were read or not."""
    if not (state / store.FILE).exists():
        make_ledger(state, calls=calls, days=days)
    reader = Reader(state)
    reports = Reports(reader)
    now = datetime.datetime.now(datetime.UTC)
    asked: dict[str, Callable[[], Any]] = {
        "by task": lambda: make_bill(reports, Span()),
        "by model": lambda: make_bill(reports, Span(), by="model"),
        "by tenant": lambda: make_bill(reports, Span(), by="tenant"),
        "by day": lambda: make_bill(reports, Span(), by="day"),
        "by month, model": lambda: make_bill(reports, Span(), by="month", then="model"),
        "of one tenant": lambda: make_bill(reports, Span(tenant="tenant-7")),
        "of one task, by tenant": lambda: make_bill(reports, Span(task="task-3"), by="tenant"),
        "of one key": lambda: make_bill(reports, Span(key="key-7-3")),
        "by key": lambda: make_bill(reports, Span(), by="key"),
        "by tenant, model": lambda: make_bill(reports, Span(), by="tenant", then="model"),
        "of one model": lambda: make_bill(reports, Span(model="frontier-0")),
        "by key, day": lambda: make_bill(reports, Span(), by="key", then="day"),
        "by key, task": lambda: make_bill(reports, Span(), by="key", then="task"),
        "forecast": lambda: forecast(reports, Span(), now),
        "smallfirst bill": lambda: _command(state),
    }
    spent = {name: _medians_s(ask) for name, ask in asked.items()}
    made = make_bill(reports, Span())
    counted = {table: reader.rows(f"SELECT count(*) FROM {table}")[0][0] for table in _TABLES}
    reader.close()
    return {
        "calls": sum(section.total.calls for section in made.sections),
        "rows": counted,
        "file_mb": round((state / store.FILE).stat().st_size / 1e6),
        "seconds": spent,
    }


_TABLES = (
    "hourly_calls",
    "hourly_attempts",
    "hourly_latency",
    "daily_attempts",
    "daily_key_attempts",
    "daily_latency",
)


def make_ledger(state: Path, *, calls: int, days: int) -> None:
    """A ledger of that many calls, the last of them yesterday."""
    state.mkdir(parents=True, exist_ok=True)
    today = int(time.time() * 1000) // _HOUR_MS // 24
    first_hour = (today - days) * 24
    conn = store.connect(state)
    with contextlib.closing(conn):
        store.migrate(conn)
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("PRAGMA cache_size = -400000")
        _draw_week(conn, first_hour, calls * 7 // days)
        _copy_weeks(conn, first_hour, days)
        print("summing days", file=sys.stderr)
        fold(conn, now_ms=int(time.time() * 1000))


def _draw_week(conn: Any, first_hour: int, calls: int) -> None:
    draw = random.Random(7)
    for at in range(0, calls, _BATCH):
        print(f"drawing {at:,} of {calls:,} calls", file=sys.stderr)
        rollups = Rollups(Ids(conn))
        for number in range(at, min(at + _BATCH, calls)):
            rollups.add_call(_call(draw, first_hour, number))
        with store.transaction(conn):
            rollups.write(conn, lambda: None)


def _copy_weeks(conn: Any, first_hour: int, days: int) -> None:
    for hours in range(_WEEK_HOURS, days * 24, _WEEK_HOURS):
        print(f"copying week {hours // _WEEK_HOURS}", file=sys.stderr)
        last = first_hour + min(_WEEK_HOURS, days * 24 - hours)
        for table in ("hourly_calls", "hourly_attempts", "hourly_latency", "hourly_frontier", "hourly_cache"):
            columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})") if row[1] != "hour"]
            conn.execute(
                f"INSERT INTO {table} (hour, {', '.join(columns)}) SELECT hour + {hours}, {', '.join(columns)}"
                f" FROM {table} WHERE hour >= {first_hour} AND hour < {last} ORDER BY hour"
            )


def _call(draw: random.Random, first_hour: int, number: int) -> Call:
    tenant = draw.randrange(_TENANTS)
    climbs = draw.random() < 0.2
    small, frontier = f"small-{draw.randrange(_MODELS // 2)}", f"frontier-{draw.randrange(_MODELS // 2)}"
    hit = draw.random() < 0.1
    attempts = [] if hit else [_attempt(draw, 0, small, frontier=False, answers=not climbs)]
    if climbs and not hit:
        attempts.append(_attempt(draw, 1, frontier, frontier=True, answers=True))
    saved = draw.randrange(100_000) if hit else 0
    return Call(
        id=str(number),
        at_ms=first_hour * _HOUR_MS + draw.randrange(_WEEK_HOURS * _HOUR_MS),
        tenant=f"tenant-{tenant}",
        key=f"key-{tenant}-{draw.randrange(_KEYS)}",
        task=f"task-{draw.randrange(_TASKS)}",
        status="ok",
        http_status=200,
        dialect="openai",
        route="chat",
        attempts=tuple(attempts),
        model=attempts[-1].model if attempts else small,
        latency_ms=draw.lognormvariate(6.5, 0.6),
        ttft_ms=draw.lognormvariate(5.5, 0.5),
        overhead_ms=draw.lognormvariate(0.5, 0.3),
        cost_nusd=sum(attempt.cost_nusd or 0 for attempt in attempts),
        prompt_bytes=draw.randrange(400, 8000),
        cache="exact" if hit else "miss",
        saved_nusd=saved,
        saved_frontier_nusd=saved if draw.random() < 0.2 else None,
    )


def _attempt(draw: random.Random, seq: int, model: str, *, frontier: bool, answers: bool) -> Attempt:
    cost = draw.randrange(1_000_000, 9_000_000) if frontier else draw.randrange(20_000, 200_000)
    return Attempt(
        seq=seq,
        kind="climb" if seq else "first",
        rung=seq,
        model=model,
        provider="openai" if frontier else "vllm",
        status="ok" if answers else draw.choice(_STATUSES),  # pyright: ignore[reportArgumentType]
        started_ms=0.5,
        latency_ms=300.0,
        usage=Usage(input_tokens=400, cache_read_tokens=400, output_tokens=200),
        usage_source="reported",
        cost_nusd=cost,
        prompt_cache_saved_nusd=cost // 10,
        simulated=True,
        frontier=frontier,
    )


def _medians_s(ask: Callable[[], Any]) -> dict[str, float]:
    walls, cpus = [], []
    for _ in range(_ROUNDS):
        wall_s, cpu_s = time.perf_counter(), _cpu_s()
        ask()
        walls.append(time.perf_counter() - wall_s)
        cpus.append(_cpu_s() - cpu_s)
    return {"wall": round(statistics.median(walls), 3), "cpu": round(statistics.median(cpus), 3)}


def _cpu_s() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _command(state: Path, *arguments: str) -> None:
    program = "import sys; from smallfirst.cli.main import main; sys.argv[0] = 'smallfirst'; main()"
    command = [sys.executable, "-c", program, "bill", "--state", str(state), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=state)


@contextlib.contextmanager
def _folder(named: Path | None) -> Iterator[Path]:
    if named is not None:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="smallfirst-bill-") as made:
        yield Path(made)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.bill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--folder", type=Path, help="where the ledger is made and kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with _folder(options.folder) as folder:
        found = measure_bill(folder, calls=options.calls, days=options.days)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['calls']:,} calls, {found['file_mb']:,} MB")
    for name, rows in found["rows"].items():
        print(f"{name:>28}  {rows:>12,} rows")
    for name, seconds in found["seconds"].items():
        print(f"{name:>28}  {seconds['wall']:>8.2f} s  {seconds['cpu']:>8.2f} s of CPU")


if __name__ == "__main__":
    main()
