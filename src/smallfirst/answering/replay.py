"""A recorded decision, made again: from the request where it was kept, else from the numbers that the router gave then."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.answering.decide import unwise
from smallfirst.answering.shots import Finder, Looked, Shots
from smallfirst.errors import BadRequest, ReleaseError
from smallfirst.ledger.records import REDACTED, Call
from smallfirst.models import Catalogue
from smallfirst.releases.policy import Policy
from smallfirst.routing.conversations import IN_A_LOOP
from smallfirst.routing.judgement import Judgement, Router
from smallfirst.routing.reading import read_prompt
from smallfirst.wire.incoming import Incoming, Route

_ROUTES: dict[str, Route] = {"chat": "chat", "messages": "messages"}


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """`stored` and `replayed` are the judgements; `steps` what the router's rule says of each rung now, beside what was said then. `same`:
    to the bit.

    `source` is "request" or "numbers".
    """

    source: str
    stored: Judgement
    replayed: Judgement
    steps: tuple[tuple[str, str], ...]
    same: bool


def replay(call: Call, policy: Policy, router: Router, request: bytes | None) -> Replay:
    """The call's decision by the policy that made it. Raises `ReleaseError` where the call was not decided by this router."""
    decision: dict[str, Any] = call.decision
    if "judgement" not in decision or policy.router is None:
        raise ReleaseError(
            f"call {call.id[:12]} was not decided by a router: {decision.get('by', 'it was answered directly')}"
        )
    if decision.get("router") != router.sha256[:12]:
        raise ReleaseError(
            f"call {call.id[:12]} was decided by router {decision.get('router')}, and the release has {router.sha256[:12]}"
        )
    stored = msgspec.convert(decision["judgement"], Judgement)
    replayed, source = stored, "numbers"
    prompt = _prompt(call, policy, request)
    if prompt is not None and stored.has_figures:  # without figures the router has not judged
        replayed, source = router.judge_again(prompt, stored), "request"
    skipped: dict[str, str] = decision.get("skipped", {})
    last = len(policy.ladder) - 1
    trusts = bool(decision.get("trusted"))
    steps = tuple(
        (
            skipped.get(str(rung), ""),
            unwise(rung, replayed, policy.router.thresholds, trusts_unknown=trusts) if rung < last else "",
        )
        for rung in range(last + 1)
    )
    return Replay(
        source=source,
        stored=stored,
        replayed=replayed,
        steps=steps,
        same=msgspec.json.encode(stored) == msgspec.json.encode(replayed)
        and all(_agree(then, now, decision.get("place", "")) for then, now in steps),
    )


class ShotsAgain(msgspec.Struct, frozen=True, kw_only=True):
    """The examples that a rung was shown `then`, and those that it would be shown `now`: ids and cosines, in the order of the prompt. `now` is
    None where the request was not kept as it came. One that was erased since is not there now.
    """

    rung: int
    then: tuple[tuple[str, float], ...]
    now: tuple[tuple[str, float], ...] | None

    @property
    def same(self) -> bool:
        return self.then == self.now


async def shots_again(
    call: Call, policy: Policy, finder: Finder, request: bytes | None, catalogue: Catalogue
) -> list[ShotsAgain]:
    """The examples of a call's rungs, looked up again by the policy that made its decision."""
    told: dict[str, Any] = call.decision.get("shots", {})
    incoming = _incoming(call, request)
    looked = Looked()
    if incoming is not None:
        looked = await finder.look(policy, incoming, catalogue, map(int, told))
    return [
        ShotsAgain(
            rung=int(rung),
            then=tuple((name, near) for name, near in was["shown"]),
            now=None if incoming is None else _shown(looked.shots.get(int(rung))),
        )
        for rung, was in told.items()
    ]


def _shown(shots: Shots | None) -> tuple[tuple[str, float], ...]:
    return () if shots is None else tuple((one.id, one.similarity) for one in shots.shown)


def _agree(then: str, now: str, place: str) -> bool:
    """Whether the router's rule says what was done. It was not asked where a rung was skipped for another reason, or where a tool loop held it."""
    return then == now or bool(then) or place == IN_A_LOOP


def _incoming(call: Call, request: bytes | None) -> Incoming | None:
    """The request; None where it was not kept as it came (a redacted one is another text)."""
    if request is None or len(request) != call.prompt_bytes or REDACTED in request:
        return None
    try:
        return Incoming(_ROUTES[call.route], request)
    except (BadRequest, KeyError):
        return None


def _prompt(call: Call, policy: Policy, request: bytes | None) -> Any:
    """What the router saw; None where the request was not kept as it came."""
    options, incoming = policy.router, _incoming(call, request)
    if options is None or incoming is None:
        return None
    return read_prompt(incoming.conversation, after=options.question_after, before=options.question_before)
