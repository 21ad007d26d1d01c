"""Calls from the ledger. What was said is known of those whose bodies were kept; the others count for volume, time and money."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from smallfirst.datasets.row import Tally
from smallfirst.errors import BadRequest
from smallfirst.ledger.queries import Filter, Listed, Queries
from smallfirst.ledger.records import REDACTED, Attempt
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading.exchanged import answered, asked
from smallfirst.planning.assess.reading.files import Progress

_PAGE = 1000
_CHAT = ("chat", "messages")


def ledger_calls(
    queries: Queries, wanted: Filter, tally: Tally, *, progress: Progress = lambda *_: None
) -> Iterator[Observed]:
    """The calls of clients that fit, in the order in which they were recorded. `tally.read` counts them; why others are left out is told to it.

    `progress` is told of numbers of calls.
    """
    wanted = msgspec.structs.replace(wanted, origin="client")
    last, until = 0, queries.last()
    while page := queries.tail(last, wanted, limit=_PAGE):
        attempts = queries.attempts_between(page[0].n, page[-1].n)
        for listed in page:
            if listed.call.route in _CHAT:
                tally.read += 1
                yield _observed(queries, listed, attempts.get(listed.n, ()), tally)
            else:
                tally.skip("calls of routes without messages")
        last = page[-1].n
        progress("reading", last, max(last, until))


def _observed(queries: Queries, listed: Listed, attempts: Sequence[Attempt], tally: Tally) -> Observed:
    call = listed.call
    said = next(
        (one for one in reversed(attempts) if one.kind != "route" and one.usage_source != "none"), None
    )
    provider = next((one.provider for one in reversed(attempts) if one.kind != "route"), "")
    told = Observed(
        messages=[],
        at_ms=call.at_ms,
        tenant=call.tenant,
        task=call.task,
        model=call.model or call.asked_model,
        provider=provider,
        conversation=call.conversation,
        failed=call.status != "ok",
        stream=call.stream,
        latency_ms=call.latency_ms,
        first_token_ms=call.ttft_ms if call.stream else None,
        input_tokens=said.usage.prompt_tokens if said else None,
        cached_tokens=said.usage.cache_read_tokens if said else None,
        output_tokens=said.usage.completion_tokens if said else None,
        reasoning_tokens=said.usage.reasoning_tokens if said else None,
        cost_nusd=call.cost_nusd,
    )
    bodies = queries.bodies(call.id)
    if bodies is None:
        tally.note("calls whose bodies are not kept: `keep_bodies = true` in their task keeps them")
        return told
    try:
        request = asked(msgspec.json.decode(bodies.request, type=dict))
        reply = answered(msgspec.json.decode(bodies.answer)) if bodies.answer.strip() else {"answer": ""}
    except (msgspec.DecodeError, BadRequest):
        redacted = REDACTED in bodies.request
        tally.note(
            f"calls whose bodies cannot be read{', for what was redacted in them' if redacted else ''}"
        )
        return told
    said_fields = ("messages", "tools", "schema")
    return msgspec.structs.replace(
        told,
        **{name: request[name] for name in said_fields},
        answer=reply.get("answer") or "",
        calls_tools=bool(reply.get("calls_tools")),
    )
