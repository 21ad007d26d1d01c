"""What of a call the frontier model cost."""

from __future__ import annotations

from collections.abc import Iterable

from smallfirst.ledger.records import ANSWERED, Attempt


def frontier_cost_nusd(attempts: Iterable[Attempt]) -> int | None:
    """What all attempts at the frontier model cost, where it answered; None where it did not, or a price is unknown."""
    frontier = [attempt for attempt in attempts if attempt.frontier]
    if not any(attempt.status in ANSWERED for attempt in frontier):
        return None
    costs = [attempt.cost_nusd for attempt in frontier]
    return None if None in costs else sum(cost for cost in costs if cost is not None)
