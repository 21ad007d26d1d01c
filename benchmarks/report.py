"""A result as files (`latest.json`, `latest.md`, `cpu_per_call.svg`) and as a table on the terminal."""

import json
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.plot import cpu_plot
from benchmarks.results import Result, Row
from benchmarks.soak import EARLY_CALLS

FOLDER = Path(__file__).parent / "results"
_COLUMNS = ("entrant", "CPU µs/call", "× bare relay", "calls/s", "p50 / p99 ms", "RSS MB", "first answer s")
_REMARKS = """\
CPU: user + system of the entrant's whole process tree. Ratio: median over the rounds of the ratio to the bare
relay (streaming rows: to the bare relay, streaming) in the same round; below 1 is cheaper. Streaming rows:
the upstream sends an event every 2 ms, so their calls/s and latency are the upstream's."""


def write(result: Result) -> list[Path]:
    """Write all three, over those of the run before; the paths written."""
    FOLDER.mkdir(exist_ok=True)
    files = {
        "latest.json": as_json(result),
        "latest.md": as_markdown(result),
        "cpu_per_call.svg": cpu_plot(result.rows),
    }
    for name, text in files.items():
        (FOLDER / name).write_text(text)
    return [FOLDER / name for name in files]


def as_json(result: Result) -> str:
    """The result with every round in it."""
    plain = asdict(result)
    for row, source in zip(plain["rows"], result.rows, strict=True):
        row["rounds"] = [each._asdict() for each in source.rounds]
    if result.soak:
        plain["soak"] = result.soak._asdict() | {"growth_bytes_per_call": result.soak.growth_bytes_per_call}
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def as_markdown(result: Result) -> str:
    """The table, what each entrant does for a call, and the machine."""
    head = f"| {' | '.join(_COLUMNS)} | notes |\n| --- |{' ---: |' * (len(_COLUMNS) - 1)} --- |"
    lines = [f"| {' | '.join((*_cells(row), _remark(row).replace('|', '/')))} |" for row in result.rows]
    does = [f"- **{row.name}**: {row.does}." for row in result.rows]
    parts = (_settings_text(result), "\n".join([head, *lines]), _REMARKS, "\n".join(does), _soak_text(result))
    return "\n\n".join(parts) + "\n"


def show(result: Result, console: Console) -> None:
    """The table on a terminal, with notes and skip reasons under it."""
    table = Table(box=box.SIMPLE, title=_settings_text(result), title_justify="left")
    for number, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in result.rows:
        table.add_row(*_cells(row))
    console.print(table)
    for row in result.rows:
        if remark := _remark(row):
            console.print(f"{row.name}: {remark}", markup=False, highlight=False)
    console.print(_soak_text(result), markup=False)


def _settings_text(result: Result) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    rounds = f"{result.rounds} round{'s' if result.rounds > 1 else ''} of {result.seconds:g} s"
    return f"`{result.command}`, {result.taken_at}; {rounds}, interleaved, one worker each; {machine}."


def _cells(row: Row) -> tuple[str, ...]:
    if row.cpu_us_per_call is None:
        return (row.name, *["–"] * (len(_COLUMNS) - 1))
    return (
        row.name,
        _figure(row.cpu_us_per_call),
        _figure(row.ratio, small="{:.2f}"),
        _figure(row.calls_per_s),
        f"{_figure(row.p50_ms, small='{:.1f}')} / {_figure(row.p99_ms, small='{:.1f}')}",
        _figure(row.rss_mb),
        _figure(row.start_s, small="{:.2f}"),
    )


def _figure(value: float | None, *, small: str = "{:.0f}") -> str:
    if value is None:
        return "–"
    return small.format(value) if value < 10 else f"{value:,.0f}"


def _remark(row: Row) -> str:
    return f"skipped: {row.reason}" if row.reason is not None else "; ".join(row.notes)


def _soak_text(result: Result) -> str:
    soak = result.soak
    if soak is None:
        return f"Memory over many calls: not measured ({result.soak_reason})."
    return (
        f"Memory of smallfirst, unrouted: {soak.early_rss_mb:.1f} MB after {EARLY_CALLS:,} calls, "
        f"{soak.last_rss_mb:.1f} MB after {soak.calls:,}: {soak.growth_bytes_per_call:+.0f} bytes a call; "
        f"{soak.errors} errors."
    )
