"""What `smallfirst cache eval` prints and writes: a table, the curve, the figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.evals.cache.decision import Figures
    from smallfirst.evals.cache.evaluation import Wanted
    from smallfirst.evals.cache.stream import Allowed, StreamRow

_SHOWN_THRESHOLDS = (0.80, 0.85, 0.90, 0.95, 0.98)
_NAMES = {"ours": "smallfirst", "exact": "exact only", "fixed": "fixed cosine", "vcache": "vCache's rule"}


def show_cache_eval(
    found: Sequence[Figures], rows: Sequence[StreamRow], wanted: Wanted, out: Path | None, console: Console
) -> None:
    from smallfirst.evals.cache.evaluation import in_hindsight
    from smallfirst.evals.cache.stream import allowed

    best = {one.threshold for delta in wanted.deltas if (one := in_hindsight(found, delta)) is not None}
    _show_allowed(allowed(rows), console)
    table = Table(
        Column("", no_wrap=True),
        "",
        "hits",
        Column("wrong, of all (95 %)", no_wrap=True),
        "checked",
        "saved",
        "from",
    )
    order = sorted(found, key=lambda one: list(_NAMES).index(one.method))
    for at, one in enumerate(order):
        if at and one.method != order[at - 1].method:
            table.add_section()
        if one.method != "fixed" or one.threshold in best or one.threshold in _SHOWN_THRESHOLDS:
            table.add_row(*_row(one, hindsight=one.threshold in best))
    console.print(table)
    console.print(
        "[dim]promised: δ, by ours with 95 % confidence at all times together, of wrong answers to other wordings. Observed: all else. "
        "saved: hits less the checks that they cost[/]",
        highlight=False,
    )
    _show_times(order, console)
    for one in order:
        _note(one, console)
    if best:
        console.print(
            "* the best fixed cosine for one of the bounds, in hindsight: nobody knows it beforehand",
            style="dim",
        )
    if out is not None:
        console.print(f"curve, figures and decisions: {escape(str(out))}", highlight=False)


def write_cache_eval(folder: Path, found: Sequence[Figures], *, title: str) -> None:
    """Writes `figures.json`, and the curve where there is one. Raises `ConfigError` where the drawing library is not installed."""
    from smallfirst.evals.cache.picture import draw_cache

    (folder / "figures.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    for name in ("curve.png", "curve.svg") if found else ():
        draw_cache(folder / name, found, title=title)


def _show_allowed(told: Allowed, console: Console) -> None:
    warm = f", after {told.warm:,} that were answered before" if told.warm else ""
    console.print(f"{told.rows:,} requests of {told.classes:,} classes{warm}", highlight=False)
    console.print(
        f"this stream allows at most [bold]{told.seen:.1%}[/] hits: of so many requests the answer was given before; "
        f"{told.repeats:.1%} repeat a text",
        highlight=False,
    )


def _row(one: Figures, *, hindsight: bool) -> tuple[str, ...]:
    setting = (
        f"δ {one.delta:g}"
        if one.delta is not None
        else ""
        if one.threshold is None
        else f"{one.threshold:.2f}"
    )
    wrong = f"{one.wrong_rate:.2%} ({one.wrong_rate_low:.2%}–{one.wrong_rate_high:.2%})"
    if one.kept is False:
        wrong = f"[red]{wrong}[/]"
    return (
        _NAMES[one.method],
        setting + ("*" if hindsight else ""),
        f"{one.hit_rate:.1%}",
        wrong,
        f"{one.checks_rate:.1%}" if one.checks_rate else "",
        f"{one.net_saved_rate:.1%}",
        "" if one.opened_at is None else f"{one.opened_at:,}",
    )


def _show_times(order: Sequence[Figures], console: Console) -> None:
    """One look-up of each kind, its slowest setting."""
    times: dict[str, tuple[float, float]] = {}
    for one in order:
        if one.lookup_us_p50 is not None and one.lookup_us_p99 is not None:
            times[one.method] = max(times.get(one.method, (0.0, 0.0)), (one.lookup_us_p50, one.lookup_us_p99))
    told = "; ".join(
        f"{_NAMES[name]} {median:,.0f} (p99 {p99:,.0f})" for name, (median, p99) in times.items()
    )
    if told:
        console.print(
            f"one look-up, CPU µs without the embedding ({escape(order[0].embedder)}): {told}",
            highlight=False,
        )


def _note(one: Figures, console: Console) -> None:
    name = f"{_NAMES[one.method]}{f' at δ {one.delta:g}' if one.delta is not None else ''}"
    if not one.complete:
        console.print(f"[yellow]{name}: interrupted after {one.requests:,} requests[/]", highlight=False)
    if one.method == "exact" and one.wrong_exact_rate:
        console.print(
            f"[yellow]{one.wrong_exact_rate:.2%} of the requests repeat a text whose answer has another class since[/]: all caches are wrong there, "
            "and no bound on semantic hits counts it",
            highlight=False,
        )
    if one.method == "ours" and one.opened_at is None and one.complete:
        console.print(
            f"{name}: never opened; so few requests do not prove that wrong hits stay below it",
            highlight=False,
        )
