"""Attempts that answered nobody: what became of them, what they cost, and where most of that was spent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from smallfirst.ledger.records import AttemptStatus
from smallfirst.ledger.reports import AttemptSums

WHAT_FOR: dict[AttemptStatus, str] = {
    "unmet": "an answer that its check refused: the call climbed",
    "doubted": "an answer that was not sure enough: the call climbed",
    "cancelled": "what was generated until the client left",
    "broken": "what had come when the connection broke",
    "timeout": "what was generated until we stopped waiting",
    "error": "nothing, but for what was under way at a fault of ours",
    "lost": "what was reserved when the process died",
    "refused": "nothing: the provider said no",
    "unreachable": "nothing: it was never sent",
}
"""What is paid for, by status, the useful first."""


class Unused(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of one status that was no answer to anybody. `mostly` is the line of the bill that paid most for them,
    with `mostly_nusd`; empty where nothing was paid. Attempts of all origins.
    """

    status: str
    what_for: str
    attempts: int
    cost_nusd: int
    unknown_attempts: int
    estimated_nusd: int
    simulated_nusd: int
    mostly: str
    mostly_nusd: int


def unused_of(spend: Iterable[AttemptSums]) -> tuple[Unused, ...]:
    """By status, in the order of `WHAT_FOR`, of those that there are."""
    by_status: dict[str, list[AttemptSums]] = defaultdict(list)
    for row in spend:
        if row.status in WHAT_FOR:
            by_status[row.status].append(row)
    return tuple(_unused(status, by_status[status]) for status in WHAT_FOR if status in by_status)


def _unused(status: AttemptStatus, rows: list[AttemptSums]) -> Unused:
    spent: dict[str, int] = defaultdict(int)
    for row in rows:
        spent[row.name] += row.cost_nusd
    mostly = min(spent, key=lambda name: (-spent[name], name))
    return Unused(
        status=status,
        what_for=WHAT_FOR[status],
        attempts=sum(row.attempts for row in rows),
        cost_nusd=sum(row.cost_nusd for row in rows),
        unknown_attempts=sum(row.unknown_attempts for row in rows),
        estimated_nusd=sum(row.estimated_nusd for row in rows),
        simulated_nusd=sum(row.cost_nusd for row in rows if row.simulated),
        mostly=mostly if spent[mostly] else "",
        mostly_nusd=spent[mostly],
    )
