"""What a configuration has to answer with: its models, their prices, their weights and, from a gateway that
runs, their health.
"""

from __future__ import annotations

import datetime
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config, Provider
from smallfirst.models import anthropic_http, openai_http, weights
from smallfirst.models.endpoints import Endpoint
from smallfirst.models.heads import trained, wanted_heads
from smallfirst.pricing import Price, PriceBook

_ASK_TIMEOUT_S = 1.0
_UP = "smallfirst_endpoint_up"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where a gateway that listens there is asked)

Health = Literal["up", "down", "unknown"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `weights` is the file of an embedded one or of a label head, None where it is not here or
    where there is none to have.
    """

    name: str
    provider: str
    kind: str
    id: str  # as its provider is asked for it; under an adapter, the base
    adapter: str | None  # the task whose newest it is over that base, or its hash
    endpoints: tuple[str, ...]
    context_tokens: int | None
    tools: bool
    price: Price | None
    hourly_usd: Decimal | None
    simulated: bool
    weights: Path | None
    health: Health  # of its endpoints, together: up while one of them is

    @property
    def lacks_weights(self) -> bool:
        return self.kind in ("embedded", "head") and self.weights is None


def inventory(
    config: Config, *, on: datetime.date, up: dict[str, bool] | None = None, state: Path | None = None
) -> list[Row]:
    """The declared models, in the configuration's order, with their prices on that day.

    `up` says which endpoints are, by their names in the metrics: `endpoints_up` of a gateway that runs.
    `state` is the state directory, where trained heads lie.
    """
    book = PriceBook(config)
    files = _embedded(config) | (_heads(config, state) if state else {})
    return [
        _row(name, config, price=book.at(name, model.provider, on), up=up or {}, file=files.get(name))
        for name, model in config.models.items()
    ]


def endpoints_up(config: Config) -> dict[str, bool] | None:
    """Which endpoints the gateway at the configured address would send to, by name; None where none answers
    there.
    """
    host = _EVERYWHERE.get(config.server.host, config.server.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{config.server.port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=_ASK_TIMEOUT_S) as response:
            text = response.read().decode()
        families = list(text_string_to_metric_families(text))
    except (
        OSError,
        urllib.error.URLError,
        ValueError,
    ):  # nobody, somebody else, or metrics that are turned off
        return None
    samples = [sample for family in families for sample in family.samples if sample.name == _UP]
    return {sample.labels["endpoint"]: sample.value == 1 for sample in samples}


def _embedded(config: Config) -> dict[str, Path | None]:
    """The GGUF file of each embedded model, None where it is not here."""
    return {
        name: weights.find(model.id or name)
        for name, model in config.models.items()
        if config.providers[model.provider].kind == "embedded"
    }


def _heads(config: Config, state: Path) -> dict[str, Path]:
    """The artifact of each label head that there is."""
    artifacts = Artifacts(state)
    found = {name: trained(artifacts, wanted) for name, wanted in wanted_heads(config).items()}
    return {name: artifacts.path(sha256) for name, sha256 in found.items() if sha256}


def _row(name: str, config: Config, *, price: Price | None, up: dict[str, bool], file: Path | None) -> Row:
    model = config.models[name]
    provider = config.providers[model.provider]
    urls = model.endpoints or _own_address(provider)
    labels = [f"embedded {name}"] if provider.kind == "embedded" else [Endpoint(url).name for url in urls]
    known = [up[label] for label in labels if label in up]
    return Row(
        name=name,
        provider=model.provider,
        kind=provider.kind,
        id=model.id or name,
        adapter=model.adapter,
        endpoints=urls,
        context_tokens=model.context_tokens,
        tools=model.tools and provider.kind != "head",
        price=price,
        hourly_usd=model.hourly_usd,
        simulated=provider.simulated,
        weights=file,
        health="unknown" if not known else "up" if any(known) else "down",
    )


def _own_address(provider: Provider) -> tuple[str, ...]:
    if provider.base_url:
        return (provider.base_url,)
    if provider.kind == "anthropic":
        return (anthropic_http.DEFAULT_BASE_URL,)
    return (openai_http.DEFAULT_BASE_URL,) if provider.kind == "openai" else ()
