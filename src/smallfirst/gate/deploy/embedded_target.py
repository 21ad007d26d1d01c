"""The embedded server as a target: one is started for the probes alone; a gateway that runs follows what is recorded then."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from yarl import URL

from smallfirst import limits
from smallfirst.config.schema import Config, Model
from smallfirst.errors import DeployError, StateError
from smallfirst.evals.session import Home
from smallfirst.gate.deploy.hosts import addresses_of
from smallfirst.gate.deploy.server import Server, connected
from smallfirst.models import openai_http, weights
from smallfirst.models.adapters.adapter import SERVED_EMBEDDED, Form, Manifest
from smallfirst.models.adapters.deployments import EMBEDDED, deployments
from smallfirst.models.adapters.store import Adapter
from smallfirst.models.ggufs import gguf_sha256
from smallfirst.models.llamacpp import EmbeddedServer
from smallfirst.models.llamacpp_child import Settings

_BY_NAME = "embedded:"
_CONTEXT_TOKENS = 2048
_SLOTS = 2


class EmbeddedTarget:
    """Implements `Target`. `base` is the id of an embedded model whose GGUF is the one that the adapter was trained on."""

    name = EMBEDDED
    forms = SERVED_EMBEDDED

    def __init__(self, home: Home, manifest: Manifest) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise DeployError(
                "the embedded server's engine is not installed: pip install 'smallfirst[embedded]'"
            )
        self._state = home.state
        self.base, path, self._model = _found(home, manifest)
        self.gguf: Path | None = path

    async def check(self, adapter: Adapter, form: Form) -> None:
        merged = form != "lora"
        there = [
            one.adapter
            for one in deployments(self._state)
            if (one.target, one.base) == (EMBEDDED, self.base)
            and (one.form != "lora") is merged
            and one.adapter != adapter.id
        ]
        most = limits.EMBEDDED_MERGED if merged else limits.EMBEDDED_ADAPTERS
        if len(there) >= most:
            how = "merged into it, each with a server of its own" if merged else "over it"
            raise DeployError(
                f"{self.base} has {len(there)} adapters {how}, and no more are served at once; `smallfirst adapters undeploy {there[0][:12]}` makes "
                "room (the oldest)"
            )

    @contextlib.asynccontextmanager
    async def loaded(self, adapter: Adapter, form: Form, path: Path) -> AsyncIterator[Server]:
        """A server of its own on a free port of the loopback interface; it has ended when the block is left."""
        assert self.gguf is not None
        name = adapter.manifest.served_name
        merged = form != "lora"
        settings = Settings(
            weights=str(path if merged else self.gguf),
            name=name if merged else self.base,
            context_tokens=(self._model.context_tokens if self._model else None) or _CONTEXT_TOKENS,
            slots=_SLOTS,
            threads=1,
            adapters=() if merged else ((name, str(path)),),
        )
        with tempfile.TemporaryDirectory(prefix="smallfirst-deploy-") as folder:
            server = EmbeddedServer(
                settings, Path(folder) / "server.log", on_ready=lambda _: None, on_gone=lambda: None
            )
            server.start()
            try:
                url = await server.ready()
                addresses = await addresses_of(URL(url), allow_public=False)
                async with connected(
                    url, "llamacpp", openai_http.headers(server.key), addresses
                ) as connection:
                    yield connection
            except StateError as error:
                raise DeployError(f"the embedded server does not start with it: {error}") from error
            finally:
                await server.stop()


def _found(home: Home, manifest: Manifest) -> tuple[str, Path, Model | None]:
    """The id and file of the embedded model with the adapter's GGUF, and its configuration; the latter is None where there is none yet.

    Of several, one that names this adapter. Raises `DeployError`.
    """
    told = manifest.base
    if told.gguf_sha256 is None:
        raise DeployError(
            f"it was trained over {told.name}, which is no GGUF, and the embedded server serves nothing else: deploy it to a vLLM, or train over "
            "the GGUF that you serve"
        )
    others = []
    for name, model in _embedded(home.config, manifest):
        wanted = model.id or name
        path = weights.find(wanted, base=home.base)
        if path is not None and gguf_sha256(path) == told.gguf_sha256:
            return wanted, path, model
        others.append(f"models.{name} ({wanted}{'' if path else ', which is not here'})")
    known = told.name.removeprefix(_BY_NAME)
    path = weights.find(known) if told.name.startswith(_BY_NAME) else None
    if path is not None and gguf_sha256(path) == told.gguf_sha256:
        return known, path, None
    raise DeployError(
        f"it fits {told.name} (GGUF {told.gguf_sha256[:12]}) alone, and no embedded model of the configuration has these weights"
        + (f": {', '.join(others)}" if others else ": there is none")
        + f'. Its rung needs a model with an embedded provider, `id` = that GGUF and adapter = "{manifest.task}"'
    )


def _embedded(config: Config, manifest: Manifest) -> list[tuple[str, Model]]:
    """The embedded models, those that name the adapter first."""
    kinds = {name: provider.kind for name, provider in config.providers.items()}
    found = [
        (name, model) for name, model in config.models.items() if kinds.get(model.provider) == "embedded"
    ]

    def names_another(one: tuple[str, Model]) -> bool:
        wanted = one[1].adapter
        return wanted is None or (wanted != manifest.task and not manifest.id.startswith(wanted))

    return sorted(found, key=names_another)
