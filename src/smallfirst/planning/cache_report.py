"""What the cache of a state directory holds, what it answered and saved, and what is proven of its semantic answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from smallfirst.cache.semantic.standing import Figures, Standing
from smallfirst.cache.stores.store import Counted
from smallfirst.ledger.reports import CacheSums
from smallfirst.planning.bill.cached import Cached, with_asked
from smallfirst.releases.cache_words import cache_words
from smallfirst.releases.policy import Policy

By = Literal["task", "tenant"]
State = Literal["open", "closed", "unattended", "unknown"]
"""Of a semantic cache. `open`: hits are served. `closed`: nothing is proven yet, or not any more. `unattended`: it was open, and nobody has
renewed that. `unknown`: nothing was said of it yet.
"""


class Line(Cached, frozen=True, kw_only=True):
    """One task, or one task and tenant: what was looked up in the span, and (`entries` … `newest_ms`) what is kept now."""

    tenant: str = ""
    entries: int = 0
    answers: int = 0  # different ones, as far as they were compared
    bytes: int = 0
    oldest_ms: int = 0
    newest_ms: int = 0


class SemanticLine(msgspec.Struct, frozen=True, kw_only=True):
    """What is proven of one policy's semantic answers, and how surely. `wrong_rate` is of all requests, between `wrong_low` and `wrong_high` with
    `confidence` at all times together; `delta` is what it is held to.
    """

    task: str
    channel: str  # "live" or "canary"
    policy: str
    state: State
    why: str  # it is not open
    delta: float
    confidence: float
    since_ms: int
    lease_until_ms: int
    threshold: float | None
    check: float
    figures: Figures


class CacheReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `rules` are the cache rules of what is live, in words, by task; a task that is not in it has no cache."""

    lines: tuple[Line, ...]
    semantic: tuple[SemanticLine, ...]
    rules: dict[str, str]
    entries: int
    bytes: int


def cache_report(
    kept: Iterable[Counted],
    asked: Iterable[CacheSums],
    serving: Mapping[str, Mapping[str, Policy]],
    standings: Mapping[str, Standing],
    *,
    now_ms: int,
    by: By = "task",
) -> CacheReport:
    """Puts together what the store counted, what the ledger did, and what the keeper says of the policies by channel (live, canary)."""
    lines: dict[tuple[str, str], Line] = {}
    live = serving.get("live", {})
    rules = {task: words for task, policy in live.items() if (words := cache_words(policy.cache))}
    for task in rules if by == "task" else ():
        lines[task, ""] = Line(task=task)
    for counted in kept:
        name = (counted.task, counted.tenant if by == "tenant" else "")
        lines[name] = _with_kept(lines.get(name, Line(task=name[0], tenant=name[1])), counted)
    for sums in asked:
        name = (sums.task, sums.tenant if by == "tenant" else "")
        lines[name] = with_asked(lines.get(name, Line(task=name[0], tenant=name[1])), sums)
    found = tuple(lines[name] for name in sorted(lines))
    return CacheReport(
        lines=found,
        semantic=tuple(
            _semantic(channel, policy, standings.get(policy.hash), now_ms)
            for channel, policies in serving.items()
            for policy in policies.values()
            if policy.cache.exact and policy.cache.semantic is not None
        ),
        rules=rules,
        entries=sum(line.entries for line in found),
        bytes=sum(line.bytes for line in found),
    )


def _with_kept(line: Line, counted: Counted) -> Line:
    return msgspec.structs.replace(
        line,
        entries=line.entries + counted.entries,
        answers=line.answers + counted.groups,
        bytes=line.bytes + counted.bytes,
        oldest_ms=min(line.oldest_ms or counted.oldest_ms, counted.oldest_ms),
        newest_ms=max(line.newest_ms, counted.newest_ms),
    )


def _semantic(channel: str, policy: Policy, standing: Standing | None, now_ms: int) -> SemanticLine:
    rule = policy.cache.semantic
    assert rule is not None
    state, why = _state(standing, now_ms)
    standing = standing or Standing(task=policy.task, policy=policy.hash, lease_until_ms=0)
    return SemanticLine(
        task=policy.task,
        channel=channel,
        policy=policy.hash,
        state=state,
        why=why,
        delta=rule.delta,
        confidence=rule.confidence,
        since_ms=standing.since_ms,
        lease_until_ms=standing.lease_until_ms,
        threshold=standing.threshold,
        check=standing.check,
        figures=standing.figures,
    )


def _state(standing: Standing | None, now_ms: int) -> tuple[State, str]:
    if standing is None:
        return "unknown", "nothing was observed of this policy yet"
    if standing.threshold is None:
        return "closed", standing.why
    if standing.holds(now_ms):
        return "open", ""
    return "unattended", "the controller has not been heard of: only exact answers are given until it is"
