"""Rungs that show examples: whose model can read them, and which index they name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, error
from smallfirst.config.schema import Config, Rung

_PREFIX = re.compile(r"[0-9a-f]{12,64}")


def check_retrieval(config: Config) -> Iterator[Finding]:
    """What `retrieve` cannot be of."""
    for name, task in config.tasks.items():
        ladder = dotted.join(dotted.join("tasks", name), "ladder")
        for at, rung in enumerate(task.ladder):
            if isinstance(rung, Rung) and rung.retrieve is not None:
                yield from _rung(
                    dotted.join(dotted.item(ladder, at), "retrieve"), rung, rung.retrieve.index, config
                )


def _rung(path: str, rung: Rung, index: str, config: Config) -> Iterator[Finding]:
    if index != "newest" and not _PREFIX.fullmatch(index):
        yield error(
            dotted.join(path, "index"),
            f'expected "newest" or the hash of an index (12 hex digits at least), not "{index[:128]}"',
        )
    model = config.models.get(rung.model)
    provider = config.providers.get(model.provider) if model is not None else None
    if model is None or provider is None:
        return  # said elsewhere
    if provider.kind == "head":
        yield error(
            path, f'"{rung.model}" is a label head, which reads the question alone; leave `retrieve` out'
        )
    if model.adapter is not None:
        yield error(
            path,
            f'"{rung.model}" has an adapter, which was tuned without examples in the prompt; leave `retrieve` or `adapter` out',
        )
