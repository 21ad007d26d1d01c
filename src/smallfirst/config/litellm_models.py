"""Deployments gathered into providers and models.

Replicas become endpoints of one model, the rest is numbered.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from smallfirst.config.hosts import HOSTS
from smallfirst.config.litellm_deployment import Deployment, Upstream
from smallfirst.config.litellm_settings import Settings
from smallfirst.config.litellm_values import Values

_ACCEPTS = {host.prefix: host.accepts for host in HOSTS}


class Models:
    """The tables `providers` and `models` as they grow, and a line for everything that was taken."""

    def __init__(self, settings: Settings, values: Values, today: datetime.date) -> None:
        self.providers: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.taken: list[str] = []
        self._settings = settings
        self._values = values
        self._today = today
        self._provider_names: dict[tuple[Upstream, str | None], str] = {}
        self._groups: dict[str, list[str]] = {}  # LiteLLM's model_name → our models
        self._first: dict[str, Deployment] = {}  # our model → the deployment that it was made of

    def add(self, deployment: Deployment) -> None:
        """Takes one deployment."""
        if "*" in deployment.name or "*" in deployment.id:
            self._add_pattern(deployment)
            return
        for name in self._groups.get(deployment.name, []):
            if self._is_replica(self._first[name], deployment):
                self._add_endpoint(name, deployment)
                return
        self._add_model(deployment)

    def providers_in_order(self) -> dict[str, dict[str, Any]]:
        """The providers, those that accept every name last: here the first pattern that fits decides."""
        return dict(sorted(self.providers.items(), key=lambda item: "*" in item[1].get("accepts", [])))

    def aliases(self) -> dict[str, str]:
        """LiteLLM's `model_group_alias`, as far as its targets were taken."""
        found: dict[str, str] = {}
        for alias, target in self._settings.aliases.items():
            if target not in self.models:
                self._values.leave(
                    f'router_settings.model_group_alias "{alias}"', "what it stands for was not taken"
                )
            elif alias in self.models:
                self._values.leave(f'router_settings.model_group_alias "{alias}"', "is also a model's name")
            else:
                found[alias] = target
                self.taken.append(f'alias "{alias}" for "{target}"')
        return found

    def _is_replica(self, first: Deployment, other: Deployment) -> bool:
        return (first.upstream, first.id, first.prefix) == (other.upstream, other.id, other.prefix)

    def _add_endpoint(self, name: str, deployment: Deployment) -> None:
        model = self.models[name]
        url = deployment.base_url
        known = model.get("endpoints", [self._first[name].base_url])
        if url is None or url in known:
            self._values.leave(deployment.path, f'asks "{name}" a second time at the same address')
            return
        model["endpoints"] = [*known, url]
        self.taken.append(f'{deployment.path}: another endpoint of model "{name}"')

    def _add_model(self, deployment: Deployment) -> None:
        group = self._groups.setdefault(deployment.name, [])
        name = self._free(deployment.name) if group or deployment.name in self.models else deployment.name
        if group:
            self._values.leave(
                deployment.path,
                f'"{deployment.name}" is spread over several providers or models; this one is "{name}" now, '
                "and callers or a task's ladder must name it",
            )
        provider = self._provider(deployment)
        fields: dict[str, Any] = {
            "provider": provider,
            "id": deployment.id if deployment.id != name else None,
            "context_tokens": deployment.context_tokens,
            "tools": None if deployment.tools else False,
            "concurrency": deployment.concurrency,
            "prices": [self._price(deployment.price)] if deployment.price else None,
        }
        self.models[name] = {field: value for field, value in fields.items() if value is not None}
        self._first[name] = deployment
        group.append(name)
        self.taken.append(f'{deployment.path}: model "{name}" of provider "{provider}"')

    def _add_pattern(self, deployment: Deployment) -> None:
        """A wildcard.

        Names go to a provider as callers say them, so only patterns without LiteLLM's prefix mean the same
        here.
        """
        asked, sent = deployment.name, deployment.id
        own = _ACCEPTS.get(deployment.prefix, ())
        if asked == sent:
            patterns = [asked]
        elif (
            asked == f"{deployment.prefix}/{sent}"
            and sent == "*"
            and own
            and not any("/" in one for one in own)
        ):
            patterns = list(own)
            self._values.leave(
                deployment.path,
                f'callers that ask for "{deployment.prefix}/NAME" must leave out "{deployment.prefix}/"',
            )
        else:
            self._values.leave(
                deployment.path,
                f'"{asked}" is sent on as "{sent}"; names are not rewritten here; declare the models',
            )
            return
        provider = self._provider(deployment)
        accepts = self.providers[provider].setdefault("accepts", [])
        accepts += [pattern for pattern in patterns if pattern not in accepts]
        self.taken.append(f'{deployment.path}: provider "{provider}" accepts {", ".join(patterns)}')

    def _provider(self, deployment: Deployment) -> str:
        """The name of the deployment's provider, which is added where it is new."""
        key = (deployment.upstream, deployment.base_url)
        if key in self._provider_names:
            return self._provider_names[key]
        upstream = deployment.upstream
        name = upstream.name
        number = 2
        while name in self.providers:
            name, number = f"{upstream.name}-{number}", number + 1
        timeouts = {
            "total_s": upstream.total_s or self._settings.total_s,
            "first_byte_s": upstream.first_byte_s or self._settings.first_byte_s,
        }
        fields: dict[str, Any] = {
            "kind": upstream.kind,
            "base_url": deployment.base_url,
            "api_key": upstream.api_key,
            "api_version": upstream.api_version,
            "engine": upstream.engine if upstream.engine != "hosted" else None,
            "max_attempts": upstream.max_attempts or self._settings.max_attempts,
            "headers": dict(upstream.headers) or None,
            "timeouts": {field: value for field, value in timeouts.items() if value is not None} or None,
        }
        self.providers[name] = {field: value for field, value in fields.items() if value is not None}
        self._provider_names[key] = name
        self.taken.append(f'provider "{name}"')
        return name

    def _free(self, name: str) -> str:
        number = 2
        while f"{name}-{number}" in self.models:
            number += 1
        return f"{name}-{number}"

    def _price(self, price: dict[str, Decimal]) -> dict[str, Any]:
        quoted = {name: format(value, "f") for name, value in price.items()}
        return {"since": self._today, **quoted, "note": "from the LiteLLM configuration"}
