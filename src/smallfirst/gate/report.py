"""A verdict in words: Markdown for a pull request, and the sentences that the terminal shares with it. Aggregates only, never a row."""

from __future__ import annotations

import datetime
import html
from collections.abc import Sequence

from smallfirst.gate.plan import Plan
from smallfirst.releases.verdict import Budget, Comparison, Finding, TaskVerdict, Verdict

EXIT_STATUS: dict[Finding, int] = {"pass": 0, "fail": 3, "not-enough-evidence": 4}
"""What a script is told: 1 is an error of ours, 2 wrong usage."""

WORDS: dict[Finding, str] = {"pass": "pass", "fail": "fail", "not-enough-evidence": "not enough evidence"}
_SIGNS: dict[Finding, str] = {"pass": "✅", "fail": "❌", "not-enough-evidence": "⚠️"}
_MARKS = "\\`*_{}[]()#|!~@"
_BUDGETS = {
    "cost": "cost a call over the live release's",
    "latency_p95": "95th percentile of latency over the live release's",
    "cache_error": "what the cache may answer wrongly, of all calls",
}


def markdown(verdict: Verdict, *, task: str = "") -> str:
    """The verdict as a comment on a pull request. `task`: it is of this one task alone, and proves nothing by itself."""
    lines = [
        f"## {_SIGNS[verdict.finding]} smallfirst gate: {WORDS[verdict.finding]}",
        "",
        f"Release `{verdict.candidate[:12]}` against "
        + (
            "the baseline"
            if verdict.comparator == "baseline"
            else f"`{verdict.comparator[:12]}`, which is live"
        )
        + f", by {_plain(verdict.by)} on {moment(verdict.at_ms)} with smallfirst {verdict.version}.",
    ]
    if task:
        lines += ["", f"Only task `{task}` was judged: this is no verdict on the release."]
    if verdict.simulated:
        names = ", ".join(f"`{name}`" for name in verdict.simulated)
        lines += [
            "",
            f"**Simulated:** {names} only pretend to be models. This proves nothing about real ones.",
        ]
    for each in verdict.tasks:
        lines += ["", *_task(each)]
    if not task:
        signed = "signed" if verdict.signature else "not signed"
        lines += ["", f"Verdict `{verdict.id}`, {signed}."]
    return "\n".join(lines) + "\n"


def loss_words(one: Comparison) -> str:
    """What a comparison found, in a sentence."""
    seen = f"loss {points(one.loss)} ({points(one.low)} to {points(one.high)})"
    at = f"{100 * (1 - one.alpha):.4g} % confidence"
    if one.finding == "pass":
        return f"{seen}; below {points(one.bound)} with {at}, the margin is {points(one.margin)}"
    if one.finding == "fail":
        return f"{seen}: it is worse, and by more than the margin of {points(one.margin)}"
    more = (
        "no number of examples like these would show it"
        if one.examples_needed is None
        else f"about {one.examples_needed:,} examples would, there are {one.examples:,}"
    )
    return f"{seen}; below {points(one.bound)} with {at}, and not below the margin of {points(one.margin)}: {more}"


def budget_words(budget: Budget) -> str:
    """What a budget found, in a sentence."""
    what = _BUDGETS.get(budget.of, budget.of)
    if budget.value is None:
        why = "no price is known" if budget.of == "cost" and budget.finding != "fail" else "cannot be said"
        return f"{what}: {why}, the limit is {budget.limit:g}"
    if budget.of == "cache_error":  # what it is held to, not what was seen
        return f"{what}: {budget.value:g}, the limit is {budget.limit:g}"
    bound = "" if budget.bound is None else f", at most {budget.bound:.3g} with 95 % confidence"
    return f"{what}: {budget.value:.3g}{bound}, the limit is {budget.limit:g}"


def plan_words(plan: Plan) -> list[str]:
    """What is to be expected, before a read is spent."""
    spends = (
        f"read {plan.read} of its held-out part is paid for"
        if plan.claimed
        else f"read {plan.read} of its held-out part would spend α = {plan.alpha:.3g}"
    )
    lines = [f"{plan.task}: {spends}"]
    for one in plan.prospects:
        name = f" {one.slice}" if one.slice else ""
        needed = "more than anybody has" if one.needed is None else f"{one.needed:,}"
        lines.append(
            f"against {one.against}{name}: on {one.seen:,} calibration examples loss {points(one.loss)}, disagreement "
            f"{100 * one.disagreement:.1f} %. A candidate that loses nothing passes on the {one.rows:,} held-out examples with "
            f"probability {100 * one.chance:.0f} %; {needed} would make it {100 * plan.power:.0f} %"
        )
    return lines


def points(share: float) -> str:
    """A loss in points of a hundred."""
    return f"{100 * share:+.1f}" if abs(share) >= 0.0005 else "0.0"


def moment(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _task(each: TaskVerdict) -> list[str]:
    head = f"### {_SIGNS[each.finding]} {each.task}: {WORDS[each.finding]}"
    if each.unchanged and not (each.comparisons or each.note):
        return [head, "", "The policy is the live one: there is nothing to compare."]
    lines = [head, ""]
    if each.unchanged:
        lines += ["The policy is the live one; what takes calls for the task is not.", ""]
    read = f"read {each.read} of its held-out part" if each.read else "its held-out part was not read"
    scorer = f", scorer `{each.scorer}`" if each.scorer else ""
    nothing = "No dataset." if each.finding == "not-enough-evidence" else "Nothing had to be asked."
    lines.append(f"Dataset `{each.dataset[:12]}` ({read}){scorer}." if each.dataset else nothing)
    if each.note:
        lines += ["", f"{_plain(each.note[0].upper() + each.note[1:])}."]
    if each.comparisons:
        lines += ["", *_comparisons(each.comparisons)]
    if each.budgets:
        lines += ["", *(f"- {_SIGNS[one.finding]} {budget_words(one)}" for one in each.budgets)]
    if each.alerts:
        lines += [
            "",
            "Slices that nobody declared and that look worse (Holm's correction; they stop nothing):",
            "",
        ]
        lines += [
            f"- {_plain(one.slice)}: loss {points(one.loss)} on {one.examples:,} examples, p = {one.p:.2g}"
            for one in each.alerts
        ]
    return lines


def _comparisons(found: Sequence[Comparison]) -> list[str]:
    lines = [
        "| | against | examples | score | theirs | loss (95 %) | bound | margin |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in found:
        what = one.against + (f", {_plain(one.slice)}" if one.slice else "")
        interval = f"{points(one.loss)} ({points(one.low)} to {points(one.high)})"
        lines.append(
            f"| {_SIGNS[one.finding]} | {what} | {one.examples:,} | {100 * one.score:.1f} | {100 * one.other_score:.1f} "
            f"| {interval} | {points(one.bound)} | {points(one.margin)} |"
        )
    lines += ["", *(f"- {what}" for what in _needs(found))]
    return lines if lines[-1] else lines[:-1]


def _needs(found: Sequence[Comparison]) -> list[str]:
    return [
        f"against {one.against}{', ' + _plain(one.slice) if one.slice else ''}: {loss_words(one)}"
        for one in found
        if one.finding != "pass"
    ]


def _plain(text: str) -> str:
    """Text from data, so that it is nothing but text in Markdown."""
    safe = html.escape(text.replace("\n", " "), quote=False)
    return "".join(f"\\{letter}" if letter in _MARKS else letter for letter in safe)
