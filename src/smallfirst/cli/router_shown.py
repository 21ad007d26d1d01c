"""What `smallfirst router` shows: a fit and a measurement, as figures, tables and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.table import Table
from smallfirst.training.fit_figures import fit_figures

if TYPE_CHECKING:
    from smallfirst.evals.router_report import RouterReport
    from smallfirst.training.router_fit import Fit


def show_fit(found: Fit, sha256: str) -> None:
    out = Console()
    told, bound = fit_figures(found), found.chosen.bound
    out.print(
        f"router [bold]{sha256[:12]}[/] for {escape(told['task'])}: {' → '.join(map(escape, told['ladder']))}",
        highlight=False,
    )
    out.print(
        f"fitted on {found.train:,} examples, thresholds chosen on {found.calibration:,} others",
        highlight=False,
    )
    if not bound.small_share:
        out.print(f"[yellow]everything goes to the frontier[/]: {_why_frontier(found)}", highlight=False)
    else:
        out.print(
            f"[bold]{bound.small_share:.1%}[/] of calls stay small, at {told['cost_ratio'] or 0:.1%} of the frontier's cost",
            highlight=False,
        )
        promise = (
            f"at most {bound.loss_bound:.2%} with {bound.confidence:.0%} confidence"
            if bound.kept
            else f"[yellow]nothing is promised[/]; at most {bound.loss_bound:.2%} with {bound.confidence:.0%} confidence, had it been chosen before"
        )
        out.print(f"loss against the frontier: {bound.loss:+.2%} measured, {promise}", highlight=False)
    out.print("next: smallfirst release build", highlight=False)


def _why_frontier(found: Fit) -> str:
    chosen = found.chosen
    if not chosen.bound.kept:
        return "nothing that keeps to the budget loses less"
    if not found.calibration:
        return "no rows are left to show anything on, since all are to be fitted on"
    if not chosen.examples_needed:
        return (
            "no thresholds could be shown to keep the margin, and more examples like these would not show it: "
            "the small models lose more than that"
        )
    share = found.calibration / (found.train + found.calibration)
    missing = max(0, chosen.examples_needed - found.calibration) / share
    return (
        "no thresholds could be shown to keep the margin; "
        f"about {round(missing):,} more examples like these would show it for the most careful ones"
    )


def show_eval(report: RouterReport, figures: dict[str, Any], out: Path | None) -> None:
    from smallfirst.routing.fitted import LEARNED

    table = Table("", "router", "random", "oracle", title="Ranking (fitted on all rows)")
    table.add_row("APGR", *map(figure, (figures["apgr"], figures["random_apgr"], figures["oracle_apgr"])))
    table.add_row("APGR, whole curve", figure(figures["apgr_full"]), "", "")
    for name in ("cpt50", "cpt80"):
        table.add_row(f"CPT({name[3:]} %)", percent(figures[name], scale=1), "", "")
        table.add_row(f"CPT({name[3:]} %), whole curve", percent(figures[f"{name}_full"], scale=1), "", "")
    table.add_row("gap recovered at 20 % frontier", percent(figures["pgr20"]), "20 %", "")
    console = Console()
    console.print(table)
    table = Table(
        "", "", title="As it would serve (thresholds chosen on a part of its own)", show_header=False
    )
    table.add_row(
        "P(small adequate): AUROC, Brier, ECE",
        ", ".join(figure(figures[name]) for name in ("auroc", "brier", "ece")),
    )
    table.add_row("calls that stay small", percent(figures["small_share"]))
    table.add_row("loss on the test rows", percent(figures["loss"]))
    table.add_row("loss promised", f"at most {percent(figures['loss_bound'])}")
    table.add_row("cost against all frontier", percent(figures["cost_ratio"]))
    table.add_row(
        "one decision, CPU" if report.by == LEARNED else f"one decision, asked of {escape(report.by)}",
        f"{figures['decision_us_p50']:,.0f} µs median, {figures['decision_us_p99']:,.0f} µs p99",
    )
    if report.by != LEARNED:
        usd = figures["router_cost_usd_per_1000"]
        table.add_row("1,000 decisions cost", "unknown" if usd is None else f"${usd:.4f}")
    console.print(table)
    if report.fit.chosen.examples_needed and not figures["small_share"]:
        console.print(
            f"[yellow]not enough data[/]: about {report.fit.chosen.examples_needed:,} calibration examples are needed"
        )
    if out is not None:
        console.print(f"curve and figures: {out}", highlight=False)


def write_eval(out: Path, report: RouterReport, figures: dict[str, Any], title: str) -> None:
    from smallfirst.evals.charts import draw_cost_quality
    from smallfirst.evals.curve import curve_csv

    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    curve_csv(out / "curve.csv", report.quality.curve)
    share = 1 - report.small_share
    at = (share, report.quality.frontier_quality - report.loss) if report.small_share else None
    for name in ("curve.png", "curve.svg"):
        draw_cost_quality(out / name, report.quality, title=title, operating=at)


def figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def percent(value: float | None, *, scale: float = 100) -> str:
    return "–" if value is None else f"{value * scale:.1f} %"
