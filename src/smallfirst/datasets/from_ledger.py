"""Examples from the ledger: calls whose bodies were kept, with the corrected answer as reference, else the frontier's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from smallfirst.datasets.exchange import read_answer, read_request
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import BadRequest, DatasetError
from smallfirst.ledger.queries import Filter, Queries, StoredOutcome
from smallfirst.ledger.records import REDACTED, Call

_PAGE = 500
_CALLED_WRONG = 0.5  # a person's score below this says that the answer was none
_CHAT = ("chat", "messages")
DecisionKind = Literal["", "small", "frontier", "climbed"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls. `outcome`: only those of which an outcome of this kind was told; `decision`: by which rung they were answered."""

    task: str
    tenant: str | None = None
    model: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    outcome: str = ""
    decision: DecisionKind = ""


def read_calls(queries: Queries, wanted: Wanted, tally: Tally, *, unanswered: bool = False) -> Iterator[Row]:
    """The calls of clients that fit, in the order in which they were recorded; why the others are no examples is counted.

    `unanswered`: instead those that have no answer to learn from, as rows without a reference. Raises `DatasetError` where no call fits.
    """
    calls = Filter(
        task=wanted.task,
        tenant=wanted.tenant,
        model=wanted.model,
        origin="client",
        since_ms=wanted.since_ms,
        until_ms=wanted.until_ms,
    )
    last = 0
    while page := queries.tail(last, calls, limit=_PAGE):
        last = page[-1].n
        for listed in page:
            row = _row(queries, listed.call, wanted, tally, unanswered=unanswered)
            if row is not None:
                yield row
    if not last:
        raise DatasetError(f"no recorded call of task {wanted.task!r} fits")


def _row(queries: Queries, call: Call, wanted: Wanted, tally: Tally, *, unanswered: bool) -> Row | None:
    if call.route not in _CHAT or call.status not in ("ok", "error"):
        tally.skip(
            "calls that were not answered" if call.route in _CHAT else "calls of routes without messages"
        )
        return None
    bodies = queries.bodies(call.id)
    if bodies is None:
        tally.skip("calls whose bodies are not kept")
        return None
    whole = queries.call(call.id)
    outcomes = queries.latest_outcomes(call.id)
    if wanted.outcome and not any(outcome.kind == wanted.outcome for outcome in outcomes):
        tally.skip(f"calls without an outcome of kind {wanted.outcome}")
        return None
    if wanted.decision and not _decided(whole, wanted.decision):
        tally.skip("calls that were decided otherwise")
        return None
    try:
        asked = read_request(msgspec.json.decode(bodies.request))
    except (msgspec.DecodeError, BadRequest):
        # What a task redacts is replaced in the JSON as it is written: a greedy pattern can break it.
        redacted = REDACTED in bodies.request
        tally.skip(f"calls whose request cannot be read{', for what was redacted in it' if redacted else ''}")
        return None
    told = _reference(queries, whole, outcomes, bodies.answer)
    if unanswered:
        told = {} if isinstance(told, str) else "calls that have an answer to learn from already"
    if isinstance(told, str):
        tally.skip(told)
        return None
    return Row(
        messages=asked.messages,
        tools=asked.tools,
        where=f"call {call.id}",
        source="ledger",
        id=call.id,
        call=call.id,
        keys=(f"conversation:{call.tenant}:{call.conversation}",) if call.conversation else (),
        tenant=call.tenant,
        at_ms=call.at_ms,
        slices=_slices(whole),
        trainable=call.trainable,
        **told,
    )


def _reference(
    queries: Queries, call: Call, outcomes: list[StoredOutcome], answer: bytes
) -> dict[str, Any] | str:
    """The fields of a row that hold the reference, or why there is none."""
    corrected = next((outcome for outcome in outcomes if outcome.kind == "label"), None)
    if corrected is not None:
        return {"reference": corrected.value, "reference_by": "correction"}
    said = _frontier_attempt(call) if call.status == "ok" else None
    if said is not None:
        if any(_called_wrong(outcome) for outcome in outcomes):
            return "calls whose frontier answer was called wrong, without a correction"
        return _answered(said, answer)
    for again in queries.answered_again(call.id):
        said = _frontier_attempt(again) if again.status == "ok" else None
        kept = queries.bodies(again.id) if said is not None else None
        if said is not None and kept is not None:
            found = _answered(said, kept.answer)
            return found if isinstance(found, str) else found | {"said": again.id}
    if call.from_cache:
        return "calls that the cache answered: the call that was answered so first is the example"
    return "calls that a small model answered, with no correction and no frontier's answer to compare"


def _answered(said: tuple[str, str], answer: bytes) -> dict[str, Any] | str:
    model, provider = said
    try:
        text, why = read_answer(msgspec.json.decode(answer))
    except msgspec.DecodeError:
        text, why = "", "calls whose answer cannot be read"
    return why or {
        "reference": UNSET,
        "answer": text,
        "reference_by": f"model:{model}",
        "provider": provider,
    }


def _frontier_attempt(call: Call) -> tuple[str, str] | None:
    """Model and provider of the attempt that answered, where that was the frontier."""
    ended = [attempt for attempt in call.attempts if attempt.kind != "route"]
    last = ended[-1] if ended else None
    return (last.model, last.provider) if last is not None and last.frontier and last.status == "ok" else None


def _called_wrong(outcome: StoredOutcome) -> bool:
    """Whether a person has said that the answer was not right. What models and scorers say of other models' answers is none of it."""
    value = outcome.value
    if outcome.kind == "thumbs":
        return value in (False, 0, -1, "down")
    return outcome.kind == "score" and isinstance(value, int | float) and value < _CALLED_WRONG


def _decided(call: Call, kind: DecisionKind) -> bool:
    frontier = _frontier_attempt(call) is not None
    rungs = {attempt.rung for attempt in call.attempts if attempt.kind != "route"}
    return {"small": not frontier, "frontier": frontier, "climbed": len(rungs) > 1}.get(kind, True)


def _slices(call: Call) -> dict[str, str]:
    """What the router took the call for, where it said so."""
    judgement = call.decision.get("judgement")
    intent = judgement.get("intent") if isinstance(judgement, dict) else None
    return {"intent": intent} if isinstance(intent, str) and intent else {}
