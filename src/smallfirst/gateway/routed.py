"""What the gateway adds to a decision: where the conversation stands, and what the tenant's traffic has been like."""

from __future__ import annotations

import msgspec

from smallfirst.answering.asker import Asker
from smallfirst.answering.decide import Decision, decide
from smallfirst.gateway import headers
from smallfirst.gateway.account import CallAccount
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.hand import CallInHand
from smallfirst.pricing import Price
from smallfirst.routing.conversations import Keys, Place, conversation_keys
from smallfirst.wire.incoming import Incoming


class Decided(msgspec.Struct, frozen=True):
    """A decision, and under what the conversation is known that it was made for; None where it has no place to keep."""

    decision: Decision
    keys: Keys | None = None


async def place_and_decide(
    call: CallInHand, chosen: Chosen, incoming: Incoming, account: CallAccount
) -> Decided:
    """The decision for a call of a task, its conversation's place kept. `account` pays where the router asks a model."""
    running, policy = call.running, chosen.policy
    finder = running.answerer.finder(call.draft.tenant)
    if len(policy.ladder) < 2:
        decision = await decide(policy, incoming, running.answerer.catalogue, finder=finder)
        call.draft.outside_bound = decision.outside_bound
        return Decided(decision)
    keys = _keys(call, chosen, incoming)
    router, options = chosen.router, policy.router
    may_be_unknown = options is None or running.watch.may_be_unknown(
        call.draft.tenant, policy.task, options.unknown_share
    )
    decision = await decide(
        policy,
        incoming,
        running.answerer.catalogue,
        router=router,
        place=_place(call, chosen, incoming, keys),
        trusts_unknown=not may_be_unknown,
        ask=_asker(call, chosen, account),
        finder=finder,
    )
    call.draft.outside_bound = decision.outside_bound or (options is not None and not options.bound.kept)
    return Decided(decision, keys)


def note_answer(call: CallInHand, chosen: Chosen, incoming: Incoming, decided: Decided) -> None:
    """Remembers where the conversation stands now, and what the answer says of the tenant's traffic."""
    if decided.keys is None:
        return
    call.running.watch.routed(call.draft.tenant, chosen.policy, decided.decision, call.draft.rung)
    call.running.conversations.remember(decided.keys, call.draft.rung, prompt_bytes=len(incoming.data))


def _asker(call: CallInHand, chosen: Chosen, account: CallAccount) -> Asker | None:
    """Who puts the router's question to its model; None where the router asks nobody."""
    options = chosen.policy.router
    if chosen.router is None or options is None or not chosen.router.asks:
        return None
    return Asker(
        call.running.answerer,
        task=chosen.policy.task,
        account=account,
        clock=call.clock,
        timeout_s=options.timeout_s,
    )


def _place(call: CallInHand, chosen: Chosen, incoming: Incoming, keys: Keys) -> Place | None:
    """The conversation's place. One that is not sticky is held inside tool loops all the same."""
    if len(incoming.conversation.turns) < 2:
        return None

    def price(rung: int) -> Price | None:
        model = call.running.answerer.catalogue.get(chosen.policy.ladder[rung].model)
        return model.price(call.running.prices, call.clock.today)

    place = call.running.conversations.place(
        keys,
        incoming.conversation,
        prompt_bytes=len(incoming.data),
        prices=price,
        frontier=len(chosen.policy.ladder) - 1,
    )
    return place if place is None or place.loop or chosen.sticky else None


def _keys(call: CallInHand, chosen: Chosen, incoming: Incoming) -> Keys:
    """The conversation as this policy knows it: rungs are numbers of a ladder, so that another policy's say nothing."""
    return conversation_keys(
        call.draft.tenant,
        f"{chosen.policy.task}\x00{chosen.policy_hash}",
        call.client.header(headers.CONVERSATION),
        incoming.conversation,
    )
