"""Models that are an adapter over a base: where they may stand, in which forms, and which adapter they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, error, warning
from smallfirst.config.schema import Config, Model, Provider, Rung

_PREFIX = re.compile(r"[0-9a-f]{12,64}")
_EMBEDDED = ("lora", "q8_0", "f16", "q4_1")
_WHERE = 'embedded models and engine = "vllm" can have one'
EMBEDDED_TARGET = "embedded"


def form_of(model: Model, provider: Provider) -> Literal["peft", "lora", "q8_0", "f16", "q4_1"]:
    """The form in which a model's adapter is served, "auto" resolved."""
    if model.form != "auto":
        return model.form
    return "lora" if provider.kind == "embedded" else "peft"


def targets_of(model: Model, provider: Provider) -> tuple[str, ...]:
    """Where a model's adapter must be deployed: "embedded", or the base URL of each of its servers, as the configuration writes them."""
    if provider.kind == "embedded":
        return (EMBEDDED_TARGET,)
    return model.endpoints or ((provider.base_url,) if provider.base_url else ())


def check_adapters(config: Config) -> Iterator[Finding]:
    """What a model with an adapter must be, and the ladders that it may not end."""
    tuned: set[str] = set()
    for name, model in config.models.items():
        provider = config.providers.get(model.provider)
        if provider is None:
            continue  # said elsewhere
        path = dotted.join("models", name)
        if model.adapter is not None:
            tuned.add(name)
            yield from _adapter(path, name, model, provider, config)
        elif model.form != "auto":
            yield error(dotted.join(path, "form"), "says how an adapter is served, and `adapter` names none")
    if config.frontier in tuned:
        yield error(
            "frontier",
            f'"{config.frontier}" has an adapter: it is what is proven, not what it is proven against',
        )
    for name, task in config.tasks.items():
        last = task.ladder[-1] if task.ladder else None
        model = last.model if isinstance(last, Rung) else last
        if model in tuned and config.frontier is None:
            path = dotted.join(dotted.join("tasks", name), "ladder")
            yield error(
                dotted.item(path, len(task.ladder) - 1),
                f'"{model}" has an adapter, and is compared with the last rung, the frontier model: add one, or set `frontier`',
            )


def _adapter(path: str, name: str, model: Model, provider: Provider, config: Config) -> Iterator[Finding]:
    embedded = provider.kind == "embedded"
    if not embedded and provider.engine != "vllm":
        yield error(dotted.join(path, "adapter"), f'provider "{model.provider}" serves no adapters; {_WHERE}')
        return
    if model.id is None:
        yield error(dotted.join(path, "id"), "is the base that the adapter is over, and must be named")
    if model.weights_sha256 is not None and not embedded:
        yield error(
            dotted.join(path, "weights_sha256"),
            "pins weights of this machine; an adapter's hash is pinned by each release",
        )
    yield from _form(dotted.join(path, "form"), model, embedded=embedded)
    wanted = model.adapter or ""
    if wanted not in config.tasks and not _PREFIX.fullmatch(wanted):
        yield warning(
            dotted.join(path, "adapter"),
            f'"{wanted[:128]}" is no task of this file and no adapter\'s hash (12 hex digits at least)',
        )


def _form(path: str, model: Model, *, embedded: bool) -> Iterator[Finding]:
    if embedded and model.form == "peft":
        yield error(path, f"the embedded server serves {', '.join(_EMBEDDED)}; peft is vLLM's")
    elif not embedded and model.form not in ("auto", "peft"):
        yield error(
            path,
            f'vLLM serves an adapter as PEFT wrote it: leave `form` out, or "peft"; {model.form} is for the embedded server',
        )
    elif model.form == "q4_1":
        yield warning(
            path, "a merge that is written back with 4 bits can lose what was tuned; lora and q8_0 keep it"
        )
