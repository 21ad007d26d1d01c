"""All that a configuration makes of a gateway: built and validated beside the one that runs, then swapped whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

from smallfirst.answering.climb import Answerer
from smallfirst.answering.decide import Decision, Step
from smallfirst.answering.opened import open_examples, open_policy
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.example_index import ExampleIndex
from smallfirst.config.rates import RateLimits
from smallfirst.config.routing import auto_names, unclassified_model
from smallfirst.config.schema import Config, Key
from smallfirst.config.secrets import resolve
from smallfirst.contracts import TextContract
from smallfirst.errors import BadRequest, UnknownModel
from smallfirst.gateway.budget import Budgets, Limit
from smallfirst.gateway.budget.configured import (
    gateway_limits,
    key_limits,
    stored_limits,
    task_limits,
    tenant_limits,
)
from smallfirst.gateway.budget.webhook import Webhooks
from smallfirst.gateway.channel import CanaryChannel, Channel, Opened, Served, ShadowServing
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.history import History
from smallfirst.gateway.identity import LOCAL_TENANT, Caller, Identity
from smallfirst.gateway.rates.configured import ConfiguredRates, caller_limits
from smallfirst.gateway.rates.rates import Rates, ScopeLimits
from smallfirst.gateway.stops import Stops
from smallfirst.gateway.watch import Watch
from smallfirst.ledger import Ledger
from smallfirst.ledger.keys import StoredKey, hash_key
from smallfirst.models import Catalogue
from smallfirst.models.catalogue import TASK_PREFIX
from smallfirst.models.embedded import EmbeddedModels
from smallfirst.models.embeddings_http import embedder_of
from smallfirst.models.heads import Heads
from smallfirst.models.label_head import HeadServer
from smallfirst.models.model import Model
from smallfirst.models.transport import Transport
from smallfirst.pricing import PriceBook
from smallfirst.releases import Canary, Policy, RungPolicy, Serving, weights_path
from smallfirst.routing.conversations import Conversations
from smallfirst.routing.intent import IntentClassifier, load_intents
from smallfirst.routing.judgement import Router
from smallfirst.wire.incoming import Incoming


class Shared(msgspec.Struct, frozen=True):
    """What outlives a reload."""

    state: Path
    ledger: Ledger
    transport: Transport
    embedded: EmbeddedModels
    heads: Heads
    head_server: HeadServer
    environ: Mapping[str, str]
    budgets: Budgets
    webhooks: Webhooks
    rates: Rates
    stops: Stops
    history: History
    conversations: Conversations
    watch: Watch


class Loaded(msgspec.Struct):
    """Weights by hash, which what comes next need not load again."""

    routers: dict[str, Router] = {}
    intents: dict[str, IntentClassifier] = {}
    examples: dict[str, ExampleIndex] = {}


class Running:
    """One configuration and its channels at work, `before` the one that it takes over from.

    Immutable after it is built, but for its keys, which follow the ledger, the canary's stage and lease, which follow `channels.json`, and evidence
    that lapses.
    """

    def __init__(
        self, config: Config, served: Served, shared: Shared, *, before: Running | None = None
    ) -> None:
        self.config = config
        self.served = served
        self.budgets = shared.budgets
        self.rates = shared.rates
        self.stops = shared.stops
        self.history = shared.history
        self._shared = shared
        self.prices = PriceBook(config)
        catalogue = Catalogue(
            config,
            shared.environ,
            before=before.answerer.catalogue if before else None,
            embedded=shared.embedded.reach,
            heads=shared.head_server,
            stopped=shared.stops.models,
        )
        self.loaded = Loaded()
        self.answerer = Answerer(
            catalogue=catalogue,
            transport=shared.transport,
            prices=self.prices,
            indexes=self.loaded.examples,
        )
        self._declared_keys = [_declared(name, key, config, shared) for name, key in config.keys.items()]
        self.identity = self._identify(shared.ledger.keys.load())
        self.conversations = shared.conversations
        self.watch = shared.watch
        self.live = Channel("live", served.live, self._open(served.live, before), config)
        self.canary = self._canary(before)
        self.shadow = self._shadow(before)
        if before is not None:
            self.keep_lapsed(before)
        self._auto = frozenset(auto_names(config))
        self._gateway_limits = gateway_limits(config)
        self._task_limits = {name: task_limits(name, config) for name in config.tasks}
        self.rate_limits = ConfiguredRates(config)
        self._frontiers = _frontiers(config)
        self._direct = lru_cache(maxsize=1024)(self._asked_by_name)
        self._limits = lru_cache(maxsize=4096)(self._limits_of)
        shared.heads.refresh(config)  # last: what is not built changes nothing

    def reload_keys(self) -> None:
        """Takes up the keys that were made or revoked since."""
        self.identity = self._identify(self._shared.ledger.keys.load())
        self._limits.cache_clear()

    @property
    def serving(self) -> Serving:
        """What is live."""
        return self.served.live

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Those that answer clients."""
        return (self.live,) if self.canary is None else (self.live, self.canary)

    def renew(self, canary: Canary) -> None:
        """The canary that runs is at this stage, and has this lease."""
        if self.canary is not None and self.served.canary is not None:
            self.canary.state = canary
            self.served = msgspec.structs.replace(self.served, canary=(self.served.canary[0], canary))

    def side(self, caller: Caller, conversation: str, incoming: Incoming) -> Channel:
        """The channel of a conversation, which has a `conversation` name where its client gave it one."""
        canary = self.canary
        return (
            canary
            if canary is not None and canary.draws(caller.tenant, conversation, incoming)
            else self.live
        )

    def lapse(self, release: str, model: str, reason: str) -> bool:
        """Takes the tasks that ask this model from that release; whether any were left to it."""
        found = [channel.lapse(model, reason) for channel in self.channels if channel.serving.id == release]
        return any(found)

    def choose(
        self, task_header: str, incoming: Incoming, caller: Caller, *, conversation: str = ""
    ) -> Chosen:
        """The policy of a call: the task named by its header, or by its model `task/NAME`; else the model itself, asked directly.

        Raises `UnknownModel`, `NotAllowed`, `BadRequest`.
        """
        name = self.answerer.catalogue.resolve_alias(incoming.model)
        task, by = task_header, "header"
        if not task and name.startswith(TASK_PREFIX):
            task, by = name.removeprefix(TASK_PREFIX), "model"
        if not task:
            caller.check_model(incoming.model)
            model = self.answerer.catalogue.get(name)
            return self._direct(model)
        if incoming.route not in ("chat", "messages"):
            raise BadRequest(
                f"a task is asked through chat completions or messages, not /{incoming.route}", param="model"
            )
        caller.check_model(TASK_PREFIX + task)
        if task not in self.live.policies:
            known = ", ".join(sorted(self.live.policies)) or "none is configured"
            raise UnknownModel(f"task {task[:128]!r} is not known (tasks: {known})", param="model")
        changes = self.canary is not None and task in self.canary.policies
        side = self.side(caller, conversation, incoming) if changes else self.live
        return self._of(side, task, by)

    def leaves_open(self, incoming: Incoming) -> bool:
        """Whether a call without a header names no task and no model, but leaves it to the intent classifier which task it is."""
        return incoming.model in self._auto

    def take(self, task: str, side: Channel) -> Chosen | None:
        """The policy of a task that a call on this side was taken for; None where there is none."""
        return self._of(side, task, "intent") if task in self.live.policies else None

    def _of(self, side: Channel, task: str, by: str) -> Chosen:
        """The side's policy of a task; where it changes nothing, what is live."""
        found = side.policies.get(task) or self.live.policies[task]
        return msgspec.structs.replace(found, by=by)

    def unclassified(self) -> Chosen:
        """The model that answers what is none of the tasks, asked directly."""
        name = unclassified_model(self.config)
        assert name is not None  # there are tasks, or nothing is left open
        return msgspec.structs.replace(self._direct(self.answerer.catalogue.get(name)), by="unclassified")

    def limits(self, caller: Caller, task: str) -> tuple[Limit, ...]:
        """The budgets that a call of this caller and task spends from."""
        return self._limits(caller, task)

    def all_limits(self) -> tuple[Limit, ...]:
        """Every budget there is, each once."""
        callers = (limit for caller in self.identity.callers for limit in caller.limits)
        tasks = (limit for limits in self._task_limits.values() for limit in limits)
        tenants = (limit for name in self.config.tenants for limit in tenant_limits(name, self.config))
        return tuple(dict.fromkeys((*self._gateway_limits, *tenants, *callers, *tasks)))

    def all_rate_limits(self) -> tuple[ScopeLimits, ...]:
        """Those of every key, tenant and task there is."""
        return self.rate_limits.all(caller.rates for caller in self.identity.callers)

    def _asked_by_name(self, model: Model) -> Chosen:
        """A model that no task's ladder ends with is no frontier model; where nothing says which are, all are."""
        return _direct(model, frontier=not self._frontiers or model.name in self._frontiers)

    def _limits_of(self, caller: Caller, task: str) -> tuple[Limit, ...]:
        return (*caller.limits, *self._task_limits.get(task, ()), *self._gateway_limits)

    def keep_lapsed(self, before: Running) -> None:
        """What has lapsed stays so, also where its file has not been written yet."""
        for channel in self.channels:
            for known in before.channels:
                if channel.serving.same_evidence(known.serving):
                    channel.stand_down(known.lapsed)

    def _canary(self, before: Running | None) -> CanaryChannel | None:
        if self.served.canary is None:
            return None
        serving, state = self.served.canary
        return CanaryChannel(serving, state, self._open(serving, before), self.config, self.served.live)

    def _shadow(self, before: Running | None) -> ShadowServing | None:
        if self.served.shadow is None:
            return None
        serving, state = self.served.shadow
        return ShadowServing(
            release=serving.id,
            share=state.share,
            policies=serving.policies,
            hashes=serving.hashes,
            routers=self._open(serving, before).routers,
        )

    def _open(self, serving: Serving, before: Running | None) -> Opened:
        """The routers and the intent classifier that a release carries; those that were loaded already are kept. Its heads and its examples are
        loaded with them.

        Raises `ReleaseError` where weights are missing or altered, `ConfigError` where an embedder is missing.
        """
        folder, shared = serving.weights, self._shared
        if folder is None:
            return Opened({})

        def embedders(name: str) -> Embedder:
            return embedder_of(name, self.config, shared.environ)

        known = before.loaded if before is not None else Loaded()
        routers: dict[str, Router] = {}
        for task, policy in serving.policies.items():
            had = known.routers.get(policy.router.weights_sha256) if policy.router is not None else None
            router = open_policy(policy, folder, shared.heads, embedders, known=had)
            there = known.examples | self.loaded.examples
            self.loaded.examples.update(open_examples(policy, folder, embedders, known=there))
            if router is not None:
                routers[task] = self.loaded.routers[router.sha256] = router
        if serving.intents is None:
            return Opened(routers)
        intents = known.intents.get(serving.intents)
        if intents is None:
            intents = load_intents(weights_path(folder, serving.intents), embedders)
        self.loaded.intents[intents.sha256] = intents
        return Opened(routers, intents)

    def _identify(self, stored: list[StoredKey]) -> Identity:
        callers = [(key.digest, _stored(key, self.config)) for key in stored]
        return Identity(
            self._shared.ledger.keys.secret,
            [*callers, *self._declared_keys],
            require_key=self.config.server.require_key,
            local=_local(self.config),
        )


