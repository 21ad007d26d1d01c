"""Tasks: their ladders, contracts and what is kept of their calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import jsonschema_rs

from smallfirst import limits
from smallfirst.config import dotted
from smallfirst.config.finding import Finding, error, note, warning
from smallfirst.config.schema import Config, Rung, Task
from smallfirst.contracts import Contract, JsonContract, LabelContract

RELEASE_NOTE = (
    "how calls are answered comes from a release: editing [tasks.*] changes nothing that is served "
    "until `smallfirst release build` makes a release of it and that is loaded"
)


def check_tasks(config: Config) -> Iterator[Finding]:
    """Every task's ladder, contract and redaction, and the standing note about releases."""
    for name, task in config.tasks.items():
        path = dotted.join("tasks", name)
        yield from _ladder(dotted.join(path, "ladder"), task, config)
        yield from _contract(dotted.join(path, "contract"), task.contract)
        yield from _redact(path, task)
    if config.tasks:
        yield note("tasks", RELEASE_NOTE)


def _ladder(path: str, task: Task, config: Config) -> Iterator[Finding]:
    if not task.ladder:
        yield error(path, "is empty: name at least the frontier model")
        return
    if len(task.ladder) > limits.MAX_RUNGS:
        yield error(path, f"has {len(task.ladder)} rungs, at most {limits.MAX_RUNGS} are allowed")
    rungs = [Rung(model=rung) if isinstance(rung, str) else rung for rung in task.ladder]
    for at, rung in enumerate(rungs):
        if rung in rungs[:at]:
            yield warning(dotted.item(path, at), f'asks "{rung.model}" a second time in the same way')
    last = rungs[-1]
    where = dotted.item(path, len(rungs) - 1)
    if last.sample < 1:
        yield warning(
            dotted.join(where, "sample"), "has no effect on the last rung: it takes all that is left"
        )
    model = config.models.get(last.model)
    provider = config.providers.get(model.provider) if model else None
    if provider is not None and provider.kind in ("embedded", "head") and config.frontier is None:
        what = "embedded" if provider.kind == "embedded" else "a label head"
        yield warning(
            where,
            f'the last rung is the frontier, where baseline sends every call, and "{last.model}" is {what}',
        )


def _contract(path: str, contract: Contract) -> Iterator[Finding]:
    if isinstance(contract, LabelContract):
        yield from _labels(path, contract)
    elif isinstance(contract, JsonContract):
        yield from _schema(dotted.join(path, "schema"), contract)
    elif contract.max_chars is not None and contract.max_chars < 1:
        yield error(
            dotted.join(path, "max_chars"), f"expected a whole number of at least 1, got {contract.max_chars}"
        )


def _labels(path: str, contract: LabelContract) -> Iterator[Finding]:
    labels, where = contract.labels, dotted.join(path, "labels")
    if len(set(labels)) < 2:
        yield error(where, f"needs at least two different labels, has {len(set(labels))}")
    for at, label in enumerate(labels):
        if label in labels[:at]:
            yield error(dotted.item(where, at), f'"{label}" is listed twice')
        elif not label or label != label.strip():
            yield error(
                dotted.item(where, at), f'"{label}" can never match: blank space around answers is ignored'
            )
        elif contract.pick in ("several", "ranked") and re.search(r"[,\n\r]", label):
            yield warning(
                dotted.item(where, at),
                f'"{label}" holds a separator, so only a JSON array of labels can say it',
            )
    if contract.allow_empty and contract.pick != "several":
        yield warning(dotted.join(path, "allow_empty"), f'has no effect with pick = "{contract.pick}"')


def _schema(path: str, contract: JsonContract) -> Iterator[Finding]:
    remote: list[str] = []

    def refuse(uri: str) -> NoReturn:
        remote.append(uri)
        raise ValueError("remote references are not followed")

    try:
        jsonschema_rs.validator_for(contract.schema, retriever=refuse)
    except (ValueError, jsonschema_rs.ValidationError) as wrong:
        if remote:
            yield error(
                path, f'"{remote[0][:80]}" is a remote reference, which is not followed; put it under $defs'
            )
            return
        message = " ".join(getattr(wrong, "message", str(wrong)).split())
        for step in getattr(wrong, "instance_path", []):
            path = dotted.item(path, step) if isinstance(step, int) else dotted.join(path, str(step))
        yield error(path, f"not valid JSON Schema: {message[:200]}")


def _redact(path: str, task: Task) -> Iterator[Finding]:
    for at, pattern in enumerate(task.redact):
        where = dotted.item(dotted.join(path, "redact"), at)
        try:
            compiled = re.compile(pattern)
        except re.error as wrong:
            yield error(where, f"not a regular expression: {wrong}")
            continue
        if compiled.fullmatch(""):
            yield warning(where, "matches the empty text, so it marks every place")
    if task.redact and not task.keep_bodies and not task.cache.exact:
        yield note(
            dotted.join(path, "redact"),
            "while keep_bodies is false it has an effect on imported datasets alone",
        )
