"""A server that speaks vLLM's routes for adapters, and answers as a function says: what a deployment does can be seen, and broken, without a GPU.

Its refusals are those of vLLM 0.2x: a missing route is the web framework's 404, a name that is there already is a 400, a folder that it does not
see a 404 that names it, a rank that is too high a 500 with the engine's own words.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Answer = Callable[[str, list[dict[str, Any]]], tuple[str, float]]
"""From a model's name and messages to a text and its log-probability."""
_ANSWER, _END = 1_000_001, 2
Tokens = Callable[[list[dict[str, Any]]], list[int]]


class ScriptedVllm:
    """Listens on a free port of the loopback interface; a context manager that stops it again. `asked` are the requests, in order.

    `updating` and `lora` are how it was started; `max_rank` what it takes. `tokens` None: it does not say how it renders.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        base: str = "base-8b",
        key: str = "secret-key",
        updating: bool = True,
        lora: bool = True,
        max_rank: int = 64,
        tokens: Tokens | None = None,
    ) -> None:
        self.base, self.key, self.answer, self.tokens = base, key, answer, tokens
        self.updating, self.lora, self.max_rank = updating, lora, max_rank
        self.loaded: dict[str, str] = {}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self._logprobs: dict[int, float] = {}
        self.before_answer: Callable[[], None] = lambda: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._runner = web.AppRunner(self._app())
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        if self.updating:
            app.router.add_post("/v1/load_lora_adapter", self._load)
            app.router.add_post("/v1/unload_lora_adapter", self._unload)
        if self.tokens is not None:
            app.router.add_post("/tokenize", self._tokenize)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        self.asked.append((request.path, body))
        if request.path.startswith("/v1/") and request.headers.get("authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.json_response({"detail": "Not Found"}, status=404)

    async def _models(self, request: web.Request) -> web.Response:
        rows = [{"id": self.base, "object": "model", "parent": None}]
        rows += [
            {"id": name, "object": "model", "root": path, "parent": self.base}
            for name, path in self.loaded.items()
        ]
        return web.json_response({"object": "list", "data": rows})

    async def _load(self, request: web.Request) -> web.Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self.loaded:
            return _refused(400, f"The lora adapter '{name}' has already been loaded. If you want …")
        if not self.lora:
            return _refused(500, "Call to add_lora method failed: LoRA is not enabled.")
        if not (Path(path) / "adapter_config.json").is_file():
            return _refused(404, f"Loading lora {name} failed: No adapter found for {path}")
        if self.max_rank < 4:
            return _refused(500, f"LoRA rank 4 is greater than max_lora_rank {self.max_rank}.")
        self.loaded[name] = path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        if self.loaded.pop(name, None) is None:
            return _refused(404, f"The lora adapter '{name}' cannot be found.")
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def _tokenize(self, request: web.Request) -> web.Response:
        assert self.tokens is not None
        tokens = self.tokens((await request.json())["messages"])
        return web.json_response({"tokens": tokens, "count": len(tokens), "max_model_len": 2048})

    async def _chat(self, request: web.Request) -> web.Response:
        self.before_answer()
        body = await request.json()
        name = body["model"]
        if name != self.base and name not in self.loaded:
            return _refused(404, f"The model `{name}` does not exist.")
        text, logprob = self.answer(name, body["messages"])
        self._logprobs[_ANSWER] = logprob
        # As vLLM has it: what a constraint forbids is masked before log-probabilities are told.
        masked = 0.0 if "structured_outputs" in body else logprob
        told = [{"token": text, "logprob": masked, "bytes": list(text.encode()), "top_logprobs": []}]
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
            "logprobs": {"content": told},
        }
        whole = {"id": "c", "object": "chat.completion", "created": 1, "model": name, "choices": [choice]}
        if body.get("return_token_ids") and self.tokens is not None:
            choice["token_ids"] = [_ANSWER, _END]
            whole["prompt_token_ids"] = self.tokens(body["messages"])
        return web.json_response(whole)

    async def _completions(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["prompt"][-1] == _ANSWER
        assert body["prompt_logprobs"] == 0
        told = [
            None,
            *({str(token): {"logprob": self._logprobs.get(token, -9.0)}} for token in body["prompt"][1:]),
        ]
        return web.json_response({"choices": [{"index": 0, "text": "", "prompt_logprobs": told}]})


def _refused(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "InvalidUserInput", "param": None, "code": status}
    return web.json_response({"error": error}, status=status)
