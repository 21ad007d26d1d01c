"""Recorded calls as a stream for the cache: what a task's own traffic allows, from the bodies that the ledger keeps.

What one call's answer may be given to is decided as the gateway does: calls of one partition, which differ in the last user text alone, and were
answered under one policy, are of one scope. Two answers are the same where their texts are; a scorer that would take two wordings for equal is
not asked, so that for tasks that answer in free text this is the least that the cache could do.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from smallfirst.cache.key import Keyed, key_of, partition_of
from smallfirst.datasets.exchange import read_answer
from smallfirst.errors import BadRequest, EvalError
from smallfirst.evals.cache.stream import StreamRow
from smallfirst.ledger.queries import Filter, Queries
from smallfirst.ledger.records import Call
from smallfirst.wire.incoming import Incoming

_PAGE = 500
_CHAT = ("chat", "messages")


def recorded_stream(
    queries: Queries, task: str, *, tenant: str | None = None
) -> tuple[list[StreamRow], Counter[str]]:
    """The clients' calls of a task in the order in which they were recorded, and why others are left out.

    Raises `EvalError` where none is left.
    """
    rows: list[StreamRow] = []
    skipped: Counter[str] = Counter()
    wanted, last = Filter(task=task, tenant=tenant, origin="client"), 0
    while page := queries.tail(last, wanted, limit=_PAGE):
        last = page[-1].n
        for listed in page:
            found = _row(queries, listed.call)
            if isinstance(found, str):
                skipped[found] += 1
            else:
                rows.append(found)
    if not rows:
        why = "; ".join(f"{count:,} {reason}" for reason, count in skipped.items()) or "none was recorded"
        raise EvalError(
            f"no call of task {task!r} can be replayed ({why}); `keep_bodies = true` keeps what calls say"
        )
    return rows, skipped


def _row(queries: Queries, call: Call) -> StreamRow | str:
    if call.route not in _CHAT or call.status != "ok":
        return "that were not answered, or had no messages"
    if call.cache == "semantic":
        return "that the cache answered by another call's answer"
    bodies = queries.bodies(call.id)
    if bodies is None:
        return "whose bodies are not kept"
    try:
        incoming = Incoming(call.route, bodies.request)
        text, why = read_answer(msgspec.json.decode(bodies.answer))
    except (msgspec.DecodeError, BadRequest):
        return "whose bodies cannot be read"
    if why:
        return "whose answers are no text"
    keyed = key_of(
        incoming,
        tenant=call.tenant,
        task=call.task or "",
        policy=call.policy or "",
        model=call.asked_model,
        ignore=frozenset(),
    )
    if not isinstance(keyed, Keyed):
        return "that have no key"
    part = partition_of(keyed, embedder_sha256="")
    if part is None:  # only the very same call can be given its answer
        return StreamRow(id=call.id, text="", answer_class=text.strip(), scope=keyed.exact.hex())
    return StreamRow(id=call.id, text=part.question, answer_class=text.strip(), scope=part.digest.hex())
