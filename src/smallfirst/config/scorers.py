"""Scorers: whether they fit their task's contract, and whether a judge can judge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from smallfirst.config import dotted
from smallfirst.config.families import family_of
from smallfirst.config.finding import Finding, error, nearest_or_all, warning
from smallfirst.config.schema import Config, Rung, Scorer, Task
from smallfirst.contracts import JsonContract, LabelContract, TextContract

_CONTRACTS = {
    "label": (LabelContract, "label"),
    "json": (JsonContract, "json"),
    "rouge-l": (TextContract, "text"),
    "chrf": (TextContract, "text"),
    "embedding": (TextContract, "text"),
}
_KINDS_BY_FIELD = {
    "normalise": ("label", "regex"),
    "weights": ("json",),
    "compare": ("json",),
    "pattern": ("regex",),
    "tolerance": ("numeric", "json"),
    "embedder": ("embedding",),
    "model": ("judge",),
    "rubric": ("judge",),
    "mode": ("judge",),
    "scale": ("judge",),
    "entry_point": ("python",),
}


def check_scorers(config: Config) -> Iterator[Finding]:
    """Every task's scorer: its kind and contract, what its kind needs, and what has no effect."""
    for name, task in config.tasks.items():
        path = dotted.join(dotted.join("tasks", name), "scorer")
        kind = _kind(task)
        yield from _fits(path, kind, task)
        yield from _without_effect(path, kind, task.scorer)
        if kind == "judge":
            yield from _judge(path, task, config)
        elif kind == "json" and isinstance(task.contract, JsonContract):
            yield from _fields(path, task.scorer, task.contract)
        elif kind == "regex":
            yield from _pattern(dotted.join(path, "pattern"), task.scorer.pattern)
        elif kind == "python" and not task.scorer.entry_point:
            yield error(
                dotted.join(path, "entry_point"),
                "required: the name of an entry point in the group smallfirst.scorers",
            )


def _kind(task: Task) -> str:
    if task.scorer.kind != "auto":
        return task.scorer.kind
    if isinstance(task.contract, LabelContract):
        return "label"
    return "json" if isinstance(task.contract, JsonContract) else "rouge-l"


def _fits(path: str, kind: str, task: Task) -> Iterator[Finding]:
    contract, called = _CONTRACTS.get(kind, (None, ""))
    if contract is not None and not isinstance(task.contract, contract):
        yield error(
            dotted.join(path, "kind"), f'"{kind}" scores {called} contracts, and this task\'s is another'
        )


def _without_effect(path: str, kind: str, scorer: Scorer) -> Iterator[Finding]:
    defaults = msgspec.structs.asdict(Scorer())
    for field, kinds in _KINDS_BY_FIELD.items():
        if kind not in kinds and getattr(scorer, field) != defaults[field]:
            yield warning(dotted.join(path, field), f'has no effect with kind = "{kind}"')
    if kind == "judge" and scorer.mode == "pairwise" and scorer.scale != defaults["scale"]:
        yield warning(dotted.join(path, "scale"), 'has no effect with mode = "pairwise"')


def _judge(path: str, task: Task, config: Config) -> Iterator[Finding]:
    where, name = dotted.join(path, "model"), task.scorer.model
    if not task.scorer.rubric.strip():
        yield error(dotted.join(path, "rubric"), "required: says what a good answer is")
    if name is None:
        yield error(where, "required: the model that judges")
        return
    model = config.models.get(name)
    if model is None:
        yield error(where, f'model "{name}" is not declared{nearest_or_all(name, config.models)}')
        return
    provider = config.providers.get(model.provider)
    if provider is not None and provider.kind == "head":
        yield error(where, f'"{name}" is a label head, which cannot judge')
        return
    yield from _judges_its_own(where, name, task, config)


def _judges_its_own(where: str, name: str, task: Task, config: Config) -> Iterator[Finding]:
    """A judge favours its own answers, and those of its kind."""
    rungs = [rung.model if isinstance(rung, Rung) else rung for rung in task.ladder]
    if name in rungs:
        yield warning(where, f'"{name}" judges its own answers: it stands on this task\'s ladder')
        return
    family = family_of(config.models[name].id or name)
    kin = [
        rung
        for rung in rungs
        if rung in config.models and family_of(config.models[rung].id or rung) == family
    ]
    if kin:
        yield warning(where, f'"{name}" judges its own family: "{kin[0]}" is on this task\'s ladder')


def _pattern(path: str, pattern: str) -> Iterator[Finding]:
    if not pattern:
        yield error(path, 'required, such as "Answer: (.*)"')
        return
    try:
        re.compile(pattern)
    except re.error as wrong:
        yield error(path, f"not a regular expression: {wrong}")


def _fields(path: str, scorer: Scorer, contract: JsonContract) -> Iterator[Finding]:
    for field, weight in scorer.weights.items():
        if not 0 <= weight < float("inf"):
            yield error(
                dotted.join(dotted.join(path, "weights"), field),
                f"expected a number of at least 0, got {weight:g}",
            )
    known = _top(contract.schema)
    if not known:
        return
    for table in ("weights", "compare"):
        for field in getattr(scorer, table):
            first = re.split(r"[.\[]", field, maxsplit=1)[0]
            if field not in known and first and first not in known:
                yield warning(
                    dotted.join(dotted.join(path, table), field),
                    f'"{first}" is not a property of the contract\'s schema{nearest_or_all(first, known)}',
                )


def _top(schema: dict[str, Any]) -> tuple[str, ...]:
    """The properties of the value itself; none where the schema says them otherwise."""
    properties = schema.get("properties")
    return tuple(properties) if isinstance(properties, dict) else ()
