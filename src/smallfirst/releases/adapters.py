"""Which adapter a rung is answered by: the one that its model's `adapter` names, where it is deployed and fits what the rung asks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from smallfirst.config.adapters import form_of, targets_of
from smallfirst.config.schema import Config, Model, Provider, Rung, Task
from smallfirst.contracts import Contract
from smallfirst.errors import ReleaseError
from smallfirst.models.adapters.adapter import AskedTold, Form, Manifest, is_named, served_name
from smallfirst.models.adapters.deployments import Deployment, deployments
from smallfirst.models.adapters.store import Adapters
from smallfirst.models.ggufs import known_sha256

_TRAIN = "`smallfirst train {task} --method lora` trains one"


class AdapterPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The adapter of a rung. `task` is the one that it was trained for, `sha256` the served artefact's hash."""

    id: str
    task: str
    form: Form
    sha256: str

    @property
    def served_name(self) -> str:
        """What servers know it by."""
        return served_name(self.task, self.id)

    def __str__(self) -> str:
        return f"{self.served_name} ({self.form})"


def adapter_policy(state: Path, name: str, rung: Rung, config: Config) -> AdapterPolicy:
    """The adapter of a rung of task `name`, whose model has one.

    Raises `ReleaseError` where there is none, where it is not deployed wherever its model is asked, or where it was trained under other
    instructions, for another contract or over another base.
    """
    task, wanted = config.tasks[name], config.models[rung.model].adapter
    assert wanted is not None
    path = f"models.{rung.model}.adapter"
    adapters = Adapters(state)
    found = adapters.wanted(wanted)
    if found is None:
        raise ReleaseError(f"{path}: there is no adapter {wanted!r}; {_TRAIN.format(task=name)}")
    adapter = adapters.open(found)
    manifest = adapter.manifest
    _check_asked(
        path,
        name,
        manifest,
        AskedTold(instructions=rung.instructions, default_instructions=task.instructions),
    )
    _check_contract(path, name, manifest, task)
    _check_base(path, rung.model, manifest, config)
    deployed = _deployed(path, found, rung.model, state, config)
    return AdapterPolicy(id=found, task=manifest.task, form=deployed.form, sha256=deployed.sha256)


def misplaced(pinned: list[tuple[str, str, AdapterPolicy]], config: Config, state: Path) -> list[str]:
    """Which adapters, each with the task and the model that it is pinned for, are not deployed any more where the model is asked; a line each."""
    if not pinned:
        return []
    all_deployed = deployments(state)
    found = []
    for task, model, adapter in pinned:
        if model not in config.models:
            continue  # said elsewhere
        missing = _missing(adapter.id, adapter.form, model, config, all_deployed)
        changed = _other(adapter, model, config, all_deployed)
        if missing or changed:
            what = (
                f"is not deployed to {', '.join(missing)}"
                if missing
                else "was exported anew since, to another file"
            )
            to = (missing or targets_of(*_told(model, config)))[0]
            found.append(
                f"task {task!r}: {model!r} is answered by adapter {adapter}, which {what}: "
                f"`smallfirst adapters deploy {adapter.id[:12]} --to {to} --form {adapter.form}`"
            )
    return found


def adapter_misfit(model: str, pinned: AdapterPolicy | None, config: Config) -> str:
    """What a configuration has made of the adapter that a release pins; empty where it is as it was."""
    wanted = config.models[model].adapter
    if pinned is None or wanted is None:
        if pinned is None and wanted is None:
            return ""
        return f"had {pinned or 'no adapter'} when the release was built, now {f'adapter {wanted!r}' if wanted else 'it has none'}"
    if not is_named(wanted, task=pinned.task, adapter=pinned.id):
        return f"had {pinned} when the release was built, now adapter {wanted!r}"
    form = form_of(*_told(model, config))
    return "" if form == pinned.form else f"had {pinned} when the release was built, now form {form!r}"


