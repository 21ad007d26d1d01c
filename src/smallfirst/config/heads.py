"""Label heads: providers that are no place, models that are trained here, and the only contracts they can answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, error, warning
from smallfirst.config.schema import Config, Model, Rung, Task
from smallfirst.contracts import LabelContract

_PREFIX = re.compile(r"[0-9a-f]{12,64}")
_PLACES = ("base_url", "api_key", "accepts", "headers", "api_version")


def check_heads(config: Config) -> Iterator[Finding]:
    """What `kind = "head"` cannot have, which head a model names, and the ladders that it stands on."""
    for name, provider in config.providers.items():
        if provider.kind != "head":
            continue
        path = dotted.join("providers", name)
        for field in _PLACES:
            if getattr(provider, field):
                yield error(
                    dotted.join(path, field),
                    "a provider of heads has none: they answer in the gateway itself",
                )
        if provider.engine != "hosted":
            yield error(
                dotted.join(path, "engine"),
                "a provider of heads has none: a head is held to its labels anyway",
            )
    heads = {name: model for name, model in config.models.items() if _is_head(model, config)}
    for name, model in heads.items():
        yield from _model(dotted.join("models", name), name, model, config)
    for name, task in config.tasks.items():
        yield from _ladder(dotted.join(dotted.join("tasks", name), "ladder"), task, heads)
    if config.frontier in heads:
        yield error("frontier", f'"{config.frontier}" is a label head, which cannot answer every call')


def _is_head(model: Model, config: Config) -> bool:
    provider = config.providers.get(model.provider)
    return provider is not None and provider.kind == "head"


def _model(path: str, name: str, model: Model, config: Config) -> Iterator[Finding]:
    if model.endpoints:
        yield error(dotted.join(path, "endpoints"), "a label head has none: it answers in the gateway itself")
    pinned, wanted = model.weights_sha256, model.id or name
    if pinned is not None and not re.fullmatch(r"[0-9a-f]{64}", pinned):
        yield error(dotted.join(path, "weights_sha256"), "expected the 64 hex digits of a head's hash")
    elif pinned is not None and _PREFIX.fullmatch(wanted) and not pinned.startswith(wanted):
        yield error(
            dotted.join(path, "weights_sha256"), f'is another head than the one that id names, "{wanted}"'
        )
    elif pinned is None and wanted not in config.tasks and not _PREFIX.fullmatch(wanted):
        yield warning(
            dotted.join(path, "id"),
            f'"{wanted}" is no task of this file and no head\'s hash (12 hex digits at least)',
        )


def _ladder(path: str, task: Task, heads: dict[str, Model]) -> Iterator[Finding]:
    contract = task.contract
    if isinstance(contract, LabelContract) and contract.pick in ("one", "ordinal"):
        return
    for at, rung in enumerate(task.ladder):
        name = rung.model if isinstance(rung, Rung) else rung
        if name in heads:
            yield error(
                dotted.item(path, at),
                f'"{name}" is a label head, which says one label; this contract asks for something else',
            )
