"""A release behind a channel: its policies by task, ready to answer, and which calls are a canary's.

What is live answers every task. A canary answers, of the tasks whose policy it changes, the share of conversations that its stage says, for as long
as its lease runs: each call looks at the clock, so that a canary whose controller is gone ends without anybody's help.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from smallfirst.answering.check import compile_check
from smallfirst.config.schema import Config
from smallfirst.gateway.chosen import Chosen
from smallfirst.releases import BASELINE, Canary, Policy, Serving, Shadow, baseline
from smallfirst.releases.verdicts import ANY_MODEL
from smallfirst.routing.conversations import conversation_keys
from smallfirst.routing.intent import IntentClassifier
from smallfirst.routing.judgement import Router
from smallfirst.wire.incoming import Incoming


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What the channels hold, loaded."""

    live: Serving
    canary: tuple[Serving, Canary] | None = None
    shadow: tuple[Serving, Shadow] | None = None


class Opened(msgspec.Struct, frozen=True):
    """What was loaded of a release beside its policies: routers by task, and the classifier that takes calls for tasks."""

    routers: Mapping[str, Router]
    intents: IntentClassifier | None = None


class Channel:
    """Policies by task. Immutable, but that tasks whose evidence lapses go to their frontier from then on."""

    def __init__(self, name: str, serving: Serving, opened: Opened, config: Config) -> None:
        self.name = name
        self.serving = serving
        self.routers = opened.routers
        self.intents = opened.intents
        self.lapsed: dict[str, str] = {}  # why, by task
        self._frontier = {
            task: Chosen(policy, "baseline", release=BASELINE, policy_hash=policy.hash, channel=name)
            for task, policy in baseline(config).policies.items()
        }
        self.policies = dict(self._frontier)  # a task that the release does not know goes to the frontier
        for task, policy in serving.policies.items():
            compile_check(policy.contract)  # a bad schema is found now, not in a call
            self.policies[task] = Chosen(
                policy,
                "header",
                release=serving.id,
                policy_hash=serving.hashes[task],
                unproven=bool(serving.unproven),
                router=opened.routers.get(task),
                channel=name,
            )
        for model, lapse in (serving.proof.lapsed if serving.proof else {}).items():
            self.lapse(model, lapse.reason)

    def lapse(self, model: str, reason: str) -> list[str]:
        """Sends every task that asks this model to its frontier, and returns those that did not go there already."""
        fresh = [
            task
            for task, policy in self.serving.policies.items()
            if task not in self.lapsed and (model == ANY_MODEL or model in policy.models)
        ]
        self.stand_down(dict.fromkeys(fresh, reason))
        return fresh

    def stand_down(self, reasons: Mapping[str, str]) -> None:
        """These tasks go to their frontier from now on, for the reasons given."""
        for task, reason in reasons.items():
            self.lapsed[task] = reason
            self._leave(task, reason)

    def _leave(self, task: str, reason: str) -> None:
        self.policies[task] = msgspec.structs.replace(self._frontier[task], lapsed=reason)


class CanaryChannel(Channel):
    """The policies that a canary changes. `state` follows the file: its stage and its lease."""

    def __init__(
        self, serving: Serving, state: Canary, opened: Opened, config: Config, live: Serving
    ) -> None:
        super().__init__("canary", serving, opened, config)
        self.state = state
        for task in list(self.policies):
            if task not in serving.hashes or serving.hashes[task] == live.hashes.get(task):
                del self.policies[task]  # answered alike, or not at all: these are live's

    @property
    def share(self) -> float:
        """The share of conversations that it answers now; 0 once its lease is over."""
        return self.state.share if time.time() * 1000 < self.state.lease_until_ms else 0.0

    def draws(self, tenant: str, conversation: str, incoming: Incoming) -> bool:
        """Whether this conversation is the canary's: always the same while the canary runs, and whoever is in stays in as its share grows."""
        share = self.share
        return share > 0 and draw(self.state.began_ms, tenant, conversation, incoming) < share

    def _leave(self, task: str, reason: str) -> None:
        self.policies.pop(task, None)  # live answers it


class ShadowServing(msgspec.Struct, frozen=True, kw_only=True):
    """A release whose answers nobody gets: what is needed to make them."""

    release: str
    share: float
    policies: Mapping[str, Policy]
    hashes: Mapping[str, str]
    routers: Mapping[str, Router]


def draw(began_ms: int, tenant: str, conversation: str, incoming: Incoming) -> float:
    """A number in [0, 1) of a tenant's conversation: by the client's name for it, else by what it began with. Another canary draws anew."""
    begin = conversation_keys(tenant, "", conversation, incoming.conversation).begin
    digest = blake2b(begin, digest_size=8, salt=began_ms.to_bytes(16, "big")).digest()
    return int.from_bytes(digest, "big") / 2**64
