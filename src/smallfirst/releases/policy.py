"""All that decides a task's answers, as one hashed value.

A policy names what the models *are* (provider, upstream id, weights), not only what the configuration calls them: if the configuration is
edited so that a name means something else, the policy no longer fits it and is refused rather than served under false evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.config.schema import Config, Model, Rung, Scorer, TaskCache, TaskRouter
from smallfirst.contracts import Contract, JsonContract, LabelContract, TextContract
from smallfirst.errors import ReleaseError
from smallfirst.releases.adapters import AdapterPolicy, adapter_misfit, misplaced
from smallfirst.releases.learned import NOTHING_LEARNED, Learned
from smallfirst.releases.retrieval import RetrievePolicy, retrieve_policy
from smallfirst.routing.fitted import LEARNED, Asked, Bound, Fitted
from smallfirst.routing.thresholds import Thresholds


class RungPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rung: who is asked, and how. `sample` is the share of calls that may begin here."""

    model: str
    provider: str
    upstream_id: str
    weights_sha256: str | None = None
    instructions: str | None = None
    constrained: bool = True
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_s: float | None = None
    sample: float = 1.0
    head: bool = False  # a label head, which the release carries
    adapter: AdapterPolicy | None = None  # LoRA weights over the model
    retrieve: RetrievePolicy | None = None


class RouterPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The router's weights by hash, its thresholds, and the bound under which they were chosen.

    `by` is "learned", or the name of the model that is asked; `asked` then says what that model is, and what it is asked.
    """

    weights_sha256: str
    thresholds: Thresholds
    embedder: str
    embedder_sha256: str
    bound: Bound
    question_after: str = ""
    question_before: str = ""
    verify: bool = False
    sticky: bool = True
    unknown_share: float = 1.0
    by: str = LEARNED
    asked: Asked | None = None
    timeout_s: float = limits.ROUTER_TIMEOUT_S  # for the asked model's answer


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls of one task are answered. The last rung is the frontier model; what it answers is released even if unmet."""

    task: str
    contract: Contract
    ladder: tuple[RungPolicy, ...]
    instructions: str | None = None
    margin: float = 0.02
    latency_ms: float | None = None
    router: RouterPolicy | None = None
    scorer: Scorer = Scorer()  # what its quality is measured by; its kind is never "auto" in a release
    cache: TaskCache = TaskCache()  # which answers may be given again

    @property
    def router_verifies(self) -> bool:
        """Whether answers can be judged before they are released: those that are checked anyway, and text where the task says so."""
        return self.router is not None and (self.router.verify or not isinstance(self.contract, TextContract))

    @property
    def weights(self) -> tuple[str, ...]:
        """The hashes of all weights that a release must carry for this policy: its router's, its heads' and its indexes of examples."""
        found = [rung.weights_sha256 for rung in self.ladder if rung.head and rung.weights_sha256]
        found += dict.fromkeys(rung.retrieve.sha256 for rung in self.ladder if rung.retrieve is not None)
        return (*found, self.router.weights_sha256) if self.router else tuple(found)

    @property
    def models(self) -> frozenset[str]:
        """Every model whose answers decide: those of the ladder, and the one that its router asks."""
        asked = self.router.asked if self.router is not None else None
        return frozenset(rung.model for rung in self.ladder) | ({asked.model} if asked else frozenset())

    @property
    def models_margin(self) -> float:
        """What is left of the margin for its models, once its cache has lost what it may: the loss by both is the task's."""
        return self.margin - self.cache.error_max

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(canonical(self)).hexdigest()

    @property
    def answers_hash(self) -> str:
        """The same without the cache rule: policies that share it put the same questions to the same models, and differ in which answers
        they give again.
        """
        return msgspec.structs.replace(self, cache=TaskCache()).hash


def canonical(value: object) -> bytes:
    """One byte string for one meaning: JSON with sorted keys, defaults written out, no spaces."""
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted")


def policy_from_task(name: str, config: Config, learned: Learned = NOTHING_LEARNED) -> Policy:
    """The policy that `[tasks.NAME]` describes, with what was learned for it.

    Raises `ReleaseError` where it names a model that is not configured, a head or a router that was never trained, or a router fitted for
    another ladder.
    """
    task = config.tasks[name]
    fitted = learned.router(name, task.router.fit)
    pinned = dict(zip(fitted.ladder, fitted.heads, strict=True)) if fitted else {}
    policy = Policy(
        task=name,
        contract=task.contract,
        ladder=tuple(_rung(name, rung, config, learned, pinned) for rung in task.ladder),
        instructions=task.instructions,
        margin=task.margin,
        latency_ms=task.latency_ms,
        router=router_policy(fitted, task.router) if fitted else None,
        scorer=named_scorer(task.scorer, task.contract),
        cache=task.cache,
    )
    if fitted:
        _check_ladder(policy, fitted)
        _check_asked(policy, fitted, config)
    return policy


