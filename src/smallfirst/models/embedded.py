"""The embedded models of a configuration: one supervised server each, started beside the gateway, an ordinary endpoint to everything else."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from pathlib import Path

from yarl import URL

from smallfirst.config.schema import Config
from smallfirst.config.schema import Model as ModelConfig
from smallfirst.models import weights
from smallfirst.models.endpoints import Endpoint
from smallfirst.models.llamacpp import EmbeddedServer
from smallfirst.models.llamacpp_child import Settings

_log = logging.getLogger(__name__)
_PENDING = "http://127.0.0.1:9/v1"  # the discard port: nobody is asked before the server is ready
_DEFAULT_CONTEXT_TOKENS = 2048
_SLOTS = 2  # generated at once; what else a model takes waits in its queue


class EmbeddedModels:
    """Their endpoints exist from the start and are ready when their servers are; the gateway does not wait for them."""

    def __init__(self, config: Config, state: Path, *, base: Path, wanted: bool = True) -> None:
        """`state` takes their logs; a path to a `.gguf` is relative to `base`, the configuration's folder."""
        self._base = base
        self.endpoints: dict[str, Endpoint] = {}
        self.keys: dict[str, str] = {}
        self._servers: list[EmbeddedServer] = []
        embedded = {
            name: model
            for name, model in config.models.items()
            if config.providers[model.provider].kind == "embedded"
        }
        for name, model in embedded.items():
            endpoint = self.endpoints[name] = Endpoint(_PENDING, name=f"embedded {name}")
            endpoint.ready = False
            if wanted:
                self._prepare(name, model, endpoint, state)

    @property
    def ready(self) -> int:
        """How many are."""
        return sum(server.state == "ready" for server in self._servers)

    def start(self) -> None:
        """Begins to start them, in the background."""
        for server in self._servers:
            server.start()

    async def started(self) -> None:
        """Returns when each is ready. Raises `StateError` with the end of the log of one that does not start."""
        for server in self._servers:
            await server.ready()

    async def stop(self) -> None:
        """Ends them all."""
        await asyncio.gather(*(server.stop() for server in self._servers))

    def _prepare(self, name: str, model: ModelConfig, endpoint: Endpoint, state: Path) -> None:
        wanted = model.id or name
        path = weights.find(wanted, base=self._base)
        if path is None:
            _log.warning(
                "models.%s: no weights; `smallfirst models pull %s` fetches them. Its calls climb until then",
                name,
                wanted,
            )
            return
        if model.weights_sha256 is not None and weights.sha256_of(path) != model.weights_sha256:
            _log.error("models.%s: %s is not what weights_sha256 says. Its calls climb", name, path)
            return
        if importlib.util.find_spec("xllamacpp") is None:
            _log.warning(
                "models.%s: `pip install 'smallfirst[embedded]'` installs its engine. Its calls climb until then",
                name,
            )
            return
        settings = Settings(
            weights=str(path),
            name=wanted,
            context_tokens=model.context_tokens or _DEFAULT_CONTEXT_TOKENS,
            slots=min(model.concurrency or _SLOTS, _SLOTS),
            threads=1,
        )

        def on_ready(url: str) -> None:
            endpoint.move(URL(url))
            endpoint.ready = True

        def on_gone() -> None:
            endpoint.ready = False

        server = EmbeddedServer(
            settings, state / "logs" / f"{name.replace('/', '_')}.log", on_ready=on_ready, on_gone=on_gone
        )
        self.keys[name] = server.key
        self._servers.append(server)
