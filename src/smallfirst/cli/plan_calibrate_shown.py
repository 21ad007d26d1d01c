"""How a calibration is announced and printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from smallfirst.cli.state import minute
from smallfirst.cli.table import Table
from smallfirst.planning.costs.words import dollars

if TYPE_CHECKING:
    from smallfirst.planning.fleet.calibrate.fit import Compared, Fit
    from smallfirst.planning.fleet.calibrate.plan import Plan
    from smallfirst.planning.fleet.calibrate.point import Summary
    from smallfirst.planning.fleet.calibrate.saved import Calibration, Setting

_ROUNDED_FROM_MS, _IN_SECONDS_FROM_MS = 100, 5000
_FIGURES = (
    ("ttft_p50_ms", "TTFT p50"),
    ("ttft_p95_ms", "TTFT p95"),
    ("between_p50_ms", "between p50"),
    ("total_p50_ms", "total p50"),
    ("total_p95_ms", "total p95"),
)


def show_plan(plan: Plan, setting: Setting, made: Calibration, has_key: bool, out: Console) -> None:
    """What will be sent, before it is."""
    from smallfirst.planning.fleet.calibrate.endpoint import is_clear

    lengths, bounds, engine = plan.lengths, plan.bounds, setting.engine
    rates = ", ".join(f"{rate:g}" for rate in plan.rates) or "doubled until it falls behind, then halved"
    out.print(f"to [bold]{escape(setting.endpoint)}[/], model {escape(setting.model)}")
    out.print(
        f"rates: {rates}; {plan.seconds:g} s each ({4 * plan.seconds:g} s at most where few come or answers are long), "
        "then as long for answers to end"
    )
    spread = f", spread {lengths.spread:g}" if not lengths.recorded else ""
    shared = (
        f", {lengths.shared_share:.0%} of them shared" if lengths.shared_share else ", no two begin alike"
    )
    out.print(
        f"prompts of {lengths.input_tokens:,.0f} tokens{shared}; answers of {lengths.output_tokens:,.0f}{spread} ({escape(lengths.source)})"
    )
    most = bounds.calls * bounds.usd_of(lengths.input_tokens, lengths.output_tokens)
    money = f", {dollars(min(most, bounds.usd or most))}" if bounds.usd_per_million else ""
    out.print(f"at most {bounds.calls:,} calls and {bounds.minutes:g} minutes{money}")
    out.print(
        f"fitted as {escape(setting.shape.name)} in {engine.weights} (keys and values in {engine.kv}) on "
        f"{engine.tensor_parallel} x {escape(setting.gpu.name)}, "
        f"at most {engine.max_sequences} at once, {engine.batched_tokens:,} tokens a step"
    )
    if made.points:
        kept = ", ".join(f"{point.rate_per_s:g}" for point in made.points)
        out.print(f"goes on with {escape(made.name)}: measured are {kept}")
    if is_clear(setting.endpoint):
        what = "the key and what is asked" if has_key else "what is asked"
        out.print(f"[yellow]plain HTTP to another machine: {what} can be read on the way[/]")


def show_calibration(found: Calibration, out: Console) -> None:
    """What was measured, what the model says of it, and what was fitted."""
    setting = found.setting
    head = f"{found.name or 'not saved'}: {setting.shape.name} on {setting.gpu.name}, {minute(found.made_ms)}, {setting.endpoint}"
    out.print(f"[bold]{escape(head)}[/]")
    _show_rates(found, out)
    if found.stopped:
        out.print(f"[yellow]not complete: {escape(found.stopped)}[/]")
    if found.fit is None:
        out.print("nothing was fitted yet: give its `smallfirst plan calibrate` again, it goes on")
        return
    _show_fit(found.fit, out)
    if found.name:
        out.print(f"smallfirst plan … --calibration {escape(found.name)} plans with it", highlight=False)


def _show_rates(found: Calibration, out: Console) -> None:
    from smallfirst.planning.fleet.calibrate.point import summary_of

    table = Table(
        "offered", title="Measured a second, and ms from when each request was due: half / 95 of 100"
    )
    for name in ("done", "tokens", "first token", "between", "in all", "waiting"):
        table.add_column(name, justify="right")
    table.add_column("")
    for point in found.points:
        each = summary_of(point)
        least = ">" if each.at_least else ""
        waiting = None if point.engine is None else point.engine.waiting_mean
        table.add_row(
            f"{point.rate_per_s:g}",
            f"{each.achieved_per_s:.3g}",
            f"{each.output_tokens_per_s:,.0f}",
            _pair(each.ttft_p50_ms, each.ttft_p95_ms, least),
            _pair(each.between_p50_ms, each.between_p95_ms),
            _pair(each.total_p50_ms, each.total_p95_ms, least),
            "" if waiting is None else f"{waiting:.1f}",
            _said(each),
        )
    out.print(table)


def _pair(half_ms: float, most_ms: float, least: str = "") -> str:
    if most_ms >= _IN_SECONDS_FROM_MS:
        return f"{half_ms / 1000:.1f}/{least}{most_ms / 1000:.1f} s"
    digits = 1 if most_ms < _ROUNDED_FROM_MS else 0
    return f"{half_ms:.{digits}f}/{least}{most_ms:.{digits}f}"


def _said(each: Summary) -> str:
    said = ["falls behind"] if each.saturated else []
    said += [f"{each.failed:,} failed"] if each.failed else []
    said += [f"{each.given_up:,} given up"] if each.given_up else []
    return ", ".join(said)


def _show_fit(fit: Fit, out: Console) -> None:
    table = Table("offered", title="The fitted model, given the same requests, is off by")
    for _, head in _FIGURES:
        table.add_column(head, justify="right")
    table.add_column("tokens", justify="right")
    for each in fit.compared:
        table.add_row(
            f"{each.rate_per_s:g}",
            *(_off(each, name) for name, _ in _FIGURES),
            _off(each, "output_tokens_per_s"),
        )
    out.print(table)
    out.print(
        f"half of the fitted figures are off by less than {fit.median_off:.0%}, the worst by {fit.worst_off:.0%}"
    )
    table = Table("fitted", title="What is left of the nominal figures")
    for name in ("began at", "came to"):
        table.add_column(name, justify="right")
    table.add_column("")
    for parameter in fit.parameters:
        told = "" if parameter.told else "not told by these rates: kept near its beginning"
        table.add_row(parameter.name, f"{parameter.start:.3g}", f"{parameter.value:.3g}", told)
    out.print(table)
    if fit.gpu.title.startswith("effective"):
        flops, read = fit.gpu.bf16_tflops_per_s, fit.gpu.bandwidth_gb_per_s
        out.print(f"so it computes {flops:.3g} TFLOP/s and reads {read:.3g} GB/s, effectively")
    for remark in fit.remarks:
        out.print(f"[yellow]{escape(remark)}[/]")


def _off(each: Compared, name: str) -> str:
    import math

    off = each.off(name)
    return f"{off:+.0%}" if math.isfinite(off) else ""
