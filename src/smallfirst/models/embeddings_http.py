"""An embedder behind an OpenAI-compatible embeddings endpoint: `model:NAME`, NAME being a configured model.

Slow: it is asked from a thread. Its address and key come from the configuration, never from a call.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
import numpy as np

from smallfirst.classify.embedder import Embedder, bounded, unit
from smallfirst.classify.embedders import open_embedder
from smallfirst.config.schema import Config
from smallfirst.config.secrets import resolve, resolve_headers
from smallfirst.errors import ConfigError, UpstreamBroken, UpstreamError, UpstreamUnreachable
from smallfirst.models import openai_http

_PREFIX = "model:"
_BATCH = 64


class _Row(msgspec.Struct):
    index: int
    embedding: list[float]


class _Reply(msgspec.Struct):
    data: list[_Row]


class HttpEmbedder:
    """Implements `classify.embedder.Embedder`. `embed` raises `UpstreamError`."""

    slow = True

    def __init__(
        self, name: str, url: str, model: str, headers: Mapping[str, str], *, timeout_s: float
    ) -> None:
        self.name = name
        self._url = url
        self._model = model
        self._headers = dict(headers) | {"Accept-Encoding": "identity"}
        self._timeout_s = timeout_s
        self.dimensions = 0  # until the first answer tells
        self.dimensions = int(self.embed(["dimensions"]).shape[1])
        told = f"endpoint\x00{model}\x00{self.dimensions}"  # its weights cannot be seen
        self.sha256 = hashlib.sha256(told.encode()).hexdigest()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        parts = [
            self._batch([bounded(text) or " " for text in texts[at : at + _BATCH]])
            for at in range(0, len(texts), _BATCH)
        ]
        return unit(np.concatenate(parts)) if parts else np.zeros((0, self.dimensions), np.float32)

    def _batch(self, texts: list[str]) -> np.ndarray:
        body = msgspec.json.encode({"model": self._model, "input": texts, "encoding_format": "float"})
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310 (an address of the configuration's)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:  # noqa: S310
                reply = msgspec.json.decode(response.read(), type=_Reply)
        except urllib.error.HTTPError as error:
            raise UpstreamBroken(f"the embedder {self.name} answered {error.code}") from error
        except (OSError, TimeoutError) as error:
            raise UpstreamUnreachable(
                f"the embedder {self.name} cannot be reached ({type(error).__name__})"
            ) from error
        except msgspec.DecodeError as error:
            raise UpstreamBroken(f"the embedder {self.name} sent no embeddings ({error})") from error
        rows = sorted(reply.data, key=lambda row: row.index)
        if len(rows) != len(texts):
            raise UpstreamBroken(
                f"the embedder {self.name} sent {len(rows)} embeddings for {len(texts)} texts"
            )
        lengths = {len(row.embedding) for row in rows}
        if lengths != {self.dimensions or max(lengths)}:
            told = ", ".join(map(str, sorted(lengths)))
            raise UpstreamBroken(
                f"the embedder {self.name} sent {told} numbers where {self.dimensions} are due"
            )
        return np.array([row.embedding for row in rows], np.float32)


def embedder_of(name: str, config: Config | None, environ: Mapping[str, str]) -> Embedder:
    """The embedder of that name, also where it is a configured model. Raises `ConfigError` where it cannot be had."""
    if not name.startswith(_PREFIX):
        return open_embedder(name)
    wanted = name.removeprefix(_PREFIX)
    model = config.models.get(wanted) if config else None
    if config is None or model is None:
        raise ConfigError(f"embedder {name!r}: model {wanted!r} is not in [models]")
    provider = config.providers[model.provider]
    if provider.kind != "openai":
        raise ConfigError(
            f"embedder {name!r}: provider {model.provider!r} is {provider.kind}, and an OpenAI-compatible one is needed"
        )
    key = (
        resolve(provider.api_key, environ, path=f"providers.{model.provider}.api_key")
        if provider.api_key
        else None
    )
    headers = openai_http.headers(key) | resolve_headers(
        provider.headers, environ, path=f"providers.{model.provider}.headers"
    )
    base = model.endpoints[0] if model.endpoints else provider.base_url or openai_http.DEFAULT_BASE_URL
    url = base.rstrip("/") + openai_http.path("embeddings")
    try:
        return _open(
            name, url, model.id or wanted, tuple(sorted(headers.items())), provider.timeouts.first_byte_s
        )
    except UpstreamError as error:
        raise ConfigError(str(error)) from error


@lru_cache(maxsize=8)
def _open(
    name: str, url: str, model: str, headers: tuple[tuple[str, str], ...], timeout_s: float
) -> HttpEmbedder:
    return HttpEmbedder(name, url, model, dict(headers), timeout_s=timeout_s)
