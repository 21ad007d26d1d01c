"""Whose outputs nothing is trained on: the providers that `[learning] never_train_on` names, under every name that data have for them."""

from __future__ import annotations

from smallfirst.config.schema import Config


def forbidden_providers(config: Config) -> frozenset[str]:
    """The names themselves, and for hosted ones what logs from elsewhere call them: "openai", "anthropic", "azure"."""
    found = set(config.learning.never_train_on)
    for name in config.learning.never_train_on:
        provider = config.providers.get(name)
        # An endpoint of one's own also speaks OpenAI's dialect, but is somebody else.
        if provider is not None and (
            provider.kind in ("anthropic", "azure") or _is_openai(provider.kind, provider.base_url)
        ):
            found.add(provider.kind)
    return frozenset(found)


def simulated_providers(config: Config) -> frozenset[str]:
    """Those whose answers are a simulation's: what is learned from them says nothing of a real model."""
    return frozenset(name for name, provider in config.providers.items() if provider.simulated)


def _is_openai(kind: str, base_url: str | None) -> bool:
    return kind == "openai" and (base_url is None or "api.openai.com" in base_url)
