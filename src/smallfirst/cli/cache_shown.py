"""What `smallfirst cache` shows: figures and bars, lists of entries, and one entry whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.state import minute
from smallfirst.cli.table import Table, print_list
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.cache.entry import Entry
    from smallfirst.config.schema import Cache
    from smallfirst.planning.cache_report import CacheReport, Line, SemanticLine

_BAR = 6  # characters
_CUT = 60
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))
_BYTES = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_STATES = {"open": "green", "closed": "yellow", "unattended": "red", "unknown": "yellow"}


def show_report(report: CacheReport, *, by: str, bounds: Cache, now_ms: int) -> None:
    out = Console(highlight=False)
    if not report.lines and not report.rules:
        out.print(
            "Nothing is cached: no task of the live release has a cache (`exact = true` in its \\[tasks.NAME.cache], then a release)."
        )
        return
    out.print(_lines(report, by=by))
    kept = [line.oldest_ms for line in report.lines if line.entries]
    oldest = f", the oldest {span((now_ms - min(kept)) / 1000)}" if kept else ""
    out.print(
        f"{report.entries:,} {'answer' if report.entries == 1 else 'answers'}, {size(report.bytes)}{oldest}; "
        f"room for {bounds.max_entries:,}, {size(bounds.max_bytes)}"
    )
    for task, words in report.rules.items():
        out.print(f"[bold]{escape(task)}[/]: {escape(words)}")
    for line in report.semantic:
        _show_semantic(line, out, now_ms)


def _lines(report: CacheReport, *, by: str) -> Table:
    names = ["task", *(["tenant"] if by == "tenant" else [])]
    right = ("asked", "exact", "semantic", "flight", "saved", "kept")
    table = Table(
        *names, Column("hits", no_wrap=True), *(Column(head, justify="right", no_wrap=True) for head in right)
    )
    for line in report.lines:
        unknown = f" + {line.unknown_hits:,} unknown" if line.unknown_hits else ""
        table.add_row(
            *(escape(getattr(line, name)) for name in names),
            _bar(line),
            f"{line.calls:,}",
            f"{line.exact_hits:,}",
            f"{line.semantic_hits:,}",
            f"{line.flight_hits:,}",
            format_usd(line.saved_nusd) + unknown,
            f"{line.entries:,}",
        )
    return table


def _bar(line: Line) -> str:
    """Hits of the calls that were looked up: exact ones and those of the same moment, then semantic ones."""
    if line.hit_rate is None:
        return "not asked yet"
    same = round(_BAR * (line.exact_hits + line.flight_hits) / line.calls)
    other = round(_BAR * line.hits / line.calls) - same
    left = _BAR - same - other
    return f"[green]{'█' * same}[/][cyan]{'█' * other}[/][dim]{'░' * left}[/] {line.hit_rate:.1%}"


def _show_semantic(line: SemanticLine, out: Console, now_ms: int) -> None:
    figures = line.figures
    where = f"{escape(line.task)}, in other words ({line.channel}, policy {line.policy[:12]})"
    state = f"[{_STATES[line.state]}]{line.state}[/]"
    since = f" since {minute(line.since_ms)} UTC" if line.since_ms else ""
    why = f": {escape(line.why)}" if line.why else ""
    out.print(f"[bold]{where}[/]: {state}{since}{why}")
    if line.state == "open":
        out.print(
            f"  served from probability {line.threshold:.3f} on, {line.check:.1%} of hits checked; "
            f"lease for {max(0, line.lease_until_ms - now_ms) / 1000:.0f} s more"
        )
    if not figures.requests:
        return
    out.print(
        f"  {figures.requests:,} requests, {figures.hits:,} hits, {figures.checked:,} checked, {figures.wrong:,} of them wrong"
    )
    out.print(
        f"  wrong of all requests: {figures.wrong_rate:.2%} ({figures.wrong_low:.2%} to {figures.wrong_high:.2%} with "
        f"{line.confidence:.0%} confidence); held to {line.delta:.2%}"
    )
    if figures.would_hit is not None and line.state != "open":
        out.print(f"  would answer {figures.would_hit:.1%} of requests")


def show_entries(found: list[Entry], now_ms: int) -> None:
    several = len({one.tenant for one in found}) > 1
    table = Table(Column("id", justify="right", no_wrap=True), "task", *(["tenant"] if several else []))
    for head in ("age", "ends in", "hits", "found", "asked", "answered"):
        table.add_column(head, no_wrap=head in ("age", "ends in"))
    for one in found:
        table.add_row(
            str(one.id),
            escape(one.task),
            *([escape(one.tenant)] if several else []),
            span((now_ms - one.at_ms) / 1000),
            _left(one, now_ms),
            f"{one.hits:,}" if one.hits else "",
            _found(one),
            escape(cut(one.question)),
            escape(cut(one.text)),
        )
    print_list(table, none="No answer fits.")


def show_entry(one: Entry, asked: str, aliases: list[Entry], now_ms: int) -> None:
    """`asked`: what the ledger keeps of the question, where the cache has no need of it."""
    out = Console(highlight=False)
    table = Table(show_header=False, title=f"answer {one.id}")
    rows = {
        "task": one.task,
        "tenant": one.tenant,
        "call": one.call,
        "answered by": f"{one.model}, rung {one.rung}" + (" (simulated)" if one.simulated else ""),
        "cost": "unknown" if one.cost_nusd is None else format_usd(one.cost_nusd),
        "age": span((now_ms - one.at_ms) / 1000),
        "ends in": _left(one, now_ms),
        "given again": f"{one.hits:,}×",
        "release": one.release[:12],
        "policy": one.policy[:12],
        "key": one.key.hex()[:16],
        "partition": one.partition.hex()[:16] or "none: for the same call alone",
        "found for other texts": _found(one),
        "same as": "" if one.group == one.id else str(one.group),
        "size": size(one.size),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, escape(value))
    out.print(table)
    for title, text in (("asked", one.question or asked), ("answered", one.text)):
        if text:
            out.rule(title, align="left")
            out.print(escape(text), soft_wrap=True)
    if aliases:
        out.rule("the same answer", align="left")
    for alias in aliases:
        out.print(f"{alias.id}: {escape(cut(alias.question))}", soft_wrap=True)


def entry_told(one: Entry, now_ms: int) -> dict[str, Any]:
    """An entry as JSON: digests in hex, without its vector; `answer` is what its provider said, whole."""
    told = {name: getattr(one, name) for name in one.__struct_fields__ if name != "vector"}
    for name in ("key", "partition"):
        told[name] = told[name].hex()
    told["answer"] = msgspec.Raw(one.answer or b"null")
    return told | {"age_s": (now_ms - one.at_ms) // 1000, "fresh": one.expires_ms > now_ms}


def span(seconds: float) -> str:
    """In its largest unit, to a whole number."""
    name, unit = next((one for one in _UNITS if seconds >= one[1]), ("s", 1))
    return f"{max(0.0, seconds) / unit:.0f} {name}"


def size(count: int) -> str:
    name, unit = next((one for one in _BYTES if count >= one[1]), ("B", 1))
    return f"{count / unit:.{0 if unit == 1 else 1}f} {name}"


def cut(text: str) -> str:
    """What fits a line."""
    text = " ".join(text.split())
    return text if len(text) <= _CUT else text[: _CUT - 1] + "…"


def _left(one: Entry, now_ms: int) -> str:
    return span((one.expires_ms - now_ms) / 1000) if one.expires_ms > now_ms else "over"


def _found(one: Entry) -> str:
    """How often its answer was right, and wrong, for another text."""
    words = [f"right {one.confirmed:,}×"] if one.confirmed else []
    words += [f"wrong {one.refuted:,}×"] if one.refuted else []
    return ", ".join(words)
