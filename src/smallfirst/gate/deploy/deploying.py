"""Deploying: check, make the form, load, compare with the trainer's answers, record; or nothing at all."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smallfirst.contracts import Contract
from smallfirst.datasets.store import Datasets
from smallfirst.errors import ConfigError, DeployError, ReleaseError
from smallfirst.evals.session import Home
from smallfirst.gate.deploy.embedded_target import EmbeddedTarget
from smallfirst.gate.deploy.forms import exported
from smallfirst.gate.deploy.probing import Probed, Progress, Question, probe, questions_of, refusal
from smallfirst.gate.deploy.targets import Target
from smallfirst.gate.deploy.uses import needs, uses_of
from smallfirst.gate.deploy.vllm_target import VllmTarget
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import EMBEDDED, Deployment, add_deployment, deployments
from smallfirst.models.adapters.store import Adapter, Adapters, Exported
from smallfirst.releases.policy import canonical
from smallfirst.user import user_name


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`to` is "embedded" or a server's address; `form` None is the target's default; `base` says where the adapter's base is."""

    adapter: str
    to: str
    form: Form | None = None
    base: str | None = None
    server_path: Path | None = None
    allow_public: bool = False


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to load and probe, read and checked."""

    adapter: Adapter
    target: Target
    contract: Contract
    questions: Sequence[Question]
    path: Path
    exported: Exported


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded, and what the probes said."""

    deployment: Deployment
    probed: Probed


async def check(wish: Wish, home: Home) -> tuple[Adapter, Target, Form]:
    """Whether this adapter can be served there at all, before anything is made. Raises `DeployError`, `ReleaseError`."""
    adapter = Adapters(home.state).open(wish.adapter)
    target: Target
    if wish.to == EMBEDDED:
        target = EmbeddedTarget(home, adapter.manifest)
    else:
        target = VllmTarget(home, wish.to, server_path=wish.server_path, allow_public=wish.allow_public)
    form = wish.form or target.forms[0]
    if form not in target.forms:
        raise DeployError(f"--form {form}: {wish.to} serves {', '.join(target.forms)}")
    await target.check(adapter, form)
    return adapter, target, form


def prepare(
    wish: Wish, checked: tuple[Adapter, Target, Form], home: Home, progress: Progress = lambda *_: None
) -> Prepared:
    """Reads the probes and makes the form if it is not there. What is made stays, for the next time. Raises `DeployError`, `ReleaseError`."""
    adapter, target, form = checked
    contract = contract_of(adapter, home)
    questions = questions_of(adapter, Datasets(home.state), contract)
    base = wish.base or _base_name(adapter, target)
    path, told = exported(adapter, form, progress, base=base)
    _check_replaced(adapter, target, told, home)
    return Prepared(
        adapter=adapter,
        target=target,
        contract=contract,
        questions=questions,
        path=path.resolve(),
        exported=told,
    )


async def deploy(prepared: Prepared, home: Home, progress: Progress = lambda *_: None) -> Deployed:
    """Loads it, compares its answers with the trainer's, and records it. Raises `DeployError` where they differ, and then nothing stays loaded."""
    adapter, target, form = prepared.adapter, prepared.target, prepared.exported.form
    progress("loading it", 0, 1)
    async with target.loaded(adapter, form, prepared.path) as server:
        probed = await probe(
            server, adapter.manifest.served_name, prepared.questions, prepared.contract, progress
        )
        if why := refusal(probed, form):
            raise DeployError(
                f"{adapter.manifest.served_name} as {form} is not deployed to {target.name}: {why}"
            )
        deployment = Deployment(
            adapter=adapter.id,
            task=adapter.manifest.task,
            form=form,
            sha256=prepared.exported.sha256,
            target=target.name,
            base=target.base,
            at_ms=int(time.time() * 1000),
            by=user_name(),
            probes=probed.probes,
            same=probed.same / probed.probes,
        )
        add_deployment(home.state, deployment)
    return Deployed(deployment=deployment, probed=probed)


def contract_of(adapter: Adapter, home: Home) -> Contract:
    """The task's contract, if it is the one that the adapter was trained for. Raises `ConfigError`, `ReleaseError`."""
    task = home.config.tasks.get(adapter.manifest.task)
    if task is None:
        raise ConfigError(
            f"adapter {adapter.id[:12]} was trained for it, and it is not configured",
            path=f"tasks.{adapter.manifest.task}",
        )
    if hashlib.sha256(canonical(task.contract)).hexdigest() != adapter.manifest.contract_sha256:
        raise ReleaseError(
            f"tasks.{adapter.manifest.task}.contract is another than adapter {adapter.id[:12]} was trained for: train one for it, or set it back"
        )
    return task.contract


def _check_replaced(adapter: Adapter, target: Target, new: Exported, home: Home) -> None:
    """One adapter is served in one form at one place. Raises `DeployError` where a release that answers calls has another form of it there."""
    for was in deployments(home.state):
        if (was.adapter, was.target) != (adapter.id, target.name) or was.sha256 == new.sha256:
            continue
        answering = [
            str(use)
            for use in uses_of(home.state, adapter.id)
            if use.answers and needs(use, was, home.config)
        ]
        if answering:
            raise DeployError(
                f"{'; '.join(answering)} is answered by its form {was.form} at {was.target}, which {new.form} would replace: let another release "
                "answer first (`smallfirst release promote`, `smallfirst release rollback`)"
            )


def _base_name(adapter: Adapter, target: Target) -> str | None:
    """Where the base is: its own name says it where it is known by name, else the target's file is it."""
    if target.gguf is None or adapter.manifest.base.name.startswith("embedded:"):
        return None
    return str(target.gguf)
