"""The answer that a spot check got, as an entry of the cache: kept by the same rules as the answer to a client."""

from __future__ import annotations

import time

from smallfirst.cache.admission import why_not_kept
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.look_up import Hit
from smallfirst.gateway.aside_call import AsideCall, Said
from smallfirst.gateway.bodies import kept_days, would_redact
from smallfirst.gateway.running import Running
from smallfirst.models.reply import WholeReply

_MS_PER_DAY = 86_400_000


def fresh_entry(running: Running, hit: Hit, call: AsideCall, said: Said) -> Entry | None:
    """What is kept of the answer; None where it may not be."""
    answer, asking = call.answer, hit.asking
    if answer is None or not asking.key or not isinstance(answer.reply, WholeReply):
        return None
    reply = answer.reply
    most = running.config.cache.max_entry_bytes
    days = kept_days(running.config, asking.tenant)
    if days == 0 or why_not_kept(
        reply.data, reply.dialect, most_bytes=most, unmet=answer.unmet, outside_bound=call.outside_bound
    ):
        return None
    if would_redact(running.config, asking.task, asking.question.encode(), reply.data):
        return None
    at_ms = int(time.time() * 1000)
    ttl_ms = round(said.side.policy.cache.ttl_s * 1000)
    return Entry(
        key=asking.key,
        tenant=asking.tenant,
        task=asking.task,
        policy=asking.policy,
        release=said.side.release,
        call=said.call,
        model=said.model,
        rung=said.rung,
        dialect=reply.dialect,
        answer=reply.data,
        text=reply.text,
        cost_nusd=said.cost_nusd,
        frontier_nusd=said.frontier_nusd,
        simulated=answer.model.simulated,
        at_ms=at_ms,
        expires_ms=at_ms + min(ttl_ms, days * _MS_PER_DAY),
        partition=asking.partition,
        question=asking.question,
        vector=hit.vector.astype("float16").tobytes(),
    )