def contract_sha256(contract: Contract) -> str:
    """The hash of a contract, as adapters name it."""
    return hashlib.sha256(msgspec.json.encode(msgspec.to_builtins(contract), order="sorted")).hexdigest()


def _check_asked(path: str, task: str, manifest: Manifest, asked: AskedTold) -> None:
    if manifest.asked == asked:
        return
    for field, where in (("instructions", "its rung's"), ("default_instructions", "the task's")):
        was, now = getattr(manifest.asked, field), getattr(asked, field)
        if was != now:
            raise ReleaseError(
                f"{path}: adapter {manifest.id[:12]} was trained with {where} instructions {_quoted(was)}, and they are now {_quoted(now)}: "
                f"it was not trained for what it would be asked. Set them back, or train it again: {_TRAIN.format(task=task)}"
            )


def _check_contract(path: str, name: str, manifest: Manifest, task: Task) -> None:
    if manifest.contract_sha256 != contract_sha256(task.contract):
        raise ReleaseError(
            f"{path}: adapter {manifest.id[:12]} was trained for task {manifest.task!r} with another contract than task {name!r} has now; "
            + _TRAIN.format(task=name)
        )


def _check_base(path: str, model: str, manifest: Manifest, config: Config) -> None:
    """Of the embedded server's weights, where they can be told; a deployment was checked by them, and the server checks them again."""
    if config.providers[config.models[model].provider].kind != "embedded":
        return
    base = config.models[model].id or model
    sha256 = known_sha256(base)
    if sha256 is not None and sha256 != manifest.base.gguf_sha256:
        told = f"GGUF {manifest.base.gguf_sha256[:12]}" if manifest.base.gguf_sha256 else "no GGUF"
        raise ReleaseError(
            f"{path}: adapter {manifest.id[:12]} was trained over {manifest.base.name} ({told}), and {base} is {sha256[:12]}: "
            f"`smallfirst train {manifest.task} --method lora --base embedded:{base}` trains one over it"
        )


def _deployed(path: str, found: str, model: str, state: Path, config: Config) -> Deployment:
    """The deployment of an adapter at the model's first target, once it is known to be at all of them in one form and of one artefact."""
    form, all_deployed = form_of(*_told(model, config)), deployments(state)
    missing = _missing(found, form, model, config, all_deployed)
    if missing:
        raise ReleaseError(
            f"{path}: adapter {found[:12]} is not deployed as {form} to {', '.join(missing)}: "
            f"`smallfirst adapters deploy {found[:12]} --to {missing[0]} --form {form}`"
        )
    theirs = [
        one
        for one in all_deployed
        if one.adapter == found and one.target in targets_of(*_told(model, config))
    ]
    if len({one.sha256 for one in theirs}) > 1:
        raise ReleaseError(
            f"{path}: adapter {found[:12]} is not the same file on every endpoint of {model!r}; deploy it to each again"
        )
    return theirs[0]


def _missing(
    adapter: str, form: Form, model: str, config: Config, all_deployed: tuple[Deployment, ...]
) -> list[str]:
    """The targets of a model where an adapter is not deployed in this form, over this base."""
    base = config.models[model].id or model
    there = {one.target for one in all_deployed if (one.adapter, one.form, one.base) == (adapter, form, base)}
    return [target for target in targets_of(*_told(model, config)) if target not in there]


def _other(adapter: AdapterPolicy, model: str, config: Config, all_deployed: tuple[Deployment, ...]) -> bool:
    """Whether something else than the pinned artefact is deployed now."""
    targets = targets_of(*_told(model, config))
    now = {one.sha256 for one in all_deployed if one.adapter == adapter.id and one.target in targets}
    return now != {adapter.sha256}


def _told(name: str, config: Config) -> tuple[Model, Provider]:
    model = config.models[name]
    return model, config.providers[model.provider]


def _quoted(text: str | None) -> str:
    return "none" if text is None else f"{text[:80]!r}{'…' if len(text) > 80 else ''}"
