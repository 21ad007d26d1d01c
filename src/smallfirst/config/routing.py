"""Calls that name no task: under which names they come, and who answers those that are none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, error, nearest_or_all, warning
from smallfirst.config.references import TASK_PREFIX
from smallfirst.config.schema import Config, Rung
from smallfirst.config.strict import NAME_PATTERN

_HASH = re.compile(r"[0-9a-f]{12,64}")


def auto_names(config: Config) -> tuple[str, ...]:
    """The model names under which calls are taken for a task. A model or an alias of that name keeps it; without tasks there are none."""
    taken = {*config.models, *config.aliases}
    return tuple(name for name in config.routing.auto if name not in taken) if config.tasks else ()


def unclassified_model(config: Config) -> str | None:
    """The model that answers calls that are none of the tasks; None where there is no task either."""
    if config.routing.unclassified or config.frontier:
        return config.routing.unclassified or config.frontier
    ladder = next((task.ladder for task in config.tasks.values() if task.ladder), None)
    if ladder is None:
        return None
    return ladder[-1].model if isinstance(ladder[-1], Rung) else ladder[-1]


def check_routing(config: Config) -> Iterator[Finding]:
    """The names that stand for no model, the model for what is no task, and the classifier's hash."""
    routing = config.routing
    for at, name in enumerate(routing.auto):
        path = dotted.item("routing.auto", at)
        if not re.fullmatch(NAME_PATTERN, name) or name.startswith(TASK_PREFIX):
            yield error(path, f'expected a name that a model could have, got "{name[:40]}"')
        elif name in config.models or name in config.aliases:
            what = "a model" if name in config.models else "an alias"
            yield warning(path, f'"{name}" is also {what}, which callers of that name get')
    if routing.unclassified is not None:
        yield from _unclassified(routing.unclassified, config)
    if routing.intents not in ("newest", "none") and not _HASH.fullmatch(routing.intents):
        yield error(
            "routing.intents",
            f'expected "newest", "none" or a classifier\'s hash (12 hex digits at least), got "{routing.intents[:40]}"',
        )


def _unclassified(name: str, config: Config) -> Iterator[Finding]:
    model = config.models.get(name)
    if model is None:
        yield error(
            "routing.unclassified", f'model "{name}" is not declared{nearest_or_all(name, config.models)}'
        )
        return
    provider = config.providers.get(model.provider)
    if provider is not None and provider.kind == "head":
        yield error("routing.unclassified", f'"{name}" is a label head, which cannot answer every call')
