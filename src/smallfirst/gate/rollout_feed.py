"""From the ledger to the watches: each call, pair and corrected label once, in the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from smallfirst.gate.rollout import Watched
from smallfirst.gate.watch import LEAST_USUAL, TaskWatch, Usual
from smallfirst.ledger import Filter, LedgerView
from smallfirst.ledger.queries import StoredOutcome, ToldOutcome
from smallfirst.ledger.records import Call
from smallfirst.releases import Policy

FAILED = ("error", "cut", "lost")
_COUNTED = ("ok", *FAILED)  # a call that we refused, or whose client left, says nothing about a release
_USUAL_CALLS = 2000  # of what is live, the latest
_BATCH = 1000
_KNOWN_PRICES = 0.9  # the share of calls whose cost must be known to compare costs
PAIRED = ("spot-check", "explore", "shadow")


class _Value(msgspec.Struct):
    """What of a score is read here."""

    model: str
    rung: int
    release: str
    channel: str
    score: float
    reference: str
    answered: bool


def usual(ledger: LedgerView, task: str, *, without: str) -> Usual | None:
    """What the task's latest calls were like that this release did not answer; None where there are too few."""
    wanted = Filter(task=task, origin="client")
    found: list[Call] = []
    before: int | None = None
    while len(found) < _USUAL_CALLS:
        listed = ledger.queries.calls(wanted, limit=_BATCH, before=before)
        found += [one.call for one in listed if one.call.release != without and _counts(one.call)]
        if len(listed) < _BATCH:
            break
        before = listed[-1].n
    answered = [call for call in found if call.status == "ok"]
    if len(answered) < LEAST_USUAL:
        return None
    costs = [call.cost_nusd for call in found if call.cost_nusd is not None]
    known = len(costs) >= _KNOWN_PRICES * len(found)
    return Usual(
        calls=len(found),
        mean_nusd=float(np.mean(costs)) if known else None,
        p95_ms=float(np.quantile([call.latency_ms for call in answered], 0.95)),
        failed=1 - len(answered) / len(found),
    )


def _counts(call: Call) -> bool:
    """Whether a call says how a release answers. What the cache answered does not: a canary begins with an empty one."""
    return call.status in _COUNTED and not call.from_cache


def first_call(ledger: LedgerView, began_ms: int) -> int:
    """The number of the last call before that moment."""
    listed = ledger.queries.calls(Filter(until_ms=began_ms), limit=1)
    return listed[0].n if listed else 0


def feed_calls(
    ledger: LedgerView, watched: Watched, watches: Mapping[str, TaskWatch], policies: Mapping[str, Policy]
) -> int:
    """Counts the canary's calls that were recorded since; returns how many. Waits until every task knows what is usual."""
    if any(watch.usual is None for watch in watches.values()):
        return 0
    count = 0
    while listed := ledger.queries.tail(watched.calls_after, Filter(origin="client"), limit=_BATCH):
        for one in listed:
            count += _feed_call(one.call, watched, watches, policies)
        watched.calls_after = listed[-1].n
    return count


def _feed_call(
    call: Call, watched: Watched, watches: Mapping[str, TaskWatch], policies: Mapping[str, Policy]
) -> bool:
    watch = watches.get(call.task)
    if watch is None or not is_of_canary(call, watched) or not _counts(call):
        return False
    watch.add_call(
        failed=call.status in FAILED,
        latency_ms=call.latency_ms,
        cost_nusd=call.cost_nusd,
        by_small=0 <= call.rung < len(policies[call.task].ladder) - 1,
    )
    return True


def is_of_canary(call: Call, watched: Watched) -> bool:
    """Whether this canary answered the call: not one of the same release before it."""
    return (
        call.release == watched.release
        and call.decision.get("channel") == "canary"
        and call.at_ms >= watched.began_ms
    )


def feed_scores(
    ledger: LedgerView, watched: Watched, watches: Mapping[str, TaskWatch], policies: Mapping[str, Policy]
) -> int:
    """Counts the pairs whose scores were recorded since; returns how many."""
    count = 0
    for told in reversed(ledger.queries.told(kind="score", after=watched.outcomes_after, limit=-1)):
        watched.outcomes_after = told.n
        watch, value = watches.get(told.task), scored(told.outcome)
        if watch is None or value is None or told.outcome.at_ms < watched.began_ms:
            continue
        if value["release"] == watched.release and value["channel"] == watched.channel:
            count += _feed_score(ledger, told, watch, policies[told.task])
    return count


def _feed_score(ledger: LedgerView, told: ToldOutcome, watch: TaskWatch, policy: Policy) -> bool:
    """Counts the pair that this score completes, if it does. Scores that were told again, better or worse, are not another pair."""
    value = told.outcome.value
    rows = [row for each in ledger.queries.outcomes(told.call) if (row := scored(each)) is not None]
    mine = [row for row in rows if _is_small(row, value, policy)]
    small = next((row for row in mine if row["reference"] == value["reference"]), None)
    if small is None:
        return False
    if value["reference"] == "frontier":
        if value == small:
            watch.add_pair(float(small["score"]))
        return value == small
    other = next((row for row in rows if _is_frontier(row, value, policy)), None)
    if other is None or value != (small if rows.index(small) > rows.index(other) else other):
        return False
    compared = any(row["reference"] == "frontier" for row in mine)
    watch.add_label(frontier=float(other["score"]), small=float(small["score"]), compared=compared)
    return True


def _is_small(row: Mapping[str, Any], value: Mapping[str, Any], policy: Policy) -> bool:
    """Whether this is what a client got of the same release, or would have got from a shadow, and a small model's."""
    same = (row["release"], row["channel"]) == (value["release"], value["channel"])
    given = row["answered"] or row["channel"] == "shadow"
    return same and bool(given) and 0 <= row["rung"] < len(policy.ladder) - 1


def _is_frontier(row: Mapping[str, Any], value: Mapping[str, Any], policy: Policy) -> bool:
    """Whether this is the frontier's answer, scored in the same way: for a shadow it was the live release that asked."""
    return row["model"] == policy.ladder[-1].model and row["reference"] == value["reference"]


def scored(outcome: StoredOutcome) -> dict[str, Any] | None:
    """What a score that the gateway noted says; None for those that clients told, and for answers that nobody could score."""
    value = outcome.value
    if outcome.kind != "score" or outcome.source not in PAIRED or not isinstance(value, dict):
        return None
    try:
        msgspec.convert(value, _Value)
    except msgspec.ValidationError:  # another version's
        return None
    return value


def explored(ledger: LedgerView, *, after: int) -> Iterator[ToldOutcome]:
    """Scores of explored calls that were recorded after that outcome, in their order."""
    for told in reversed(ledger.queries.told(kind="score", source="explore", after=after, limit=-1)):
        if scored(told.outcome) is not None:
            yield told