def _frontiers(config: Config) -> frozenset[str]:
    """The models that count as frontier models also where they are asked by their names."""
    lasts = [task.ladder[-1] for task in config.tasks.values()]
    named = [rung if isinstance(rung, str) else rung.model for rung in lasts]
    return frozenset([*named, config.frontier] if config.frontier else named)


def _direct(model: Model, *, frontier: bool) -> Chosen:
    """One rung, nothing checked: a model asked for by its name is passed through."""
    rung = RungPolicy(
        model=model.name, provider=model.provider, upstream_id=model.upstream_id, constrained=False
    )
    return Chosen(
        Policy(task="", contract=TextContract(), ladder=(rung,)),
        "direct",
        fixed=Decision(task="", steps=(Step(0, model.name),), frontier=frontier),
    )


def _local(config: Config) -> Caller:
    """Whoever calls without a key: its tenant may be limited as any other."""
    return Caller(
        LOCAL_TENANT,
        LOCAL_TENANT,
        limits=tenant_limits(LOCAL_TENANT, config),
        rates=caller_limits(LOCAL_TENANT, RateLimits(), LOCAL_TENANT, config),
    )


def _declared(name: str, key: Key, config: Config, shared: Shared) -> tuple[bytes, Caller]:
    plaintext = resolve(key.secret, shared.environ, path=f"keys.{name}.secret")
    caller = Caller(
        tenant=key.tenant,
        key=name,
        models=key.models,
        expires=datetime.date.fromisoformat(key.expires) if key.expires else None,
        limits=(*key_limits(name, config), *tenant_limits(key.tenant, config)),
        rates=caller_limits(name, key.limits, key.tenant, config),
    )
    return hash_key(shared.ledger.keys.secret, plaintext), caller


def _stored(key: StoredKey, config: Config) -> Caller:
    rates = RateLimits(requests_per_minute=key.requests_per_minute, tokens_per_minute=key.tokens_per_minute)
    return Caller(
        tenant=key.tenant,
        key=key.name,
        models=key.models,
        expires=key.expires,
        limits=(*stored_limits(key, config), *tenant_limits(key.tenant, config)),
        rates=caller_limits(key.name, rates, key.tenant, config),
    )
