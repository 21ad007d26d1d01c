"""All that a configuration makes of a gateway: built and validated beside the one that runs, then swapped whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from smallfirst.answering.check import compile_check
from smallfirst.answering.climb import Answerer
from smallfirst.answering.decide import Decision, Step
from smallfirst.classify.label_head import load_head
from smallfirst.config.routing import auto_names, unclassified_model
from smallfirst.config.schema import Budget, Config, Key
from smallfirst.config.secrets import resolve
from smallfirst.contracts import TextContract
from smallfirst.errors import BadRequest, UnknownModel
from smallfirst.gateway.budget import FRONTIER, Budgets, Limit, Scope
from smallfirst.gateway.history import History
from smallfirst.gateway.identity import Caller, Identity
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
from smallfirst.money import nusd_from_usd
from smallfirst.pricing import PriceBook
from smallfirst.releases import BASELINE, Policy, RungPolicy, Serving, baseline, weights_path
from smallfirst.routing.conversations import Conversations
from smallfirst.routing.intent import IntentClassifier, load_intents
from smallfirst.routing.judgement import Router
from smallfirst.routing.routers import open_router
from smallfirst.wire.incoming import Incoming


class Chosen(msgspec.Struct, frozen=True):
    """The policy that answers a call, how its task was found, and the release it is from (empty for a model named directly).

    `fixed` is the decision where there is only one to make. `intent` says what the call was taken for, where that had to be found.
    """

    policy: Policy
    by: str
    release: str = ""
    policy_hash: str = ""
    unproven: bool = False
    fixed: Decision | None = None
    router: Router | None = None
    intent: dict[str, object] | None = None

    @property
    def sticky(self) -> bool:
        """Whether conversations keep their model outside tool loops too."""
        return self.policy.router is None or self.policy.router.sticky


class Shared(msgspec.Struct, frozen=True):
    """What outlives a reload."""

    ledger: Ledger
    transport: Transport
    embedded: EmbeddedModels
    heads: Heads
    head_server: HeadServer
    environ: Mapping[str, str]
    budgets: Budgets
    history: History
    conversations: Conversations
    watch: Watch


class Running:
    """One configuration at work. Immutable after it is built, but for its keys, which follow the ledger."""

    def __init__(
        self, config: Config, serving: Serving, shared: Shared, *, before: Running | None = None
    ) -> None:
        self.config = config
        self.serving = serving
        self.budgets = shared.budgets
        self.history = shared.history
        self._shared = shared
        self.prices = PriceBook(config)
        catalogue = Catalogue(
            config,
            shared.environ,
            before=before.answerer.catalogue if before else None,
            embedded=shared.embedded.endpoints,
            embedded_keys=shared.embedded.keys,
            heads=shared.head_server,
        )
        self.answerer = Answerer(catalogue=catalogue, transport=shared.transport, prices=self.prices)
        self._declared_keys = [_declared(name, key, config, shared) for name, key in config.keys.items()]
        self.identity = self._identify(shared.ledger.keys.load())
        self.conversations = shared.conversations
        self.watch = shared.watch
        self.routers = _routers(serving, config, shared, before)
        self._policies = _policies(config, serving, self.routers)
        self.intents = _intents(serving, config, shared, before)
        self._auto = frozenset(auto_names(config))
        self._task_limits = {
            name: _limits(("task", name), task.budget) for name, task in config.tasks.items()
        }
        self._frontiers = _frontiers(config)
        self._direct = lru_cache(maxsize=1024)(self._asked_by_name)
        self._limits = lru_cache(maxsize=4096)(self._limits_of)
        shared.heads.refresh(config)  # last: what is not built changes nothing

    def reload_keys(self) -> None:
        """Takes up the keys that were made or revoked since."""
        self.identity = self._identify(self._shared.ledger.keys.load())
        self._limits.cache_clear()

    def choose(self, task_header: str, incoming: Incoming, caller: Caller) -> Chosen:
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
        policy = self._policies.get(task)
        if policy is None:
            known = ", ".join(sorted(self._policies)) or "none is configured"
            raise UnknownModel(f"task {task[:128]!r} is not known (tasks: {known})", param="model")
        return msgspec.structs.replace(policy, by=by)

    def leaves_open(self, incoming: Incoming) -> bool:
        """Whether a call without a header names no task and no model, but leaves it to the intent classifier which task it is."""
        return incoming.model in self._auto

    def take(self, task: str) -> Chosen | None:
        """The policy of a task that a call was taken for; None where there is none."""
        policy = self._policies.get(task)
        return msgspec.structs.replace(policy, by="intent") if policy else None

    def unclassified(self) -> Chosen:
        """The model that answers what is none of the tasks, asked directly."""
        name = unclassified_model(self.config)
        assert name is not None  # there are tasks, or nothing is left open
        return msgspec.structs.replace(self._direct(self.answerer.catalogue.get(name)), by="unclassified")

    def limits(self, caller: Caller, task: str) -> tuple[Limit, ...]:
        """The budgets that a call of this caller and task spends from."""
        return self._limits(caller, task)

    def _asked_by_name(self, model: Model) -> Chosen:
        """A model that no task's ladder ends with is no frontier model; where nothing says which are, all are."""
        return _direct(model, frontier=not self._frontiers or model.name in self._frontiers)

    def _limits_of(self, caller: Caller, task: str) -> tuple[Limit, ...]:
        return (*caller.limits, *self._task_limits.get(task, ()))

    def _identify(self, stored: list[StoredKey]) -> Identity:
        callers = [(key.digest, _stored(key, self.config)) for key in stored]
        return Identity(
            self._shared.ledger.keys.secret,
            [*callers, *self._declared_keys],
            require_key=self.config.server.require_key,
        )


