"""What stands before llama.cpp's server, in the same process: it ends work that nobody waits for any more.

llama.cpp (as in xllamacpp 2026.10) learns that a client has gone only when it writes to it. So an answer that
is not streamed is generated to its end for nobody, and a long prompt is read to its end: seconds to minutes
of a core. The front therefore asks for every answer as a stream with progress reports, which are written
after each batch of the prompt; leaves the reports out; and puts an answer that was not asked for as a stream
together again (`llamacpp_whole`). When its client goes, it closes the engine's connection, and the next
write, within a second, ends the work.

What llama.cpp does with a request, as tried with SmolLM2 over a socket; tests/e2e/test_embedded.py holds it
to what the gateway relies on:

- `response_format` {"type": "json_schema", "json_schema": {"schema": …}} constrains decoding; so do
  {"type": "json_object", "schema": …} and a top-level `json_schema`. {"type": "json_schema", "schema": …},
  without the wrapper, does not. A schema bounds the form, not the length: JSON that `max_tokens` cuts is
  not whole.
- `grammar` (GBNF) constrains decoding. `response_format` beside it wins; a top-level `json_schema` beside it
  is an error (500). A grammar or a schema that cannot be read is refused with 400.
- `structured_outputs` and `guided_choice` (vLLM's) are ignored, as every unknown field is.
- `tools` are ignored where the chat template has no place for them, as SmolLM2's has none; so is
  `tool_choice` "required".
- `logprobs`, `top_logprobs`, `seed`, `stop` and `n` work; with `n` the usage counts one choice's tokens.
- A prompt longer than a slot's context: 400, type `exceed_context_size_error`, with `n_prompt_tokens` and
  `n_ctx`. A prompt that leaves too little room: the answer ends with `finish_reason` "length".
- Requests beyond the slots wait; those that would wait too long the front refuses with 503.
- The cache of prompts is shared by all callers: `cached_tokens` tells how much of a prompt began as an
  earlier one did.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from smallfirst import limits
from smallfirst.models.llamacpp_served import Served
from smallfirst.models.llamacpp_whole import Whole

_ASKED = ("/v1/chat/completions", "/v1/completions")
_RENDERED = ("/apply-template", "/tokenize")  # what a request would be, without an answer
_LOOKED_AT = ("/health", "/metrics", "/slots")
_MODELS = "/v1/models"
_PROGRESS = b'"prompt_progress":'  # within a string its quotes would be escaped
_JSON = "application/json; charset=utf-8"


class Front:
    """The few routes that the gateway needs, opened by `key`; everything else that llama.cpp offers stays
    shut.
    """

    def __init__(self, engine_url: str, *, engine_key: str, key: str, slots: int, served: Served) -> None:
        self._engine_url = engine_url
        self._served = served
        self._began_s = int(time.time())
        self._engine_headers = {"authorization": f"Bearer {engine_key}", "content-type": "application/json"}
        self._expected = f"Bearer {key}".encode()
        self._most = slots * (1 + limits.EMBEDDED_WAITING_PER_SLOT)
        self._under_way = 0
        self._session: aiohttp.ClientSession | None = None
        self.app = web.Application(client_max_size=limits.MAX_BODY_BYTES, middlewares=[self._guard])
        self.app.cleanup_ctx.append(self._engine_session)
        for path in _ASKED:
            self.app.router.add_post(path, self._ask)
        for path in _RENDERED:
            self.app.router.add_post(path, self._render)
        for path in _LOOKED_AT:
            self.app.router.add_get(path, self._look, allow_head=False)
        self.app.router.add_get(_MODELS, self._models, allow_head=False)

    @property
    def idle(self) -> bool:
        """Whether nothing is being asked."""
        return not self._under_way

    async def _engine_session(self, app: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=None)  # the gateway's timeouts end a request, by going away
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=limits.MAX_SSE_EVENT_BYTES
        )
        yield
        await self._session.close()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        told = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if request.path != "/health" and not hmac.compare_digest(told, self._expected):
            return _refusal(401, "authentication_error", "wrong or missing key")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _refusal(error.status, "invalid_request_error", error.reason)
        except aiohttp.ClientError as error:
            return _refusal(502, "server_error", f"the engine broke off ({type(error).__name__})")

    async def _look(self, request: web.Request) -> web.Response:
        assert self._session is not None
        async with self._session.get(self._engine_url + request.path, headers=self._engine_headers) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={"content-type": answer.headers["content-type"]},
            )

    async def _models(self, request: web.Request) -> web.Response:
        return _passed(200, msgspec.json.encode(self._served.listed(self._began_s)))

    async def _render(self, request: web.Request) -> web.Response:
        """llama.cpp's own chat template and tokens of a request: so that a trainer's rendering can be compared with a server's."""
        assert self._session is not None
        url, body = self._engine_url + request.path, await request.read()
        async with self._session.post(url, data=body, headers=self._engine_headers) as answer:
            return _passed(answer.status, await answer.read())

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        if self._under_way >= self._most:
            return _refusal(503, "overloaded_error", f"{self._most} requests are under way or wait")
        self._under_way += 1
        try:
            return await self._relay(request, await request.read())
        finally:
            self._under_way -= 1

    async def _relay(self, request: web.Request, body: bytes) -> web.StreamResponse:
        assert self._session is not None
        fields = _fields(body)
        if fields is None:
            return _refusal(400, "invalid_request_error", "the body is no JSON object")
        if not self._served.knows(fields):
            return _refusal(404, "not_found_error", _unknown(fields["model"]))
        body, streams = _as_stream(self._served.told(fields))
        async with contextlib.AsyncExitStack() as stack:
            answer = await self._session.post(
                self._engine_url + request.path, data=body, headers=self._engine_headers
            )
            stack.callback(answer.close)  # also, and above all, when the client has gone
            if answer.status != 200 or not answer.content_type.startswith("text/event-stream"):
                return _passed(answer.status, await answer.read(), answer.headers.get("retry-after"))
            events = (self._served.signed(event, fields) async for event in _events(answer))
            if streams:
                return await _stream(request, events)
            return await _whole(events, chat=request.path == _ASKED[0])


