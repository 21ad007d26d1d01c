"""The same tickets before and after: who answered, how often right, how fast, at what cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.table import Table
from traffic import GOLD, Answered

from smallfirst.statistics.binomial import wilson

FRONTIER = "frontier"


def before_after(before: Sequence[Answered], after: Sequence[Answered], *, title: str) -> Table:
    """A line for each task and time. `right` is against the gold labels, with Wilson's 95 % interval."""
    table = Table("task", "", "answered by", "right (95 %)", "p50 / p95", "US dollars", title=title)
    of = {"before": _by_task(before), "after": _by_task(after)}
    for task in of["before"]:
        for when, groups in of.items():
            group = groups.get(task, [])
            table.add_row(
                task.removeprefix("ticket-"),
                when,
                _who(group),
                _right(task, group),
                _times(group),
                _cost(group),
            )
    return table


def who(group: Sequence[Answered], model: str) -> float:
    """The share that this model answered."""
    return sum(one.model == model for one in group) / len(group) if group else 0.0


def _by_task(answers: Sequence[Answered]) -> dict[str, list[Answered]]:
    groups: dict[str, list[Answered]] = defaultdict(list)
    for one in answers:
        groups[one.task].append(one)
    return dict(sorted(groups.items()))


def _who(group: Sequence[Answered]) -> str:
    models = sorted({one.model for one in group if not one.error}, key=lambda name: (name == FRONTIER, name))
    said = [f"{name} {who(group, name):.0%}" for name in models]
    failed = sum(bool(one.error) for one in group)
    return ", ".join([*said, f"[red]{failed} failed[/]"] if failed else said)


def _right(task: str, group: Sequence[Answered]) -> str:
    if task not in GOLD or not group:
        return "not judged"
    right, all_ = sum(bool(one.right) for one in group), len(group)
    low, high = wilson(right, all_)
    return f"{right / all_:.1%} ({low:.1%}–{high:.1%})"


def _times(group: Sequence[Answered]) -> str:
    times = sorted(one.seconds for one in group)
    return " / ".join(
        _seconds(times[min(len(times) - 1, int(len(times) * share))]) for share in (0.5, 0.95) if times
    )


def _cost(group: Sequence[Answered]) -> str:
    return f"{sum(one.cost_usd or 0 for one in group):.4f}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
