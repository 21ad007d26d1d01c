"""All models of a configuration, by the names that callers use."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Mapping, Set
from functools import lru_cache

from smallfirst.config.adapters import form_of, targets_of
from smallfirst.config.routing import auto_names
from smallfirst.config.schema import Config, Provider
from smallfirst.config.schema import Model as ModelConfig
from smallfirst.config.secrets import resolve, resolve_headers
from smallfirst.config.strict import NAME_PATTERN
from smallfirst.errors import ConfigError, UnknownModel
from smallfirst.models import anthropic_http, openai_http
from smallfirst.models.adapted import Adapted
from smallfirst.models.adapters.adapter import is_served_name
from smallfirst.models.embedded_reach import EmbeddedReach
from smallfirst.models.endpoints import Endpoint, Endpoints
from smallfirst.models.model import Model
from smallfirst.models.transport import Transport

TASK_PREFIX = "task/"
_NAME = re.compile(NAME_PATTERN)
_IN_PROCESS = "http://in-process.invalid"  # an address that nobody has (RFC 2606): nothing is sent there
_MAX_UNDECLARED = 512  # names that a provider accepts by pattern, kept at once


class Catalogue:
    """Models by name: the declared ones, and those that a provider accepts by pattern, made when first asked for.

    Endpoints (their breakers, their load) survive a reload: `before` is the catalogue they come from. `embedded` says how the embedded models'
    servers are reached, and which adapters are served. `heads` reaches the label heads; without it they cannot be asked. `stopped`: the names of
    models that an operator has stopped, as they change.
    """

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        *,
        before: Catalogue | None = None,
        embedded: EmbeddedReach | None = None,
        heads: Transport | None = None,
        stopped: Set[str] = frozenset(),
    ) -> None:
        self._config = config
        self._stopped = stopped
        self._known = before.endpoints_by_url if before else {}
        self.endpoints_by_url: dict[str, Endpoint] = {}
        self._embedded = embedded or EmbeddedReach()
        self._heads = heads
        self._headers = {
            name: _headers(name, provider, environ) for name, provider in config.providers.items()
        }
        self._shared = {name: self._endpoints((), provider) for name, provider in config.providers.items()}
        self._declared = {name: self._model(name, model) for name, model in config.models.items()}
        self._undeclared = lru_cache(maxsize=_MAX_UNDECLARED)(self._by_pattern)

    @property
    def declared(self) -> Mapping[str, Model]:
        return self._declared

    def get(self, name: str) -> Model:
        """The model of that name, aliases followed. Raises `UnknownModel` that names the nearest known."""
        name = self.resolve_alias(name)
        found = self._declared.get(name)
        # What a caller invents is a key of caches, a header's value and a metric's label: only what could be declared is looked for.
        if found is None and _NAME.fullmatch(name):
            found = self._undeclared(name)
        if found is None:
            raise UnknownModel(self._unknown(name), param="model")
        return found

    def resolve_alias(self, name: str) -> str:
        return self._config.aliases.get(name, name)

    def provider_endpoints(self, name: str) -> Endpoints:
        """The provider's own address, for paths that are relayed verbatim."""
        return self._shared[name]

    def provider_headers(self, name: str) -> dict[str, str]:
        return self._headers[name]

    def names(self) -> list[str]:
        """Everything a caller may name, but for patterns."""
        tasks = [TASK_PREFIX + name for name in self._config.tasks]
        return sorted({*self._declared, *self._config.aliases, *tasks, *auto_names(self._config)})

    def _by_pattern(self, name: str) -> Model | None:
        for provider_name, provider in self._config.providers.items():
            if provider.engine == "vllm" and is_served_name(name):
                continue  # which adapter answers is a policy's to say, or a declared model's
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in provider.accepts):
                return self._model(name, ModelConfig(provider=provider_name))
        return None

    def _model(self, name: str, config: ModelConfig) -> Model:
        provider = self._config.providers[config.provider]
        if provider.kind == "embedded":
            endpoint = self._embedded.endpoints.get(name) or _absent()
            endpoints = Endpoints([endpoint])
        elif provider.kind == "head":
            endpoints = Endpoints([Endpoint(_IN_PROCESS, name="in process")])
        elif config.endpoints:
            endpoints = self._endpoints(config.endpoints, provider)
        else:
            endpoints = self._shared[config.provider]
        headers = dict(self._headers[config.provider])
        if provider.kind == "embedded":
            headers |= openai_http.headers(self._embedded.key)
        model = Model(
            name,
            config,
            provider_name=config.provider,
            provider=provider,
            endpoints=endpoints,
            headers=headers,
        )
        model.transport = self._heads if provider.kind == "head" else None
        model.stopped_models = self._stopped
        if config.adapter is not None:
            model.adapter = Adapted(
                config.adapter,
                form=form_of(config, provider),
                targets=targets_of(config, provider),
                base=model.upstream_id,
                reach=self._embedded,
            )
        return model

    def _endpoints(self, urls: tuple[str, ...], provider: Provider) -> Endpoints:
        if provider.kind in ("embedded", "head"):
            return Endpoints([])
        urls = urls or (provider.base_url or _default_base_url(provider),)
        return Endpoints([self._endpoint(url) for url in urls])

    def _endpoint(self, url: str) -> Endpoint:
        endpoint = self.endpoints_by_url.get(url) or self._known.get(url) or Endpoint(url)
        self.endpoints_by_url[url] = endpoint
        return endpoint

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name[:128], self.names(), n=1)
        hint = f'; did you mean "{near[0]}"?' if near else "; GET /v1/models lists what there is"
        return f"model {name[:128]!r} is not configured{hint}"


def _default_base_url(provider: Provider) -> str:
    if provider.kind == "azure":
        raise ConfigError("an azure provider needs `base_url`, its resource's address")
    return anthropic_http.DEFAULT_BASE_URL if provider.kind == "anthropic" else openai_http.DEFAULT_BASE_URL


def _headers(name: str, provider: Provider, environ: Mapping[str, str]) -> dict[str, str]:
    key = resolve(provider.api_key, environ, path=f"providers.{name}.api_key") if provider.api_key else None
    if provider.kind == "anthropic":
        base = anthropic_http.headers(key)
    elif provider.kind == "azure":
        base = openai_http.azure_headers(key)
    else:
        base = openai_http.headers(key)
    return base | resolve_headers(provider.headers, environ, path=f"providers.{name}.headers")


def _absent() -> Endpoint:
    endpoint = Endpoint("http://127.0.0.1:9", name="embedded (not started)")
    endpoint.ready = False
    return endpoint