@contextlib.asynccontextmanager
async def listening(front: Front) -> AsyncIterator[str]:
    """Serves it on a free port of the loopback interface; its address, without a path."""
    runner = web.AppRunner(front.app, access_log=None, handler_cancellation=True)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    try:
        await web.SockSite(runner, listener).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()


def _fields(body: bytes) -> dict[str, Any] | None:
    """The request; None for what is none. llama.cpp reads more than JSON (a mark of byte order, what ends in a zero, any depth): what is not
    read here is not passed, or a client could write its own `lora` and `model` there.
    """
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _as_stream(fields: dict[str, Any]) -> tuple[bytes, bool]:
    """The request as the engine is asked it, and whether its client wants a stream."""
    if not isinstance(fields.get("stream", False), bool | None):
        return msgspec.json.encode(fields), True  # for the engine to refuse
    streams = bool(fields.get("stream"))
    fields |= {"stream": True, "return_progress": True}
    if not streams:
        fields["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(fields), streams


def _unknown(model: object) -> str:
    """vLLM's words for it."""
    return f"The model `{str(model)[:128]}` does not exist."


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The engine's events, each with its blank line, without comments and progress reports."""
    while event := await answer.content.readuntil(b"\n\n"):
        if not event.startswith(b":") and _PROGRESS not in event:
            yield event


async def _stream(request: web.Request, events: AsyncIterator[bytes]) -> web.StreamResponse:
    """Passes the events on. Headers go out with the first one, so that a client's wait for its first byte is
    the wait for the first token.
    """
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
    try:
        async for event in events:
            if not response.prepared:
                if (error := _error(event)) is not None:
                    return error
                await response.prepare(request)
            await response.write(event)
    except aiohttp.ClientError:
        if not response.prepared or request.transport is None:
            raise
        request.transport.abort()  # a cut must look like one, not like an end
        return response
    if not response.prepared:
        return _refusal(502, "server_error", "the engine answered nothing")
    await response.write_eof()
    return response


async def _whole(events: AsyncIterator[bytes], *, chat: bool) -> web.Response:
    whole = Whole(chat=chat)
    async for event in events:
        if (error := _error(event)) is not None:
            return error
        data = event.removeprefix(b"data: ").strip()
        if data != b"[DONE]":
            whole.add(msgspec.json.decode(data))
    if not whole.ended:
        return _refusal(502, "server_error", "the engine broke off")
    return _passed(200, msgspec.json.encode(whole.completion()))


def _error(event: bytes) -> web.Response | None:
    """An event that reports an error, as the response that it would have been without a stream."""
    if not event.startswith((b"error: ", b'data: {"error"')):
        return None
    found = msgspec.json.decode(event.split(b": ", 1)[1])
    error = found.get("error", found)
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return _passed(status, msgspec.json.encode({"error": error}))


def _passed(status: int, body: bytes, retry_after: str | None = None) -> web.Response:
    headers = {"content-type": _JSON} | ({"retry-after": retry_after} if retry_after else {})
    return web.Response(status=status, body=body, headers=headers)


def _refusal(status: int, kind: str, message: str) -> web.Response:
    error = {"code": status, "message": message, "type": kind}
    return _passed(status, msgspec.json.encode({"error": error}), "1" if status == 503 else None)
