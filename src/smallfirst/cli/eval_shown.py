"""What `smallfirst eval` prints: tables for people of what a run found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.evals.claim import Claim
    from smallfirst.evals.comparison import ArmReport, Difference
    from smallfirst.evals.estimate import Estimate
    from smallfirst.evals.inspection import Inspected
    from smallfirst.evals.run_report import RunReport, RunsCompared
    from smallfirst.evals.slices import SliceReport
    from smallfirst.evals.text_diff import Piece
    from smallfirst.statistics.paired import Estimate as Mean

_SLICES_SHOWN = 12
_FIGURES_SHOWN = 6


def show_estimate(estimate: Estimate, out: Console) -> None:
    """Before anything is spent."""
    table = Table("", "calls", "expected", "at most")
    for one in estimate.arms:
        pretend = " [dim](simulated)[/]" if one.pretend else ""
        table.add_row(escape(one.arm) + pretend, f"{one.calls:,}", _usd(one.usd), _usd(one.at_most_usd))
    if len(estimate.arms) > 1:
        table.add_section()
        table.add_row("", f"{estimate.calls:,}", _usd(estimate.usd), _usd(estimate.at_most_usd))
    out.print(table)


def show_report(report: RunReport, out: Console) -> None:
    told = report.manifest
    dataset = f", {told.split} part of dataset {told.dataset[:12]}" if told.split else f", {told.dataset}"
    out.print(
        f"[bold]{escape(report.run)}[/]: task {escape(told.task)}, {report.compared:,} examples{escape(dataset)}, scored by {told.scorer}",
        highlight=False,
    )
    if report.left_out:
        out.print(f"[yellow]{report.left_out:,} examples are left out[/]: not every arm has answered them")
    show_arms(report.arms, out)
    show_differences(report.differences, out)
    _show_claims(report.claims, out)
    _show_slices(report.slices, out)
    if report.simulated:
        out.print(
            f"simulated: {escape(', '.join(report.simulated))}; nobody was paid for these", style="yellow"
        )


def show_arms(arms: Sequence[ArmReport], out: Console) -> None:
    """Quality and cost, then latency; then, where there is more to say, in what the answers were right and who gave them."""
    from smallfirst.evals.interval import interval

    quality = Table("", "score (95 %)", "USD / 1,000 calls", "unmet", "errors")
    latency = Table("latency, ms", "p50", "p95", "p99")
    first = Table("first byte, ms", "p50", "p95", "p99")
    over = Table("latency over reference", "p50", "p95", "p99")
    for arm in arms:
        name = escape(arm.name)
        quality.add_row(
            name,
            interval(arm.score),
            interval(arm.cost_usd_per_1000, digits=4),
            f"{arm.unmet:.1%}",
            f"{arm.errors:.1%}",
        )
        latency.add_row(name, *(interval(one, digits=0) for one in arm.latency.ms.values()))
        first.add_row(name, *(interval(one, digits=0) for one in arm.ttft.ms.values()))
        if arm.latency.ratio:
            over.add_row(name, *(interval(one, digits=2) for one in arm.latency.ratio.values()))
    out.print()
    out.print(quality)
    for arm in arms:
        _show_more(arm, out)
    for table in (
        latency,
        *([first] if any(arm.streamed for arm in arms) else []),
        *([over] if over.rows else []),
    ):
        out.print()
        out.print(table)


def _show_more(arm: ArmReport, out: Console) -> None:
    whole = [
        (name, value) for name, value in arm.figures.items() if "/" not in name
    ]  # the parts are in --json
    figures = ", ".join(f"{name} {value:.3f}" for name, value in whole[:_FIGURES_SHOWN])
    if figures:
        out.print(f"{escape(arm.name)}: {escape(figures)}", style="dim", highlight=False)
    if len(arm.rungs) > 1:
        rungs = ", ".join(f"{name} {share:.1%}" for name, share in arm.rungs.items())
        out.print(f"{escape(arm.name)}: answered by {escape(rungs)}", style="dim", highlight=False)


def show_differences(differences: Sequence[Difference], out: Console) -> None:
    from smallfirst.evals.interval import interval

    if not differences:
        return
    table = Table("difference, paired", "score (95 %)", "p", "better/worse", "cost ratio")
    for one in differences:
        table.add_row(
            f"{escape(one.one)}\n− {escape(one.other)}",
            interval(one.score, sign=True),
            _p(one.p_holm),
            f"{one.better:,}/{one.worse:,}",
            _ratio(one),
        )
    out.print()
    out.print(table)


def _show_claims(found: Sequence[Claim], out: Console) -> None:
    """Accuracy on verified gold and agreement with the reference arm, apart, and what they allow to be said."""
    from smallfirst.evals.interval import interval

    if not found:
        return
    other = escape(found[0].other)
    table = Table(
        "", f"on verified gold ({found[0].verified:,})", f"agrees with {other}", "USD / 1,000,000 calls"
    )
    for one in found:
        table.add_row(
            escape(one.arm), interval(one.gold), interval(one.agreement), _per_million(one.usd_per_million)
        )
    table.add_row(other, interval(found[0].other_gold), "", _per_million(found[0].other_usd_per_million))
    out.print()
    out.print(table)
    for one in found:
        out.print(escape(one.sentence), style="dim" if one.word in ("none", "open") else "", highlight=False)


def _per_million(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:,.2f}"


def show_compared(compared: RunsCompared, out: Console) -> None:
    out.print(
        f"{escape(compared.two)} − {escape(compared.one)} on {compared.compared:,} examples that both have answered",
        highlight=False,
    )
    if compared.scorers[0] != compared.scorers[1]:
        out.print(f"[red]scored differently[/]: {compared.scorers[0]} and {compared.scorers[1]}")
    show_arms(compared.arms, out)
    show_differences(compared.differences, out)


def show_inspected(found: Sequence[Inspected], reference: str, out: Console) -> None:
    """Each example with its answers beside one another; what differs from the reference arm's answer is marked."""
    from smallfirst.evals.text_diff import side_by_side

    for one in found:
        out.rule(Text(one.example.id))
        out.print(Text(one.question))
        table = Table(
            "right",
            *(escape(name) for name in one.answers),
            box=box.SQUARE,
            show_edge=True,
            show_lines=True,
            expand=True,
        )
        other = one.answers.get(reference)
        cells: list[Text] = [Text(one.reference)]
        told: list[Text] = [Text()]
        for name, answer in one.answers.items():
            if other is None or name == reference:
                cells.append(Text(answer.output))
            else:
                cells.append(_marked(side_by_side(answer.output, other.output)[0]))
            score = "not scored" if answer.score is None else f"{answer.score:.2f}"
            words = [score, answer.model, answer.note, answer.unmet, answer.error]
            told.append(Text(" · ".join(dict.fromkeys(word for word in words if word)), style="dim"))
        table.add_row(*cells)
        table.add_row(*told)
        out.print(table)


