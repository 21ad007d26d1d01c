"""Recorded calls, decided again by two releases: which of them would begin elsewhere, and what that is expected to cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec

from smallfirst.answering.decide import decide
from smallfirst.answering.shots import Finder
from smallfirst.classify.example_index import ExampleIndex
from smallfirst.errors import BadRequest
from smallfirst.ledger.records import REDACTED, Call
from smallfirst.models import Catalogue
from smallfirst.releases.policy import Policy
from smallfirst.routing.judgement import Router
from smallfirst.wire.incoming import Incoming, Route

_ROUTES: dict[str, Route] = {"chat": "chat", "messages": "messages"}
_EXAMPLES = 8
_SHOWN_CHARS = 160

Cost = Callable[[str, str, int], int | None]
"""What an answer is expected to cost in nano-dollars: of a task, by a model, to a prompt of so many bytes; None where that is not known."""


class Way(msgspec.Struct, frozen=True):
    """How one release decides: its policies and routers by task, and the examples that its rungs show, by hash."""

    policies: Mapping[str, Policy]
    routers: Mapping[str, Router]
    indexes: Mapping[str, ExampleIndex] = {}


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A call that would be decided differently: the models it would be put to, in order, and its last user message."""

    call: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    text: str


class Redecided(msgspec.Struct, frozen=True, kw_only=True):
    """One task's recorded calls. Costs are of the model that each call begins at, over `priced` calls, where both are known.

    `left_out` says how many calls could not be decided again, by why. `moves` counts, for calls that begin elsewhere, from which model to which.
    """

    task: str
    calls: int
    different: int
    moves: dict[str, int]
    priced: int
    before_nusd: int
    after_nusd: int
    left_out: dict[str, int]
    examples: tuple[Example, ...]


async def redecided(
    task: str,
    recorded: Iterable[tuple[Call, bytes | None]],
    before: Way,
    after: Way,
    *,
    catalogue: Catalogue,
    cost: Cost,
) -> Redecided:
    """The recorded calls of a task, with their requests where they were kept, decided by both. Nothing is sent.

    Every model counts as ready. Conversations keep no place: each call is decided as if it were the first of its own.
    """
    left_out: Counter[str] = Counter()
    moves: Counter[str] = Counter()
    examples: list[Example] = []
    calls = different = priced = before_nusd = after_nusd = 0
    for call, request in recorded:
        incoming = _read(call, request)
        why = incoming if isinstance(incoming, str) else _unfit(task, before) or _unfit(task, after)
        if why or isinstance(incoming, str):
            left_out[why] += 1
            continue
        calls += 1
        one, other = [await _asked(call, task, incoming, way, catalogue) for way in (before, after)]
        costs = [cost(task, asked[0], len(incoming.data)) for asked in (one, other)]
        if costs[0] is not None and costs[1] is not None:
            priced, before_nusd, after_nusd = priced + 1, before_nusd + costs[0], after_nusd + costs[1]
        if one != other:
            different += 1
            moves[f"{one[0]} → {other[0]}"] += one[0] != other[0]
            examples.append(Example(call=call.id, before=one, after=other, text=_said(incoming)))
    return Redecided(
        task=task,
        calls=calls,
        different=different,
        moves={way: count for way, count in moves.most_common() if count},
        priced=priced,
        before_nusd=before_nusd,
        after_nusd=after_nusd,
        left_out=dict(left_out),
        examples=tuple(examples[:_EXAMPLES]),
    )


def _unfit(task: str, way: Way) -> str:
    """Why a release cannot decide without asking anybody; empty where it can."""
    router = way.routers.get(task)
    return "its router asks a model" if router is not None and router.asks else ""


async def _asked(
    call: Call, task: str, incoming: Incoming, way: Way, catalogue: Catalogue
) -> tuple[str, ...]:
    """The models that the call would be put to, in order."""
    policy = way.policies[task]
    finder = Finder(way.indexes, call.tenant)
    decision = await decide(policy, incoming, catalogue, router=way.routers.get(task), finder=finder)
    return tuple(policy.ladder[rung].model for rung in decision.asked)


def _read(call: Call, request: bytes | None) -> Incoming | str:
    """The request as it came, or why there is none."""
    if request is None:
        return "its body was not kept"
    if len(request) != call.prompt_bytes or REDACTED in request:
        return "its body was not kept as it came"
    try:
        return Incoming(_ROUTES[call.route], request)
    except (BadRequest, KeyError):
        return "its body cannot be read"


def _said(incoming: Incoming) -> str:
    asked = [turn.text for turn in incoming.conversation.turns if turn.role == "user"]
    return asked[-1][:_SHOWN_CHARS] if asked else ""
