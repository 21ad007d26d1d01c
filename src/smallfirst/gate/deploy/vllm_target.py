"""A vLLM as a target: an adapter is loaded while it runs, under its content's name, and unloaded where it answers otherwise than it should.

Both routes open a server to whoever reaches it, so it must be one of the configuration's, and on a private network (`hosts.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from yarl import URL

from smallfirst import limits
from smallfirst.config.schema import Config, Provider
from smallfirst.config.secrets import resolve, resolve_headers, without_credentials
from smallfirst.errors import DeployError
from smallfirst.evals.session import Home
from smallfirst.gate.deploy.hosts import addresses_of
from smallfirst.gate.deploy.server import Reply, Server, connected
from smallfirst.models import openai_http
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.store import PEFT, Adapter

_LOAD, _UNLOAD = "/load_lora_adapter", "/unload_lora_adapter"
_NO_ROUTE = ("Not Found", "Method Not Allowed")  # a web server's own words, not vLLM's
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM's --max-lora-rank takes


class VllmTarget:
    """Implements `Target`. `server_path`: where the server sees this state directory's folder of adapters, if elsewhere."""

    forms: tuple[Form, ...] = ("peft",)
    gguf: Path | None = None

    def __init__(
        self, home: Home, url: str, *, server_path: Path | None = None, allow_public: bool = False
    ) -> None:
        self.name, provider = _configured(home.config, url)
        self.base = ""  # known when `check` has asked
        self._named = _model_ids(home.config, self.name)
        self._server_path = server_path
        self._allow_public = allow_public
        found = home.config.providers[provider]
        key = (
            resolve(found.api_key, home.environ, path=f"providers.{provider}.api_key")
            if found.api_key
            else None
        )
        self._headers = openai_http.headers(key) | resolve_headers(
            found.headers, home.environ, path=f"providers.{provider}.headers"
        )

    async def check(self, adapter: Adapter, form: Form) -> None:
        """Asks which base it serves."""
        async with self.connected() as server:
            self.base = self._base(await server.models(), server)

    @contextlib.asynccontextmanager
    async def loaded(self, adapter: Adapter, form: Form, path: Path) -> AsyncIterator[Server]:
        """The running server. An adapter that it had already is left as it was, whatever happens."""
        name = adapter.manifest.served_name
        seen = path if self._server_path is None else self._server_path / adapter.id / PEFT
        async with self.connected() as server:
            if name in await server.models():
                yield server
                return
            try:
                await _load(server, adapter, seen)
                yield server
            except BaseException:
                # What was asked for may have been done, whether or not the answer came.
                await asyncio.shield(_forget(server, name))
                raise

    async def unload(self, name: str) -> None:
        """Takes it away; where it is not there, nothing is done. Raises `DeployError`."""
        async with self.connected() as server:
            if name in await server.models():
                reply = await server.post(_UNLOAD, {"lora_name": name})
                if reply.status != 200 and name in await server.models():
                    raise DeployError(f"{server.shown} does not unload {name}: {_why(reply, None)}")

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Server]:
        """The server, at addresses that were looked at. Raises `DeployError`."""
        addresses = await addresses_of(URL(self.name), allow_public=self._allow_public)
        async with connected(self.name, "vllm", self._headers, addresses) as server:
            yield server

    def _base(self, listed: dict[str, str | None], server: Server) -> str:
        bases = [name for name, parent in listed.items() if parent is None]
        for name in (*self._named, *(bases if not self._named else ())):
            if name in bases:
                return name
        raise DeployError(
            f"{server.shown} serves {', '.join(bases) or 'nothing'}, and the models of the configuration that ask it are {', '.join(self._named)}: "
            "start it with --served-model-name, or give the model's `id`"
        )


def _configured(config: Config, url: str) -> tuple[str, str]:
    """The address as the configuration has it, and its provider. Raises `DeployError` where it has none."""
    wanted = _plain(url)
    known = {}
    for name, provider in config.providers.items():
        if provider.engine != "vllm":
            continue
        for address in _addresses(config, name, provider):
            if _plain(address) == wanted:
                return address, name
            known[without_credentials(address)] = None
    raise DeployError(
        f'--to: {without_credentials(url)} is no address of a provider with engine = "vllm" (configured: {", ".join(known) or "none"}). '
        "A server is asked with its provider's key, and served from by the models that name it"
    )


def _addresses(config: Config, name: str, provider: Provider) -> list[str]:
    own = [provider.base_url] if provider.base_url else []
    return own + [
        url for model in config.models.values() if model.provider == name for url in model.endpoints
    ]


def _model_ids(config: Config, address: str) -> list[str]:
    """What the models that are asked at this address are called there."""
    found = []
    for name, model in config.models.items():
        provider = config.providers.get(model.provider)
        if provider is None or provider.engine != "vllm":
            continue
        if address in (model.endpoints or (provider.base_url,)):
            found.append(model.id or name)
    return list(dict.fromkeys(found))


def _plain(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


async def _load(server: Server, adapter: Adapter, seen: Path) -> None:
    name = adapter.manifest.served_name
    reply = await server.post(_LOAD, {"lora_name": name, "lora_path": str(seen)})
    if reply.status != 200 and "already been loaded" not in reply.message:
        rank = adapter.manifest.settings.get("rank")
        raise DeployError(f"{server.shown} does not load it: {_why(reply, seen, rank)}")


async def _forget(server: Server, name: str) -> None:
    """Unloads what was just loaded. Where that fails too there is nothing left to try: nobody asks for an adapter that was not recorded."""
    with contextlib.suppress(DeployError, TimeoutError):
        async with asyncio.timeout(limits.DEPLOY_UNDO_TIMEOUT_S):
            await server.post(_UNLOAD, {"lora_name": name})


def _why(reply: Reply, seen: Path | None, rank: object = None) -> str:
    """Its reason, and what to do about it."""
    flags = "--enable-lora" + (f" --max-lora-rank {_room_for(rank)}" if isinstance(rank, int) else "")
    lowered = reply.message.lower()
    if reply.status in (404, 405) and reply.message in _NO_ROUTE:
        return f"it has no such route. Start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment and {flags}"
    if reply.status in (401, 403):
        return f"it refuses the key ({reply.status})"
    told = f"{reply.message} ({reply.status})"
    if "rank" in lowered:
        return f"{told}. Start vLLM with {flags}"
    if "lora" in lowered and ("enable" in lowered or "not support" in lowered):
        return f"{told}. Start vLLM with {flags}"
    if seen is not None and (
        reply.status == 404 or "no such file" in lowered or "no adapter found" in lowered
    ):
        return f"{told}. It does not see {seen}: --server-path says where it sees the folder of adapters, and it must be able to read it"
    return f"{told}. Is it started with {flags}?"


def _room_for(rank: int) -> int:
    return next((room for room in _RANKS if room >= rank), rank)
