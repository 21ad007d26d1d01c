"""Who teaches: a configured model that may be learned from, and is not the student itself. Known before anybody is asked."""

from __future__ import annotations

import msgspec

from smallfirst.config.finding import nearest_or_all
from smallfirst.config.schema import Config, Model
from smallfirst.datasets.terms import forbidden_providers
from smallfirst.errors import ConfigError


class Teacher(msgspec.Struct, frozen=True, kw_only=True):
    """A model of `[models]`. `simulated`: it only pretends, so what is learned from it says nothing of a real one."""

    name: str
    provider: str
    simulated: bool


def teacher_of(task: str, name: str, config: Config, *, option: str) -> Teacher:
    """The model of this name or alias. `option`: for messages.

    Raises `ConfigError` where it is not configured, is a head, is a small rung of the task (a student that teaches itself), or its provider
    is one on whose outputs nothing may be trained.
    """
    name = config.aliases.get(name, name)
    if name not in config.models:
        raise ConfigError(
            f"model {name!r} is not configured{nearest_or_all(name, config.models)}", path=option
        )
    model = config.models[name]
    provider = config.providers[model.provider]
    if provider.kind == "head":
        raise ConfigError(f"{name!r} is a label head: it learns from examples and gives none", path=option)
    if model.adapter is not None:
        raise ConfigError(
            f"{name!r} is a base with an adapter that was trained here: a student, not a teacher", path=option
        )
    forbidden = forbidden_providers(config)
    if model.provider in forbidden:
        raise ConfigError(
            f"nothing may be trained on what {name!r} answers: learning.never_train_on names its provider {model.provider!r}",
            path=option,
        )
    small = [
        rung if isinstance(rung, str) else rung.model
        for rung in config.tasks[task].ladder[:-1]
        if len(config.tasks[task].ladder) > 1
    ]
    if any(_same(name, other, config) for other in small):
        raise ConfigError(
            f"{name!r} is a small rung of tasks.{task}.ladder, and would teach itself: name the last rung, "
            f"{_last(task, config)!r}, or another model",
            path=option,
        )
    return Teacher(name=name, provider=model.provider, simulated=provider.simulated)


def _same(name: str, other: str, config: Config) -> bool:
    """Whether two names mean one model: that of a provider under one id, or one base under the same weights."""
    other = config.aliases.get(other, other)
    if name == other:
        return True
    if other not in config.models:
        return False
    return _what(name, config.models[name]) == _what(other, config.models[other])


def _what(name: str, model: Model) -> tuple[str, ...]:
    return (model.provider, model.id or name, model.weights_sha256 or "")


def _last(task: str, config: Config) -> str:
    rung = config.tasks[task].ladder[-1]
    return rung if isinstance(rung, str) else rung.model
