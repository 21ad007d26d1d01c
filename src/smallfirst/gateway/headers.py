"""The headers that are ours: what a caller may say to the gateway, and what it is told of its call."""

from __future__ import annotations

import json

from smallfirst.answering.climb import Answer
from smallfirst.answering.decide import Decision
from smallfirst.gateway.client import Client
from smallfirst.gateway.draft import Draft
from smallfirst.ledger.records import HITS
from smallfirst.money import NUSD_PER_USD

TASK = b"x-smallfirst-task"
KEY = b"x-smallfirst-key"
CONVERSATION = b"x-smallfirst-conversation"
TRAIN = b"x-smallfirst-train"  # 0: nothing may be trained on this call
EXPLAIN = b"x-smallfirst-explain"
_MAX_EXPLANATION_CHARS = 6000  # of the 8 KiB that clients and proxies let a header have
_REASON_CHARS = (500, 80, 20)
_TOLD = (
    "judgement",
    "place",
    "trusted",
    "unshown",
    "channel",
    "lapsed",
    "cache",
    "at_limit",
)  # of the decision's record
_MISS, _BYPASS, _NO_AGE = (b"x-smallfirst-cache", b"miss"), (b"x-smallfirst-cache", b"bypass"), (b"age", b"0")


def answer_headers(
    draft: Draft, answer: Answer, client: Client, decision: Decision
) -> list[tuple[bytes, bytes]]:
    """What answered, at what cost, and, on request, why. The provider's own headers come along within one dialect."""
    reply = answer.reply
    headers = _call_headers(draft)
    if answer.unmet:
        headers.append((b"x-smallfirst-check", b"unmet"))
    if answer.at_limit:
        headers.append((b"x-smallfirst-at-limit", answer.at_limit.encode()))
    if answer.model.simulated:
        headers.append((b"x-smallfirst-simulated", b"1"))
    if not client.started and answer.attempting.record is not None:
        cost = draft.cost_nusd
        headers.append(
            (
                b"x-smallfirst-cost-usd",
                b"unknown" if cost is None else b"%d.%09d" % divmod(cost, NUSD_PER_USD),
            )
        )
    if client.headers.get(EXPLAIN) == b"1":
        headers.append((b"x-smallfirst-explain", explanation(draft, decision)))
    passed = reply.dialect == draft.dialect
    has_id = False
    if passed:
        for name, value in reply.headers:
            lowered = name.lower()
            has_id = has_id or lowered in ("x-request-id", "request-id")
            headers.append((lowered.encode(), value.encode("latin-1", "replace")))
    if not has_id:
        headers += [(b"x-request-id", draft.id.encode()), (b"request-id", draft.id.encode())]
    return headers


def cached_headers(draft: Draft, client: Client, *, simulated: bool) -> list[tuple[bytes, bytes]]:
    """The same of an answer from the cache: it costs nothing, and names the model that was asked for it first."""
    headers = _call_headers(draft)
    if simulated:
        headers.append((b"x-smallfirst-simulated", b"1"))
    headers.append((b"x-smallfirst-cost-usd", b"0.000000000"))
    if client.headers.get(EXPLAIN) == b"1":
        headers.append((b"x-smallfirst-explain", explanation(draft, Decision(task=draft.task, steps=()))))
    return [*headers, (b"x-request-id", draft.id.encode()), (b"request-id", draft.id.encode())]


def cache_headers(draft: Draft) -> list[tuple[bytes, bytes]]:
    """What the cache had for a call, whatever became of it, and how old its answer is in seconds."""
    if draft.cache in HITS:
        return [
            (b"x-smallfirst-cache", b"hit"),
            (b"x-smallfirst-cache-by", draft.cache.encode()),
            (b"age", b"%d" % draft.age_s),
        ]
    return [_MISS if draft.cache else _BYPASS, _NO_AGE]


def _call_headers(draft: Draft) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"x-smallfirst-call", draft.id.encode()),
        (b"x-smallfirst-model", draft.model.encode()),
        (b"x-smallfirst-overhead-ms", b"%.2f" % draft.overhead_ms),
        *cache_headers(draft),
    ]
    if draft.task:
        headers.append((b"x-smallfirst-rung", b"%d" % draft.rung))
        headers.append((b"x-smallfirst-release", draft.release[:12].encode()))
        headers.append((b"x-smallfirst-channel", draft.decision["channel"].encode()))
    if draft.unproven:
        headers.append((b"x-smallfirst-unproven", b"1"))
    return headers


def explanation(draft: Draft, decision: Decision) -> bytes:
    """The decision and the attempts so far as one line of ASCII JSON, its reasons cut where the line would be too long for a header."""
    text = ""
    for chars in _REASON_CHARS:
        text = json.dumps(_explained(draft, decision, chars), separators=(",", ":")).replace(
            "\x7f", "\\u007f"
        )
        if len(text) <= _MAX_EXPLANATION_CHARS:
            break
    return text.encode()


def _explained(draft: Draft, decision: Decision, reason_chars: int) -> dict[str, object]:
    attempts = [
        {
            "kind": attempt.kind,
            "rung": attempt.rung,
            "model": attempt.model,
            "status": attempt.status,
            "reason": attempt.reason[:reason_chars],
            "latency_ms": attempt.latency_ms,
        }
        for attempt in draft.attempts
    ]
    steps = [
        {"rung": step.rung, "model": step.model, "skipped": step.skipped[:reason_chars]}
        for step in decision.steps
    ]
    told: dict[str, object] = {
        "task": draft.task,
        "release": draft.release[:12],
        "by": draft.decision.get("by", ""),
        "intent": draft.decision.get("intent"),
        "steps": steps,
        "attempts": attempts,
    }
    return told | {name: value for name in _TOLD if (value := draft.decision.get(name))}
