"""Which rungs of its task's ladder a call is put to, in order, and why the others are not asked.

A rung is skipped when it could not do the call: it is not ready or full, its context is too short, it has no tools where tools are offered, several
choices are wanted, it shows examples and there are none for the call, or the call is outside the share that the policy lets begin there. Where the
policy has a router, a rung is also skipped when the frontier is expected to gain more over it than its threshold allows, and all are when the call is
unlike what was learned from. A conversation that has a place (`Place`) keeps to it. The last rung is never skipped.

A router that fails costs a call nothing but its cheaper rungs: it goes to the frontier, and its record says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib

import msgspec

from smallfirst.answering.shots import NO_FINDER, NOTHING_LOOKED_UP, Finder, Shots
from smallfirst.classify.once import one_call
from smallfirst.errors import CallError
from smallfirst.models import Catalogue
from smallfirst.models.model import Model
from smallfirst.releases.policy import Policy, RouterPolicy, RungPolicy
from smallfirst.routing.conversations import Place
from smallfirst.routing.judgement import Ask, Judgement, Router, nothing_known
from smallfirst.routing.reading import read_prompt
from smallfirst.routing.thresholds import NEVER, Thresholds
from smallfirst.wire.incoming import Incoming

_log = logging.getLogger(__name__)
_BYTES_PER_TOKEN = 3  # on the low side for text, so that a context is not overrun
_NEVER_ASKED = "the release never asks it"
_NOTHING_TO_SHARE = contextlib.nullcontext()


class Step(msgspec.Struct, frozen=True):
    """One rung: asked, or skipped for the reason given."""

    rung: int
    model: str
    skipped: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen for one call, and why. `router` and `judgement` are there where the policy has learned to choose."""

    task: str
    steps: tuple[Step, ...]
    router: Router | None = None
    judgement: Judgement | None = None
    place: str = ""  # why a conversation keeps to its model; empty where it need not
    outside_bound: bool = False  # the thresholds alone would have sent it higher
    trusted: bool = False  # decided by figures although it is unlike what they were learned from
    shots: dict[int, Shots] = {}  # the examples that a rung is shown, by rung
    unshown: str = ""  # why the last rung, which shows examples, has none for this call
    frontier: bool = True  # whether the last rung is a frontier model: one asked by its name need not be

    @property
    def shows(self) -> bool:
        """Whether a rung that may be asked shows examples, or should."""
        return bool(self.shots or self.unshown)

    @property
    def asked(self) -> list[int]:
        return [step.rung for step in self.steps if not step.skipped]

    def record(self) -> dict[str, object]:
        """As the ledger keeps it: where the climb began, what was passed over, and the numbers from which it follows."""
        record: dict[str, object] = {
            "begin": self.asked[0],
            "skipped": {str(step.rung): step.skipped for step in self.steps if step.skipped},
        }
        if self.place:
            record["place"] = self.place
        if self.trusted:
            record["trusted"] = True
        if self.shots:
            record["shots"] = {str(rung): shots.record() for rung, shots in self.shots.items()}
        if self.unshown:
            record["unshown"] = self.unshown
        if self.judgement is not None and self.router is not None:
            record |= {"router": self.router.sha256[:12], "judgement": msgspec.to_builtins(self.judgement)}
        return record


async def decide(
    policy: Policy,
    incoming: Incoming,
    catalogue: Catalogue,
    *,
    router: Router | None = None,
    place: Place | None = None,
    trusts_unknown: bool = False,
    ask: Ask | None = None,
    finder: Finder = NO_FINDER,
) -> Decision:
    """The steps of a call, cheapest first. Depends on the policy, the request, the state of the endpoints, the conversation's place and, where the
    router asks a model, on what `ask` brings back; where rungs show examples, on those that `finder` finds.

    `trusts_unknown`: a call that is unlike anything seen is decided by the router's figures all the same, outside the quality bound.
    """
    last = len(policy.ladder) - 1
    reasons = _reasons(policy, incoming, catalogue, place)
    judgement = None
    if router is not None and policy.router is not None and router.asks:
        # What no rating could change is settled first: a question costs money and time.
        reasons = [reason or _never(policy, place, index) for index, reason in enumerate(reasons)]
    open_below = not all(reasons[:last])
    trusted = held = False
    showing = [index for index, rung in enumerate(policy.ladder) if rung.retrieve is not None]
    looked = NOTHING_LOOKED_UP
    with one_call() if showing else _NOTHING_TO_SHARE:
        if router is not None and policy.router is not None and (open_below or not router.asks):
            judgement = await _judged(policy.router, router, incoming, ask=ask, anyway=trusts_unknown)
            trusted = trusts_unknown and bool(judgement.unknown) and judgement.has_figures
            held = _pass_over(reasons, judgement, policy.router, place, trusts_unknown=trusts_unknown)
        if showing:
            wanted = [index for index in showing if not reasons[index]]
            looked = await finder.look(policy, incoming, catalogue, wanted)
    unshown = looked.none.get(last, "")
    for index, why in looked.none.items():
        if index != last:
            reasons[index] = why
    steps = tuple(
        Step(index, rung.model, reason)
        for index, (rung, reason) in enumerate(zip(policy.ladder, reasons, strict=True))
    )
    return Decision(
        task=policy.task,
        steps=steps,
        router=router if judgement is not None else None,
        judgement=judgement,
        place=place.why if place else "",
        outside_bound=trusted or held or bool(unshown),
        trusted=trusted,
        shots=looked.shots,
        unshown=unshown,
    )


