"""How a plan is printed: the ways, the fleet, where they cross, what a factor needs, what moves the price, and where each figure comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.table import Table
from smallfirst.planning.costs.words import about, dollars, figure, shares

if TYPE_CHECKING:
    from smallfirst.planning.costs.break_even import BreakEven
    from smallfirst.planning.costs.inputs import Inputs, Source
    from smallfirst.planning.costs.measured import Measured
    from smallfirst.planning.costs.plan import Plan
    from smallfirst.planning.costs.quote import Quote
    from smallfirst.planning.costs.ratio import Needs
    from smallfirst.planning.costs.saved import SavedPlan
    from smallfirst.planning.costs.sensitivity import Sensitivity, Turn
    from smallfirst.planning.costs.ways import Way
    from smallfirst.planning.costs.which_gpu import Candidate, WhichGPU
    from smallfirst.planning.fleet import GPU

_TURNS_A_WAY = 3
_GPU_WHOLE = ("p95, ms", "a day", "a million")  # columns whose figures are not to be broken
_WIDE = 120  # columns in which a range and why it is so have room


def show_plan(plan: Plan, measured: Measured | None, out: Console) -> None:
    """All of a plan."""
    _show_ways(plan.ways, plan.way, plan.inputs, out)
    _show_factor(plan, out)
    _show_now(plan, out)
    _show_gap(plan, out)
    if plan.which_gpu is not None:
        _show_gpus(plan.which_gpu, out)
    _show_fleets(plan, out)
    _show_crossings(plan, out)
    _show_needs(plan.needs, out)
    _show_swings(plan.sensitivity, out)
    _show_turns(plan, out)
    _show_measured(measured, out)
    _show_sources(plan, out)


def show_saved(plan: SavedPlan, out: Console) -> None:
    """A forecast that was kept."""
    from smallfirst.cli.state import minute

    out.print(
        f"[bold]{plan.name}[/], made {minute(plan.made_ms)} UTC by {escape(plan.made_by)}; task: {escape(plan.task) or '(all)'}",
        highlight=False,
    )
    _show_ways(plan.ways, plan.way, plan.inputs, out)
    day = plan.day
    out.print(
        f"A day: {day.calls:,.0f} calls, {day.cache_hits:,.0f} of them from the cache, {day.frontier_calls:,.0f} by the frontier; "
        f"the small model is asked {day.small_calls:,.0f}. Expected: {dollars(day.total_usd)} a day.",
        highlight=False,
    )
    _show_figures(plan.inputs, plan.sources, (plan.frontier, plan.hosted), out)


def _show_ways(ways: Iterable[Way], chosen: str, inputs: Inputs, out: Console) -> None:
    ways = tuple(ways)
    ladder = any(way.is_ladder for way in ways)
    table = Table(
        _named("way"),
        title=f"what the same calls cost ({shares(inputs.cache_hit_rate, inputs.frontier_share, ladder=ladder)})",
    )
    for head in ("a call", "a million", "a day", "a month", "a year", "left"):
        table.add_column(head, justify="right")
    for way in ways:
        cells = [
            dollars(usd)
            for usd in (way.call_usd, way.million_calls_usd, way.day_usd, way.month_usd, way.year_usd)
        ]
        style = "bold" if way.name == chosen else None if way.served else "dim"
        table.add_row(way.name, *cells, f"{way.left:.1%}", style=style)
    out.print(table)


def _show_factor(plan: Plan, out: Console) -> None:
    """What share of the bill is left, with what it took."""
    way, given = plan.named(plan.way), plan.inputs
    if way is None or not way.left:
        return
    f = given.frontier_share if way.is_ladder else 1.0
    h = given.cache_hit_rate if way.name != "frontier" else 0.0
    choice = "the cheapest" if way.name == plan.cheapest else "the chosen way"
    out.print(
        f"{way.name}, {choice}, leaves 1/{1 / way.left:.1f} of the all-frontier bill, at h = {h or 0:.0%} and f = {f or 0:.0%}.",
        highlight=False,
    )


def _show_now(plan: Plan, out: Console) -> None:
    """What the way `now` is, and where it is no measurement any more."""
    now, changed = plan.now, plan.not_as_measured
    if now is None:
        return
    hours = f"own models' hours {dollars(now.hours_usd_per_day)} a day"
    line = f"now: {escape(', '.join(now.models))} as the ledger measured it, with the frontier's calls at the price below; {hours}."
    if changed:
        kept = ", own models' hours do not, whether they can take it or not" if now.hours_usd_per_day else ""
        line += f" Not as measured: {', '.join(changed)}; what calls cost follows{kept}."
    out.print(line, highlight=False)


def _show_gap(plan: Plan, out: Console) -> None:
    """What a fleet costs over GPUs that are always full, and why."""
    bought, full = plan.named("own"), plan.named("own-saturated")
    if bought is None or full is None or bought.use is None:
        return
    gpus, floor, use = bought.parts_usd_per_day["gpus"], full.parts_usd_per_day["gpus"], bought.use
    if floor:
        out.print(
            f"Own GPUs cost {dollars(gpus)} a day provisioned, {gpus / floor:.1f} times what the same calls would cost on saturated ones "
            f"({dollars(floor)}). The difference: {_many(use.replicas - use.spare, 'replica')} for the busiest hour, each at "
            f"{use.planned_rps / use.saturated_rps:.0%} of what it can do ({use.bound}), and {use.spare} spare.",
            highlight=False,
        )


def _show_gpus(found: WhichGPU, out: Console) -> None:
    """The GPUs beside each other, and why some are not."""
    table = Table(
        _named("GPU"), title="which GPU: provisioned; p95 of first token/whole answer at the peak, simulated"
    )
    for head in ("GPUs", "an hour", "each gets", "at the peak", "p95, ms", "a day", "a million"):
        table.add_column(head, justify="right", no_wrap=head in _GPU_WHOLE)
    taken = [one for one in found.candidates if not one.left_out]
    for one in taken:
        table.add_row(*_gpu_cells(one), style="bold" if one.gpu == found.chosen else None)
    out.print(table)
    notes = ["A million: calls of the small model."]
    simulated = sum(1 for one in taken if one.use is not None and one.use.latency)
    if 0 < simulated < len(taken):
        notes.insert(0, f"Simulated for {simulated} alone, to be fast.")
    if any(one.is_least for one in taken):
        notes.insert(1, "+: at least, if it keeps the target at all.")
    out.print(f"[dim]{' '.join(notes)}[/]", highlight=False)
    by_reason: dict[str, list[str]] = {}
    for one in found.candidates:
        if one.left_out:
            by_reason.setdefault(one.left_out, []).append(one.gpu)
    for reason, names in by_reason.items():
        out.print(f"Left out: {escape(', '.join(names))}: {reason}.", highlight=False)


def _gpu_cells(one: Candidate) -> tuple[str, ...]:
    use, usd = one.use, one.day_usd
    assert use is not None
    assert usd is not None
    at_least, at_most = ("+", "to ") if one.is_least else ("", "")
    peak = use.latency[0] if use.latency else None
    million = one.million_small_calls_usd
    return (
        escape(_replica(one)),
        f"{use.gpus:,}{at_least}",
        dollars(one.usd_per_hour or 0.0),
        at_most + _rate(use.planned_rps),
        "" if one.is_least else f"{use.utilisation_peak:.0%}",
        "" if peak is None else f"{peak.ttft_p95_ms:,.0f}/{peak.total_p95_ms:,.0f}",
        dollars(usd) + at_least,
        "" if million is None else dollars(million) + at_least,
    )


def _replica(one: Candidate) -> str:
    return one.gpu if one.gpus_per_replica == 1 else f"{one.gpus_per_replica} x {one.gpu}"


def _show_fleets(plan: Plan, out: Console) -> None:
    machines = Table("way", title="the machines")
    for head in ("GPUs", "peak calls/s", "each gets", "saturated", "busy", "at the peak"):
        machines.add_column(head, justify="right")
    waits = Table("way", "at", title="the small model's calls, p50/p95, simulated")
    for head in ("first token", "whole answer"):
        waits.add_column(head, justify="right")
    for way in plan.ways:
        use = way.use
        if use is None:
            continue
        rates = [_rate(rate) for rate in (use.peak_rps, use.planned_rps, use.saturated_rps)]
        machines.add_row(
            way.name, f"{use.gpus:,}", *rates, f"{use.utilisation_mean:.0%}", f"{use.utilisation_peak:.0%}"
        )
        for one in use.latency:
            waits.add_row(
                way.name,
                one.at,
                _pair(one.ttft_p50_ms, one.ttft_p95_ms),
                _pair(one.total_p50_ms, one.total_p95_ms),
            )
    for table in (machines, waits):
        if table.rows:
            out.print(table)
    for way in plan.ways:
        for line in _offers(way):
            out.print(line, highlight=False)


def _offers(way: Way) -> list[str]:
    lines = []
    if way.serverless is not None:
        day = way.serverless
        lines.append(
            f"By the second: {day.gpu_seconds:,.0f} GPU-seconds a day, {_many(day.most_replicas, 'replica')} at most; "
            f"{day.cold_share:.2%} of the calls wait for a start."
        )
    if way.spot is not None:
        day = way.spot
        lines.append(
            f"Spot: {day.spot_replicas} of {day.spot_replicas + day.floor_replicas} replicas, {day.lost_share:.2%} of them away on the mean, "
            f"{day.preemptions:.1f} preemptions a day; {day.overflow_calls:,.1f} calls a day find no room."
        )
    return lines


def _show_crossings(plan: Plan, out: Console) -> None:
    table = Table("way", "stays cheaper than", title="break-even, in calls a day")
    table.add_column("from", justify="right")
    table.add_column("", justify="left")
    for one in plan.break_even:
        if one.calls_per_day and _shown(one):
            table.add_row(one.way, one.than, f"{one.calls_per_day:,.0f}", _earlier(one))
    if table.rows:
        out.print(table)


def _shown(one: BreakEven) -> bool:
    """Batches against batches: the others are in the JSON."""
    return "frontier-cache" not in (one.way, one.than) and one.way.endswith("-batch") == one.than.endswith(
        "-batch"
    )


def _earlier(one: BreakEven) -> str:
    first = one.first_calls_per_day
    if first is None or one.calls_per_day is None or first >= one.calls_per_day * 0.999:
        return ""
    return f"at first from {first:,.0f}, until the next GPU" if first else "and at the smallest volumes"


def _show_needs(needs: Iterable[Needs], out: Console) -> None:
    """One table for all small models that cost as much, as far as is shown."""
    alike: dict[tuple[str, ...], list[Needs]] = {}
    for need in needs:
        nameless = msgspec.structs.replace(need, small="").sentence
        alike.setdefault((nameless, *_most_of(need)), []).append(need)
    for same in alike.values():
        small = " or to ".join(need.small for need in same)
        need = msgspec.structs.replace(same[0], small=small)
        out.print(f"\n[bold]{escape(need.sentence)}.[/]", highlight=False)
        table = Table("h", *(f"{pair.hit_rate:.0%}" for pair in need.pairs))
        table.add_row("f at most", *_most_of(need))
        out.print(table)


def _most_of(need: Needs) -> list[str]:
    return ["none" if pair.frontier_share is None else f"{pair.frontier_share:.1%}" for pair in need.pairs]


def _show_swings(found: Sensitivity, out: Console) -> None:
    title = f"what moves {found.way}, {about(found.year_usd)} a year: one input at a time"
    table = Table(_named("input"), "planned", "varied", "a year", title=title)
    wide = out.width >= _WIDE
    if wide:
        table.add_column("why this range", style="dim")
    for swing in found.swings:
        range_ = swing.range
        base, low, high = (figure(range_.name, value) for value in (range_.base, range_.low, range_.high))
        year = f"{about(swing.low_year_usd)} to {about(swing.high_year_usd)}"
        table.add_row(range_.name, base, f"{low} to {high}", year, *([range_.why] if wide else []))
    out.print(table)
    if not wide and found.swings:
        out.print("[dim]Why each range: --json, or a wider terminal. Your own: --range NAME=LOW..HIGH[/]")


def _show_turns(plan: Plan, out: Console) -> None:
    by_way: dict[str, list[Turn]] = {}
    for turn in plan.turns:
        by_way.setdefault(turn.way, []).append(turn)
    if not by_way:
        return
    out.print(
        f"\n{plan.cheapest} is the cheapest. For another to be, one of these alone would have to be true:",
        highlight=False,
    )
    for way, turns in by_way.items():
        told = [_turn(turn) for turn in [one for one in turns if one.plausible][:_TURNS_A_WAY] or turns[:1]]
        out.print(f"  [bold]{way}[/]: {'; '.join(told)}", highlight=False)


def _turn(turn: Turn) -> str:
    mark = "" if turn.plausible else " (not plausible)"
    return f"{turn.input} {turn.side} {figure(turn.input, turn.value)}{mark}"


def _show_measured(measured: Measured | None, out: Console) -> None:
    if measured is None:
        return
    table = Table(
        "model", "first token p50/p95", "whole answer p50/p95", title="what calls took, as recorded"
    )
    for one in measured.latency:
        if one.total_p50_ms is not None:
            table.add_row(
                escape(one.model),
                _pair(one.ttft_p50_ms, one.ttft_p95_ms),
                _pair(one.total_p50_ms, one.total_p95_ms),
            )
    if table.rows:
        out.print(table)
    for remark in measured.remarks:
        out.print(f"[yellow]{remark}[/]", highlight=False)


def _pair(half: float | None, most: float | None) -> str:
    return "" if half is None or most is None else f"{half:,.0f}/{most:,.0f} ms"


def _show_sources(plan: Plan, out: Console) -> None:
    _show_figures(plan.inputs, plan.sources, (plan.frontier, plan.hosted), out)
    if plan.own:
        out.print(f"Throughput: {escape(plan.own)}.", highlight=False)
    out.print(
        "[dim]A day has 86,400 s, a month 730 h, a year 365 days. Taxes, idle staff and the gateway's own machine are in no figure.[/]"
    )


def _show_figures(
    inputs: Any, sources: dict[str, Source], quotes: tuple[Quote | None, ...], out: Console
) -> None:
    table = Table(_named("input"), "figure", "", title="where the figures come from")
    for kind in ("chosen", "assumed", "measured", "given"):
        for name, source in sources.items():
            if source.kind != kind or name in ("frontier", "hosted", "way"):
                continue
            value = getattr(inputs, name)
            told = figure(name, value) if isinstance(value, int | float) else escape(str(value or ""))
            table.add_row(name, told, f"{kind}: {escape(source.why)}" if source.why else kind)
    for quote in quotes:
        if quote is not None:
            table.add_row(*_quote_row(quote))
    out.print(table)


def _quote_row(quote: Quote) -> tuple[str, str, str]:
    price = quote.price
    told = f"{_plain(price.input)}/{_plain(price.output)}"
    cached = f"cached input {_plain(price.cached_input)}" if price.cached_input != price.input else ""
    dated = f"since {quote.effective}" if quote.effective else ""
    checked = f"table of {quote.checked}" if quote.checked else ""
    why = "; ".join(part for part in (quote.version, dated, checked, cached, quote.remark) if part)
    return escape(quote.name), told, escape(why)


def gpu_row(gpu: GPU) -> tuple[str, ...]:
    """A GPU, as `smallfirst plan gpus` lists it."""
    offers, middle = gpu.offers_usd_per_hour, gpu.usd_per_hour
    price = "unknown" if middle is None else f"{middle:.2f}"
    if len(offers) > 1:
        price += f" ({min(offers):.2f} to {max(offers):.2f})"
    fp8 = "" if gpu.fp8_tflops_per_s is None else f"{gpu.fp8_tflops_per_s:,.0f}"
    figures = (
        f"{gpu.bf16_tflops_per_s:,.0f}",
        fp8,
        f"{gpu.memory_gb:,.0f}",
        f"{gpu.bandwidth_gb_per_s:,.0f}",
    )
    return (escape(gpu.name), *figures, price, escape(gpu.price_date))


def _named(head: str) -> Column:
    """A column of names, which are never broken."""
    return Column(head, no_wrap=True)


def _rate(per_s: float) -> str:
    return f"{per_s:,.1f}" if per_s >= 10 or not per_s else f"{per_s:.2g}"


def _plain(value: Any) -> str:
    return f"${value.normalize():f}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
