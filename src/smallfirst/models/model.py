"""A model as the gateway asks it: who, where, in which dialect, at what price."""

from __future__ import annotations

import datetime
from collections.abc import Set
from typing import Literal, Protocol

from multidict import CIMultiDict

from smallfirst.chat import Dialect
from smallfirst.config.schema import Model as ModelConfig
from smallfirst.config.schema import Provider, ProviderKind, Timeouts
from smallfirst.models import anthropic_http, label_head, openai_http
from smallfirst.models.adapted import Adapted, PinnedAdapter
from smallfirst.models.endpoints import Endpoint, Endpoints
from smallfirst.models.meter import Meter
from smallfirst.models.transport import Outgoing, Transport
from smallfirst.pricing import Price
from smallfirst.wire.incoming import Changes, Incoming

_ENGINES: dict[ProviderKind, Literal["hosted", "llamacpp"]] = {"embedded": "llamacpp", "head": "hosted"}


class Prices(Protocol):
    """Where a model's price of a day is found: `pricing.PriceBook`."""

    def at(self, model: str, provider: str, on: datetime.date) -> Price | None: ...


class Pinned(Protocol):
    """What a policy holds a model to: `releases.RungPolicy`."""

    @property
    def weights_sha256(self) -> str | None: ...
    @property
    def adapter(self) -> PinnedAdapter | None: ...


class Model:
    """Something that answers. One object for the life of a configuration; `in_flight` counts what is being asked of it now."""

    def __init__(
        self,
        name: str,
        config: ModelConfig,
        *,
        provider_name: str,
        provider: Provider,
        endpoints: Endpoints,
        headers: dict[str, str],
    ) -> None:
        self.name = name
        self.provider = provider_name
        self.kind: ProviderKind = provider.kind
        self.dialect: Dialect = "anthropic" if provider.kind == "anthropic" else "openai"
        self.upstream_id = config.id or name
        self.weights_sha256 = config.weights_sha256
        self.adapter: Adapted | None = None  # what it is over its base; the catalogue says
        self.endpoints = endpoints
        self.timeouts: Timeouts = provider.timeouts
        self.max_attempts = provider.max_attempts
        self.simulated = provider.simulated
        self.stream_usage = provider.stream_usage
        self.engine = _ENGINES.get(provider.kind, provider.engine)
        self.context_tokens = config.context_tokens
        self.tools = config.tools and provider.kind != "head"
        self.concurrency = config.concurrency
        self.show_model = config.show_model
        self.hourly_usd = config.hourly_usd
        self.transport: Transport | None = None  # None: the one that all models share
        self.in_flight = 0
        self.stopped_models: Set[str] = frozenset()  # the names of those that an operator has stopped
        self.meter = Meter()
        self._headers = CIMultiDict(
            headers
        )  # as the client library wants them, so that it need not convert them for each call
        self._api_version = provider.api_version

    @property
    def owned(self) -> bool:
        """Whether the user runs the engine: its requests are held to an allowlist of fields."""
        return self.engine != "hosted"

    @property
    def gives_logprobs(self) -> bool:
        """Whether it can be asked how sure it was: engines of the user's own can, hosted models are sent only what the client sent."""
        return self.dialect == "openai" and (self.owned or self.kind == "head")

    @property
    def full(self) -> bool:
        return self.concurrency is not None and self.in_flight >= self.concurrency

    @property
    def stopped(self) -> bool:
        """Whether an operator has stopped it."""
        return self.name in self.stopped_models

    def asked_as(self, pinned: Pinned) -> str:
        """The upstream's name for it: that of the adapter or the label head which a policy pins, else of the one that the configuration names.

        Raises `UpstreamUnavailable` where its adapter is not served: nobody is answered by the bare base instead.
        """
        if pinned.adapter is not None:
            return pinned.adapter.served_name
        if self.adapter is not None:
            return self.adapter.name
        if self.kind != "head":
            return self.upstream_id
        return pinned.weights_sha256 or self.weights_sha256 or self.upstream_id

    def reached(self, pinned: Pinned) -> Endpoints:
        """Its endpoints: none where it has an adapter and that, or the very file that is pinned, is not served; of one that is merged into its
        base, the server that it has to itself.
        """
        if self.adapter is None:
            return self.endpoints
        if pinned.adapter is None:
            return self.endpoints if self.adapter.served else Endpoints([], why_none=self.adapter.why_none)
        if why := self.adapter.why_not(pinned.adapter):
            return Endpoints([], why_none=why)
        return self.adapter.merged(pinned.adapter) or self.endpoints

    def outgoing(self, incoming: Incoming, endpoint: Endpoint, changes: Changes) -> Outgoing:
        """The request as this model is sent it. Raises `Untranslatable` if it cannot be said."""
        body = incoming.data_for(self.dialect, changes)
        if self.kind == "anthropic":
            path = anthropic_http.path(incoming.route)
        elif self.kind == "head":
            path = label_head.path(incoming.route)
        elif self.kind == "azure":
            path = openai_http.azure_path(incoming.route, self.upstream_id, self._api_version)
        else:
            path = openai_http.path(incoming.route)
        return Outgoing(endpoint.url(path), self._headers, body)

    def price(self, book: Prices, on: datetime.date) -> Price | None:
        return book.at(self.name, self.provider, on)
