"""All that a configuration makes of a gateway: built and validated beside the one that runs, then swapped whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from smallfirst.answering.check import compile_check
from smallfirst.answering.climb import Answerer
from smallfirst.answering.decide import Decision, Step
from smallfirst.config.schema import Budget, Config, Key
from smallfirst.config.secrets import resolve
from smallfirst.contracts import TextContract
from smallfirst.errors import BadRequest, UnknownModel
from smallfirst.gateway.budget import Budgets, Limit, Scope
from smallfirst.gateway.history import History
from smallfirst.gateway.identity import Caller, Identity
from smallfirst.ledger import Ledger
from smallfirst.ledger.keys import StoredKey, hash_key
from smallfirst.models import Catalogue
from smallfirst.models.catalogue import TASK_PREFIX
from smallfirst.models.embedded import EmbeddedModels
from smallfirst.models.model import Model
from smallfirst.models.transport import Transport
from smallfirst.money import nusd_from_usd
from smallfirst.pricing import PriceBook
from smallfirst.releases import BASELINE, Policy, RungPolicy, Serving, baseline
from smallfirst.wire.incoming import Incoming


class Chosen(msgspec.Struct, frozen=True):
    """The policy that answers a call, how its task was found, and the release it is from (empty for a model named directly).

    `fixed` is the decision where there is only one to make.
    """

    policy: Policy
    by: str
    release: str = ""
    policy_hash: str = ""
    unproven: bool = False
    fixed: Decision | None = None


class Shared(msgspec.Struct, frozen=True):
    """What outlives a reload."""

    ledger: Ledger
    transport: Transport
    embedded: EmbeddedModels
    environ: Mapping[str, str]
    budgets: Budgets
    history: History


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
        )
        self.answerer = Answerer(catalogue=catalogue, transport=shared.transport, prices=self.prices)
        self._declared_keys = [_declared(name, key, config, shared) for name, key in config.keys.items()]
        self.identity = self._identify(shared.ledger.keys.load())
        self._policies = _policies(config, serving)
        self._task_limits = {name: _limit(("task", name), task.budget) for name, task in config.tasks.items()}
        self._direct = lru_cache(maxsize=1024)(_direct)
        self._limits = lru_cache(maxsize=4096)(self._limits_of)

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

    def limits(self, caller: Caller, task: str) -> tuple[Limit, ...]:
        """The budgets that a call of this caller and task spends from."""
        return self._limits(caller, task)

    def _limits_of(self, caller: Caller, task: str) -> tuple[Limit, ...]:
        found = []
        if caller.key_limit_nusd is not None:
            found.append(Limit(("key", caller.key), caller.key_limit_nusd))
        if caller.tenant_limit_nusd is not None:
            found.append(Limit(("tenant", caller.tenant), caller.tenant_limit_nusd))
        limit = self._task_limits.get(task)
        if limit is not None:
            found.append(limit)
        return tuple(found)

    def _identify(self, stored: list[StoredKey]) -> Identity:
        callers = [(key.digest, _stored(key, self.config)) for key in stored]
        return Identity(
            self._shared.ledger.keys.secret,
            [*callers, *self._declared_keys],
            require_key=self.config.server.require_key,
        )


def _policies(config: Config, serving: Serving) -> dict[str, Chosen]:
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
        )
    return chosen


def _direct(model: Model) -> Chosen:
    """One rung, nothing checked: a model asked for by its name is passed through."""
    rung = RungPolicy(
        model=model.name, provider=model.provider, upstream_id=model.upstream_id, constrained=False
    )
    return Chosen(
        Policy(task="", contract=TextContract(), ladder=(rung,)),
        "direct",
        fixed=Decision(task="", steps=(Step(0, model.name),)),
    )


def _limit(scope: Scope, budget: Budget) -> Limit | None:
    return None if budget.usd_per_day is None else Limit(scope, nusd_from_usd(budget.usd_per_day))


def _tenant_limit_nusd(tenant: str, config: Config) -> int | None:
    limit = _limit(("tenant", tenant), config.tenants[tenant].budget) if tenant in config.tenants else None
    return limit.nusd if limit else None


def _declared(name: str, key: Key, config: Config, shared: Shared) -> tuple[bytes, Caller]:
    plaintext = resolve(key.secret, shared.environ, path=f"keys.{name}.secret")
    limit = _limit(("key", name), key.budget)
    caller = Caller(
        tenant=key.tenant,
        key=name,
        models=key.models,
        expires=datetime.date.fromisoformat(key.expires) if key.expires else None,
        key_limit_nusd=limit.nusd if limit else None,
        tenant_limit_nusd=_tenant_limit_nusd(key.tenant, config),
    )
    return hash_key(shared.ledger.keys.secret, plaintext), caller


def _stored(key: StoredKey, config: Config) -> Caller:
    return Caller(
        tenant=key.tenant,
        key=key.name,
        models=key.models,
        expires=key.expires,
        key_limit_nusd=key.budget_nusd_per_day,
        tenant_limit_nusd=_tenant_limit_nusd(key.tenant, config),
    )
