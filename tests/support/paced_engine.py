"""An engine that batches continuously, in real time, at known costs: each step waits as long as it is told, and gives every answer a token.

It speaks what vLLM speaks: chat completions as a stream with usage, `ignore_eos`, and /metrics. A step costs
`step_s + prompt_token_s x (prompt tokens read) + sequence_s x (answers that grow)`; one word is one token.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from types import TracebackType
from typing import Any, Self

from aiohttp import web

FIXED_TOKENS = 7  # of a chat template


class _Job:
    def __init__(self, prompt_tokens: int, output_tokens: int) -> None:
        self.prompt_tokens, self.output_tokens, self.given = prompt_tokens, output_tokens, 0
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()


class PacedEngine:
    """Runs in the event loop of its user; an async context manager. `bodies` are the requests that came."""

    def __init__(
        self,
        *,
        step_s: float = 0.01,
        prompt_token_s: float = 0.0,
        sequence_s: float = 0.0,
        most: int = 256,
        takes_ignore_eos: bool = True,
        answer_tokens: int = 5,
        tells_usage: bool = True,
        has_metrics: bool = True,
    ) -> None:
        self.step_s, self.prompt_token_s, self.sequence_s, self.most = (
            step_s,
            prompt_token_s,
            sequence_s,
            most,
        )
        self.takes_ignore_eos, self.answer_tokens = takes_ignore_eos, answer_tokens
        self.tells_usage, self.has_metrics = tells_usage, has_metrics
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.fails = 0  # so many of the next requests
        self.stalled = asyncio.Event()
        self.stalled.set()
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._woken = asyncio.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        if self.has_metrics:
            app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._steps = asyncio.create_task(self._step())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._steps.cancel()
        await asyncio.gather(self._steps, return_exceptions=True)
        await self._runner.cleanup()

    async def _step(self) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time()
        while True:
            if not self._running and not self._waiting:
                self._woken.clear()
                await self._woken.wait()
                end_s = loop.time()
            await self.stalled.wait()
            read = 0
            while self._waiting and len(self._running) < self.most:
                job = self._waiting.popleft()
                read += job.prompt_tokens
                self._running.append(job)
            took_s = self.step_s + read * self.prompt_token_s + len(self._running) * self.sequence_s
            end_s = max(end_s + took_s, loop.time() - 0.5)  # keeps its pace where the loop is late
            await asyncio.sleep(max(0.0, end_s - loop.time()))
            for job in list(self._running):
                job.given += 1
                job.pieces.put_nowait("word ")
                if job.given >= job.output_tokens:
                    job.pieces.put_nowait(None)
                    self._running.remove(job)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.add(request.headers.get("authorization", ""))
        if self.fails:
            self.fails -= 1
            said = f"busy with {request.headers.get('authorization', '')}"
            return web.json_response({"error": {"message": said}}, status=503)
        if "ignore_eos" in body and not self.takes_ignore_eos:
            return web.json_response({"error": {"message": "ignore_eos: unknown"}}, status=400)
        wanted = body.get("max_tokens") or body["max_completion_tokens"]
        tokens = wanted if body.get("ignore_eos") else min(wanted, self.answer_tokens)
        prompt = FIXED_TOKENS + len(body["messages"][0]["content"].split())
        job = _Job(prompt, tokens)
        self._waiting.append(job)
        self._woken.set()
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        try:
            while (piece := await job.pieces.get()) is not None:
                await answer.write(_event({"choices": [{"index": 0, "delta": {"content": piece}}]}))
            if self.tells_usage:
                usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
                await answer.write(_event({"choices": [], "usage": usage}))
            await answer.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self._forget(job)
            raise
        return answer

    def _forget(self, job: _Job) -> None:
        if job in self._running:
            self._running.remove(job)
        if job in self._waiting:
            self._waiting.remove(job)

    async def _metrics(self, _request: web.Request) -> web.Response:
        lines = [
            f'vllm:num_requests_running{{engine="0"}} {len(self._running)}.0',
            f'vllm:num_requests_waiting{{engine="0"}} {len(self._waiting)}.0',
            'vllm:kv_cache_usage_perc{engine="0"} 0.25',
            'vllm:cache_config_info{block_size="16",num_gpu_blocks="4096"} 1.0',
        ]
        return web.Response(text="\n".join(lines))


def _event(found: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(found).encode() + b"\n\n"


class PacedEngineThread:
    """The same on a thread of its own, for commands that have an event loop of theirs; a context manager that gives the engine."""

    def __init__(self, **settings: Any) -> None:
        self._engine = PacedEngine(**settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> PacedEngine:
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._engine.__aenter__(), self._loop).result(10)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._engine.__aexit__(None, None, None), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
