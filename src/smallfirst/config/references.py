"""Names in the file that must exist in the file, and names that must not meet."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, error, nearest_or_all, warning
from smallfirst.config.schema import Config, Rung

TASK_PREFIX = "task/"
DEFAULT_TENANT = "default"
_SERVED = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/models")


def check_references(config: Config) -> Iterator[Finding]:
    """Providers of models and relays, models of ladders, tenants of keys, and where aliases lead."""
    for name, model in config.models.items():
        path = dotted.join("models", name)
        if model.provider not in config.providers:
            yield _unknown(dotted.join(path, "provider"), "provider", model.provider, config.providers)
        if name.startswith(TASK_PREFIX):
            yield error(path, f'a model cannot be called "{TASK_PREFIX}…": that asks for a task')
    yield from _aliases(config)
    for name, key in config.keys.items():
        if key.tenant not in config.tenants and key.tenant != DEFAULT_TENANT:
            path = dotted.join(dotted.join("keys", name), "tenant")
            yield _unknown(path, "tenant", key.tenant, config.tenants)
    for name, task in config.tasks.items():
        path = dotted.join(dotted.join("tasks", name), "ladder")
        for at, rung in enumerate(task.ladder):
            yield from _declared_model(config, dotted.item(path, at), rung)
    if config.frontier is not None:
        yield from _declared_model(config, "frontier", config.frontier)
    yield from _relays(config)
    yield from _accepts(config)


def _unknown(path: str, what: str, name: str, known: Iterable[str]) -> Finding:
    return error(path, f'{what} "{name}" is not declared{nearest_or_all(name, known)}')


def _declared_model(config: Config, path: str, rung: str | Rung) -> Iterator[Finding]:
    name = rung if isinstance(rung, str) else rung.model
    if name in config.models:
        return
    if name in config.aliases:
        yield error(path, f'"{name}" is an alias; a ladder names models: "{config.aliases[name]}"')
    elif any(_accepted(name, provider.accepts) for provider in config.providers.values()):
        yield error(
            path,
            f'model "{name}" is only accepted by pattern; declare it in [models.{dotted.key(name)}]',
        )
    else:
        yield _unknown(path, "model", name, config.models)


def _aliases(config: Config) -> Iterator[Finding]:
    for name, target in config.aliases.items():
        path = dotted.join("aliases", name)
        if name in config.models:
            yield error(path, f'"{name}" is also a model; callers could not tell which they get')
        if name.startswith(TASK_PREFIX):
            yield error(path, f'an alias cannot be called "{TASK_PREFIX}…": that asks for a task')
        if target in config.aliases:
            yield _alias_of_alias(config, path, name)
        elif target.startswith(TASK_PREFIX):
            task = target.removeprefix(TASK_PREFIX)
            if task not in config.tasks:
                yield _unknown(path, "task", task, config.tasks)
        elif target not in config.models and not any(
            _accepted(target, one.accepts) for one in config.providers.values()
        ):
            yield _unknown(path, "model", target, config.models)


def _alias_of_alias(config: Config, path: str, name: str) -> Finding:
    chain = [name]
    while chain[-1] in config.aliases:
        following = config.aliases[chain[-1]]
        if following in chain:
            return error(path, f"aliases go in a circle: {' → '.join([*chain, following])}")
        chain.append(following)
    return error(path, f'"{chain[1]}" is an alias itself; name what it stands for: "{chain[-1]}"')


def _accepted(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _relays(config: Config) -> Iterator[Finding]:
    seen: set[str] = set()
    for at, relay in enumerate(config.relay):
        path = dotted.item("relay", at)
        prefix = relay.prefix.rstrip("/") or "/"
        where = dotted.join(path, "prefix")
        if relay.provider not in config.providers:
            yield _unknown(dotted.join(path, "provider"), "provider", relay.provider, config.providers)
        elif (kind := config.providers[relay.provider].kind) in ("embedded", "head"):
            what = "embedded" if kind == "embedded" else "for label heads"
            yield error(
                dotted.join(path, "provider"),
                f'"{relay.provider}" is {what}, and nothing can be relayed to it',
            )
        if not relay.prefix.startswith("/") or ".." in relay.prefix or not relay.prefix.isprintable():
            yield error(where, f'expected a path such as "/v1/responses", got "{relay.prefix[:40]}"')
        if prefix in seen:
            yield error(where, f'"{prefix}" is relayed twice')
        elif prefix in _SERVED:
            yield warning(where, f'"{prefix}" is answered by smallfirst itself and never relayed')
        seen.add(prefix)


def _accepts(config: Config) -> Iterator[Finding]:
    """A pattern that an earlier one covers is never reached: providers are asked in the order of the file."""
    earlier: list[tuple[str, str]] = []
    for name, provider in config.providers.items():
        path = dotted.join(dotted.join("providers", name), "accepts")
        for at, pattern in enumerate(provider.accepts):
            where = dotted.item(path, at)
            covering = next(
                ((owner, one) for owner, one in earlier if fnmatch.fnmatchcase(pattern, one)), None
            )
            if covering is not None:
                owner, one = covering
                yield warning(
                    where, f'"{pattern}" is never reached: "{one}" of provider "{owner}" comes before it'
                )
            earlier.append((name, pattern))