def _marked(pieces: Sequence[Piece]) -> Text:
    text = Text()
    for piece in pieces:
        text.append(piece.text, style="" if piece.same else "bold yellow")
    return text


def _show_slices(slices: Sequence[SliceReport], out: Console) -> None:
    from smallfirst.evals.interval import interval

    if not slices:
        return
    arms = len({one.arm for one in slices})
    table = Table("slice", "arm", "rows", "score", "ref.", "difference", "p")
    for one in slices[:_SLICES_SHOWN]:
        table.add_row(
            escape(f"{one.field}={one.value}"),
            escape(one.arm) if arms > 1 else "",
            f"{one.examples:,}",
            _mean(one.score),
            _mean(one.other_score),
            interval(one.difference, sign=True),
            _p(one.p_holm),
            style="red" if one.worse else "",
        )
    out.print()
    out.print(table)
    out.print("p is corrected for how many slices and arms were looked at (Holm)", style="dim")
    if len(slices) > _SLICES_SHOWN:
        out.print(f"and {len(slices) - _SLICES_SHOWN} slices more: --json has them all", style="dim")


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _mean(estimate: Mean) -> str:
    return "–" if estimate.mean is None else f"{estimate.mean:.3f}"


def _ratio(one: Difference) -> str:
    from smallfirst.evals.interval import interval

    return "–" if one.cost_ratio is None else interval(one.cost_ratio, digits=2)


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value:,.4f}"