def _routers(serving: Serving, config: Config, shared: Shared, before: Running | None) -> dict[str, Router]:
    """The routers of what is served, by task; those that were loaded already are kept. The heads that a release carries are loaded with them.

    Raises `ReleaseError` where weights are missing or altered, `ConfigError` where an embedder is missing.
    """
    found: dict[str, Router] = {}
    for task, policy in serving.policies.items():
        if serving.weights is None:
            break
        for rung in policy.ladder:
            if rung.head and (sha256 := rung.weights_sha256):
                # Added although it may be loaded: a configured model may ask for another one after the next reload.
                shared.heads.add(shared.heads.get(sha256) or load_head(weights_path(serving.weights, sha256)))
        if policy.router is None:
            continue
        known = before.routers.get(task) if before else None
        if known is not None and known.sha256 == policy.router.weights_sha256:
            found[task] = known
            continue
        found[task] = open_router(
            weights_path(serving.weights, policy.router.weights_sha256),
            lambda name: embedder_of(name, config, shared.environ),
        )
    return found


def _intents(
    serving: Serving, config: Config, shared: Shared, before: Running | None
) -> IntentClassifier | None:
    """The intent classifier of what is served; one that was loaded already is kept. Raises as `_routers` does."""
    if serving.intents is None or serving.weights is None:
        return None
    known = before.intents if before else None
    if known is not None and known.sha256 == serving.intents:
        return known
    path = weights_path(serving.weights, serving.intents)
    return load_intents(path, lambda name: embedder_of(name, config, shared.environ))


def _policies(config: Config, serving: Serving, routers: Mapping[str, Router]) -> dict[str, Chosen]:
    """What is served for each task; one that the release does not know goes to the frontier."""
    chosen = {
        name: Chosen(policy, "baseline", release=BASELINE, policy_hash=policy.hash)
        for name, policy in baseline(config).policies.items()
    }
    for name, policy in serving.policies.items():
        compile_check(policy.contract)  # a bad schema is found now, not in a call
        chosen[name] = Chosen(
            policy,
            "header",
            release=serving.id,
            policy_hash=serving.hashes[name],
            unproven=bool(serving.unproven),
            router=routers.get(name),
        )
    return chosen


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


def _limits(scope: Scope, budget: Budget) -> tuple[Limit, ...]:
    """What a scope may spend a day, and what of it with frontier models."""
    found = []
    if budget.usd_per_day is not None:
        found.append(Limit(scope, nusd_from_usd(budget.usd_per_day)))
    if budget.frontier_usd_per_day is not None:
        part = (scope[0] + FRONTIER, scope[1])
        found.append(Limit(part, nusd_from_usd(budget.frontier_usd_per_day), frontier=True))
    return tuple(found)


def _tenant_limits(tenant: str, config: Config) -> tuple[Limit, ...]:
    return _limits(("tenant", tenant), config.tenants[tenant].budget) if tenant in config.tenants else ()


def _declared(name: str, key: Key, config: Config, shared: Shared) -> tuple[bytes, Caller]:
    plaintext = resolve(key.secret, shared.environ, path=f"keys.{name}.secret")
    caller = Caller(
        tenant=key.tenant,
        key=name,
        models=key.models,
        expires=datetime.date.fromisoformat(key.expires) if key.expires else None,
        limits=(*_limits(("key", name), key.budget), *_tenant_limits(key.tenant, config)),
    )
    return hash_key(shared.ledger.keys.secret, plaintext), caller


def _stored(key: StoredKey, config: Config) -> Caller:
    limit = key.budget_nusd_per_day
    of_key = () if limit is None else (Limit(("key", key.name), limit),)
    return Caller(
        tenant=key.tenant,
        key=key.name,
        models=key.models,
        expires=key.expires,
        limits=(*of_key, *_tenant_limits(key.tenant, config)),
    )