def _reasons(policy: Policy, incoming: Incoming, catalogue: Catalogue, place: Place | None) -> list[str]:
    """Why each rung is not asked, whatever it would answer; empty where it may be."""
    last = len(policy.ladder) - 1
    return [
        ""
        if index == last
        else why_not(rung, catalogue.get(rung.model), incoming, begun=_loops_on(place, index))
        or _held(place, index)
        for index, rung in enumerate(policy.ladder)
    ]


def _never(policy: Policy, place: Place | None, rung: int) -> str:
    """Why this rung is not asked whatever a router says; empty if it may be."""
    if policy.router is None or rung == len(policy.ladder) - 1 or _loops_on(place, rung):
        return ""
    return _NEVER_ASKED if policy.router.thresholds.ask[rung] <= NEVER else ""


async def _judged(
    options: RouterPolicy, router: Router, incoming: Incoming, *, ask: Ask | None, anyway: bool
) -> Judgement:
    # Who is asked has the same time, and says itself that it is over; an embedder behind an endpoint is left.
    left_s = None if router.asks else options.timeout_s
    try:
        prompt = read_prompt(
            incoming.conversation, after=options.question_after, before=options.question_before
        )
        async with asyncio.timeout(left_s):
            return await router.judge(prompt, ask, anyway=anyway)
    except Exception as fault:  # a boundary: whatever an embedder's library raises, the frontier is asked
        return nothing_known(len(router.ladder), router_failed(router, fault))


def router_failed(router: Router, fault: Exception) -> str:
    """What a record says of a router's fault. The log has more, and the whole of what is not an endpoint's."""
    known = isinstance(fault, (CallError, TimeoutError))
    told = str(fault) or "no answer in time"
    _log.error("router %s failed: %s", router.sha256[:12], told, exc_info=None if known else fault)
    return f"router failed ({type(fault).__name__})"


def _pass_over(
    reasons: list[str],
    judgement: Judgement,
    options: RouterPolicy,
    place: Place | None,
    *,
    trusts_unknown: bool,
) -> bool:
    """Adds the router's reasons to those that are there; returns whether a rung is asked against one, since it is inside a tool loop."""
    held = False
    for index in range(len(reasons) - 1):
        if reasons[index]:
            continue
        why = unwise(index, judgement, options.thresholds, trusts_unknown=trusts_unknown)
        if _loops_on(place, index):
            held = bool(why)
        else:
            reasons[index] = why
    return held


def _held(place: Place | None, rung: int) -> str:
    """Why a conversation that stands higher does not go down to this rung."""
    return place.why if place is not None and rung < place.rung else ""


def unwise(rung: int, judgement: Judgement, thresholds: Thresholds, *, trusts_unknown: bool = False) -> str:
    """Why the router does not put a call to this rung; empty if it does."""
    if judgement.unknown and not (trusts_unknown and judgement.has_figures):
        return judgement.unknown
    if thresholds.asks(rung, judgement.uplift):
        return ""
    if thresholds.ask[rung] <= NEVER:
        return _NEVER_ASKED
    return (
        f"the frontier is expected to gain {judgement.uplift[rung]:.3f}, more than {thresholds.ask[rung]:.3f}"
    )


def _loops_on(place: Place | None, rung: int) -> bool:
    """Whether this rung has begun the tool loop that the call is inside of."""
    return place is not None and place.loop and rung == place.rung


def why_not(rung: RungPolicy, model: Model, incoming: Incoming, *, begun: bool = False) -> str:
    """Why this rung is not asked; empty if it is. `begun`: it is in the middle of something, so that its sample was drawn already."""
    if rung.sample < 1 and not begun and draw(incoming) >= rung.sample:
        return f"outside the sample of {rung.sample:.1%}"
    if model.stopped:
        return "stopped by an operator"
    body = incoming.body
    if body.tools_count and not model.tools:
        return "tools are offered, the model has none"
    if body.choices > 1:
        return "several choices are wanted"
    if model.context_tokens is not None:
        needed = len(incoming.data) // _BYTES_PER_TOKEN + (body.max_output_tokens or rung.max_tokens or 0)
        if needed > model.context_tokens:
            return f"about {needed} tokens, more than its context of {model.context_tokens}"
    if not model.reached(rung).usable:
        return "not ready, or its circuit breaker is open"
    if model.full:
        return f"{model.in_flight} calls in flight, as many as it takes"
    return ""


def draw(incoming: Incoming) -> float:
    """A number in [0, 1) that is the same for the same request: a call that is asked again begins at the same rung."""
    return zlib.crc32(incoming.data) / 2**32