def router_policy(fitted: Fitted, options: TaskRouter) -> RouterPolicy:
    """A fitted router as a policy holds it."""
    return RouterPolicy(
        weights_sha256=fitted.sha256,
        thresholds=fitted.thresholds,
        embedder=fitted.embedder,
        embedder_sha256=fitted.embedder_sha256,
        bound=fitted.bound,
        question_after=fitted.question_after,
        question_before=fitted.question_before,
        verify=options.verify,
        sticky=options.sticky,
        unknown_share=options.unknown_share,
        by=fitted.by,
        asked=fitted.asked,
        timeout_s=options.timeout_s,
    )


def named_scorer(scorer: Scorer, contract: Contract) -> Scorer:
    """The scorer with its kind named: "auto" is what fits the contract."""
    if scorer.kind != "auto":
        return scorer
    if isinstance(contract, LabelContract):
        kind = "label"
    else:
        kind = "json" if isinstance(contract, JsonContract) else "rouge-l"
    return msgspec.structs.replace(scorer, kind=kind)


def asked_as(provider: str, upstream_id: str, adapter: AdapterPolicy | None = None) -> str:
    """What a model is, whatever a configuration calls it."""
    return f"{provider}/{upstream_id}" + (f" with {adapter}" if adapter is not None else "")


def rungs_asked_as(task: str, config: Config, learned: Learned) -> dict[str, str]:
    """What each model of a task's ladder is, by its configured name. Raises `ReleaseError` where an adapter is not deployed."""
    found = {}
    for rung in config.tasks[task].ladder:
        told = Rung(model=rung) if isinstance(rung, str) else rung
        model = config.models[told.model]
        adapter = learned.adapter(task, told, config) if model.adapter else None
        found[told.model] = asked_as(model.provider, model.id or told.model, adapter)
    return found


def _check_ladder(policy: Policy, fitted: Fitted) -> None:
    now = tuple(rung.model for rung in policy.ladder)
    if now != fitted.ladder:
        raise ReleaseError(
            f"tasks.{policy.task}: its router {fitted.sha256[:12]} was fitted for the ladder {', '.join(fitted.ladder)}, and the ladder is now "
            f'{", ".join(now)}; `smallfirst router fit --task {policy.task}` fits another, tasks.{policy.task}.router.fit = "none" does without'
        )
    for rung, was in zip(policy.ladder, fitted.asked_as, strict=False):
        now_is = asked_as(rung.provider, rung.upstream_id, rung.adapter)
        if was and was != now_is:
            raise ReleaseError(
                f"tasks.{policy.task}: its router {fitted.sha256[:12]} was fitted to outcomes of {was}, and {rung.model!r} is now "
                f"{now_is}; `smallfirst router fit --task {policy.task}` fits another"
            )
    if (fitted.verify or any(fitted.thresholds.accept)) and not policy.router_verifies:
        raise ReleaseError(
            f"tasks.{policy.task}: its router {fitted.sha256[:12]} was fitted to judge text answers before they are released; "
            f"set tasks.{policy.task}.router.verify = true, or fit it again"
        )


def _check_asked(policy: Policy, fitted: Fitted, config: Config) -> None:
    changed = _asked_changed(fitted.asked, config)
    if changed:
        raise ReleaseError(
            f"tasks.{policy.task}: its router {fitted.sha256[:12]} asks {changed}; "
            f"`smallfirst router fit --task {policy.task} --by {fitted.by}` fits another"
        )


def _asked_changed(asked: Asked | None, config: Config) -> str:
    """What has become of the model that a router asks, since it was fitted; empty where it is the same, or where none is asked."""
    if asked is None:
        return ""
    model = config.models.get(asked.model)
    if model is None:
        return f"model {asked.model!r}, which is not configured any more"
    if model.adapter is not None:
        return f"model {asked.model!r}, which has an adapter: a router asks models as they are"
    if (model.provider, model.id or asked.model, model.weights_sha256) == (
        asked.provider,
        asked.upstream_id,
        asked.weights_sha256,
    ):
        return ""
    was, now = f"{asked.provider}/{asked.upstream_id}", f"{model.provider}/{model.id or asked.model}"
    weights = " of other weights" if was == now else ""
    return f"model {asked.model!r}, which was {was} when the router was fitted and now is {now}{weights}"


def baseline_policy(name: str, config: Config) -> Policy:
    """What the user had before: the frontier model alone, its answers unchecked."""
    task = config.tasks[name]
    return Policy(
        task=name,
        contract=TextContract(),
        ladder=(_rung(name, _plain(config.frontier or task.ladder[-1]), config, NOTHING_LEARNED, {}),),
        instructions=task.instructions,
        margin=task.margin,
        latency_ms=task.latency_ms,
        scorer=named_scorer(task.scorer, task.contract),
    )


def misfits(policy: Policy, config: Config) -> list[str]:
    """Why this policy cannot be served by this configuration; empty if it can."""
    found = []
    for rung in policy.ladder:
        model = config.models.get(rung.model)
        if model is None:
            found.append(f"task {policy.task!r}: model {rung.model!r} is no longer configured")
            continue
        weights = (
            rung.weights_sha256 if rung.head else model.weights_sha256
        )  # a head is in the release itself
        is_now = (model.provider, model.id or rung.model, weights)
        if is_now != (rung.provider, rung.upstream_id, rung.weights_sha256):
            was = f"{rung.provider}/{rung.upstream_id}"
            found.append(
                f"task {policy.task!r}: {rung.model!r} was {was} when the release was built, now it is {is_now[0]}/{is_now[1]}"
            )
        elif changed := adapter_misfit(rung.model, rung.adapter, config):
            found.append(f"task {policy.task!r}: {rung.model!r} {changed}")
    if policy.router is not None and (changed := _asked_changed(policy.router.asked, config)):
        found.append(f"task {policy.task!r}: its router asks {changed}")
    return found


def undeployed(policies: Iterable[Policy], config: Config, state: Path) -> list[str]:
    """Which adapters that these policies pin are not served where their models are asked; empty if all are."""
    pinned = [
        (policy.task, rung.model, rung.adapter)
        for policy in policies
        for rung in policy.ladder
        if rung.adapter is not None
    ]
    return misplaced(pinned, config, state)


def _plain(rung: str | Rung) -> str | Rung:
    """The rung as it was before anything was learned: without examples."""
    return rung if isinstance(rung, str) else msgspec.structs.replace(rung, retrieve=None)


def _retrieve(task: str, rung: Rung, config: Config, learned: Learned) -> RetrievePolicy | None:
    if rung.retrieve is None:
        return None
    return retrieve_policy(
        f"tasks.{task}.ladder.{rung.model}.retrieve",
        rung.retrieve,
        config.models[rung.model],
        found=learned.examples(task, rung.retrieve.index),
        contract_sha256=hashlib.sha256(canonical(config.tasks[task].contract)).hexdigest(),
    )


def _temperature(rung: Rung, model: Model, contract: Contract) -> float | None:
    """An adapter was trained, measured and probed for its likeliest answer: where one answer is right, it is asked for that."""
    if rung.temperature is None and model.adapter and not isinstance(contract, TextContract):
        return 0.0
    return rung.temperature


def _rung(
    task: str, rung: str | Rung, config: Config, learned: Learned, pinned: Mapping[str, str]
) -> RungPolicy:
    rung = Rung(model=rung) if isinstance(rung, str) else rung
    model = config.models.get(rung.model)
    if model is None:
        raise ReleaseError(f"tasks.{task}.ladder: model {rung.model!r} is not in [models]")
    head = config.providers[model.provider].kind == "head"
    weights = model.weights_sha256
    if head:
        weights = pinned.get(rung.model) or learned.head(weights or model.id or rung.model)
    return RungPolicy(
        model=rung.model,
        provider=model.provider,
        upstream_id=model.id or rung.model,
        weights_sha256=weights,
        instructions=rung.instructions,
        constrained=rung.constrained,
        max_tokens=rung.max_tokens,
        temperature=_temperature(rung, model, config.tasks[task].contract),
        timeout_s=rung.timeout_s,
        sample=rung.sample,
        head=head,
        retrieve=_retrieve(task, rung, config, learned),
        adapter=learned.adapter(task, rung, config) if model.adapter else None,
    )
