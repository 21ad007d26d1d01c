"""The front over real sockets, before an engine of our own that says when it is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from smallfirst import limits
from smallfirst.models.llamacpp_front import Front, listening
from smallfirst.models.llamacpp_served import Served

KEY, ENGINE_KEY = "front-key", "engine-key"
CHUNK = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk"}


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    said = CHUNK | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | more
    return b"data: " + json.dumps(said).encode() + b"\n\n"


PROGRESS = event({"role": "assistant", "content": None}, prompt_progress={"total": 9, "processed": 4})
ANSWER = [
    b":\n\n",
    PROGRESS,
    event({"role": "assistant", "content": None}),
    event({"content": 'about "prompt_progress": it'}),
    event({"content": " runs"}),
    event({}, "stop"),
    b'data: {"id": "c", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}\n\n',
    b"data: [DONE]\n\n",
]


class Engine:
    """Answers with `events`; `forever` adds progress without end. `left` is set when its client goes."""

    def __init__(self) -> None:
        self.events: list[bytes] = ANSWER
        self.forever = False
        self.cut = False
        self.refusal: tuple[int, bytes] | None = None
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []
        self.begun = asyncio.Event()
        self.left = asyncio.Event()

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    async def look(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("authorization"))
        self.bodies.append(await request.read())
        if self.refusal:
            return web.Response(status=self.refusal[0], body=self.refusal[1], content_type="application/json")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for said in self.events:
            await response.write(said)
        self.begun.set()
        if self.cut:
            assert request.transport is not None
            request.transport.abort()
        try:
            while self.forever:
                await response.write(PROGRESS)
                await asyncio.sleep(0.01)
        except ConnectionError:
            self.left.set()
        return response


@pytest.fixture
async def engine() -> Engine:
    return Engine()


@pytest.fixture
async def engine_url(engine: Engine) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", engine.answer)
    app.router.add_get("/health", engine.look)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def url(engine_url: str) -> AsyncIterator[str]:
    front = Front(engine_url, engine_key=ENGINE_KEY, key=KEY, slots=1, served=Served("m"))
    async with listening(front) as address:
        yield address


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        yield session


async def ask(client: aiohttp.ClientSession, url: str, **fields: Any) -> tuple[int, bytes]:
    body = {"model": "m", "messages": []} | fields
    async with client.post(f"{url}/v1/chat/completions", json=body) as response:
        return response.status, await response.read()


async def test_what_is_asked_whole_is_asked_as_a_stream_and_answered_whole(
    engine: Engine, url: str, client: aiohttp.ClientSession
) -> None:
    status, body = await ask(client, url, temperature=0.5, unknown={"kept": [1]})
    assert status == 200
    assert engine.asked == [
        {
            "model": "m",
            "messages": [],
            "temperature": 0.5,
            "unknown": {"kept": [1]},
            "stream": True,
            "return_progress": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert engine.keys == [f"Bearer {ENGINE_KEY}"]
    answer = json.loads(body)
    assert answer["choices"][0]["message"]["content"] == 'about "prompt_progress": it runs'
    assert answer["usage"]["total_tokens"] == 11


async def test_a_stream_passes_without_progress_and_comments(
    engine: Engine, url: str, client: aiohttp.ClientSession
) -> None:
    status, body = await ask(client, url, stream=True)
    assert status == 200
    assert body == b"".join(said for said in ANSWER if said not in (b":\n\n", PROGRESS))
    assert "stream_options" not in engine.asked[0]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("begun", [[], ANSWER[:4]], ids=["reading the prompt", "writing"])
async def test_a_client_that_goes_leaves_the_engine_at_once(
    engine: Engine, url: str, client: aiohttp.ClientSession, stream: bool, begun: list[bytes]
) -> None:
    engine.events, engine.forever = begun, True
    asking = asyncio.create_task(ask(client, url, stream=stream))
    await asyncio.wait_for(engine.begun.wait(), 5)
    asking.cancel()
    await asyncio.wait_for(engine.left.wait(), 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_passes_as_it_is(
    engine: Engine, url: str, client: aiohttp.ClientSession, stream: bool
) -> None:
    body = b'{"error": {"code": 400, "type": "exceed_context_size_error", "n_ctx": 2048}}'
    engine.refusal = (400, body)
    assert await ask(client, url, stream=stream) == (400, body)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("before", [b"", PROGRESS], ids=["first", "after progress"])
async def test_an_error_inside_the_stream_is_an_error_outside(
    engine: Engine, url: str, client: aiohttp.ClientSession, stream: bool, before: bytes
) -> None:
    engine.events = [before, b'data: {"error": {"code": 400, "message": "no", "type": "t"}}\n\n']
    status, body = await ask(client, url, stream=stream)
    assert status == 400
    assert json.loads(body) == {"error": {"code": 400, "message": "no", "type": "t"}}


async def test_an_answer_that_is_cut_is_not_answered_whole(
    engine: Engine, url: str, client: aiohttp.ClientSession
) -> None:
    engine.events = ANSWER[:4]
    status, body = await ask(client, url)
    assert status == 502
    assert json.loads(body)["error"]["message"] == "the engine broke off"


async def test_a_stream_that_is_cut_ends_as_a_cut(
    engine: Engine, url: str, client: aiohttp.ClientSession
) -> None:
    engine.events, engine.cut = ANSWER[:4], True
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(client, url, stream=True)


LORA = b'{"messages":[],"lora":[{"id":0,"scale":1.0}]'


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b"\xef\xbb\xbf" + LORA + b"}",
        LORA + b"}\0",
        LORA + b',"deep":' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
    ids=["cut", "array", "binary", "deep", "byte order", "zero", "deep request"],
)
async def test_what_is_no_request_is_not_passed(
    engine: Engine, url: str, client: aiohttp.ClientSession, body: bytes
) -> None:
    """llama.cpp would read the last three, and with them a client's own `lora` and `model`."""
    async with client.post(f"{url}/v1/chat/completions", data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["message"] == "the body is no JSON object"
    assert engine.bodies == []


async def test_a_stream_that_is_neither_is_for_the_engine_to_refuse(
    engine: Engine, url: str, client: aiohttp.ClientSession
) -> None:
    engine.refusal = (400, b"{}")
    assert (await ask(client, url, stream="yes"))[0] == 400
    assert engine.asked[0]["stream"] == "yes"


@pytest.mark.parametrize("told", [None, "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer ключ"])
async def test_nobody_without_the_key_gets_in(engine: Engine, url: str, told: str | None) -> None:
    headers = {"authorization": told} if told else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        assert (await ask(session, url))[0] == 401
        async with session.get(f"{url}/v1/models") as response:
            assert response.status == 401
        async with session.get(f"{url}/health") as response:
            assert await response.json() == {"status": "ok"}
    assert engine.bodies == []


@pytest.mark.parametrize("path", ["/lora-adapters", "/v1/messages", "/props", "/slots/0", "/tools", "/"])
async def test_what_the_gateway_does_not_need_stays_shut(
    engine: Engine, url: str, client: aiohttp.ClientSession, path: str
) -> None:
    for method in ("GET", "POST", "DELETE"):
        async with client.request(method, url + path) as response:
            assert response.status == 404
    assert engine.bodies == []


async def test_no_page_may_read_an_answer(engine: Engine, url: str, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{url}/v1/models", headers={"origin": "https://elsewhere.example"}) as response:
        assert response.status == 200
        assert "access-control-allow-origin" not in response.headers


async def test_what_would_wait_too_long_is_refused(
    engine: Engine, url: str, client: aiohttp.ClientSession
) -> None:
    engine.events, engine.forever = [], True
    most = 1 + limits.EMBEDDED_WAITING_PER_SLOT
    waiting = [asyncio.create_task(ask(client, url)) for _ in range(most)]
    await _until(lambda: len(engine.bodies) == most)
    async with client.post(f"{url}/v1/chat/completions", json={"messages": []}) as response:
        assert response.status == 503
        assert response.headers["retry-after"] == "1"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    engine.events, engine.forever = ANSWER, False
    await _until_answered(client, url)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def _until_answered(client: aiohttp.ClientSession, url: str) -> None:
    """The places of those that left are free again."""
    async with asyncio.timeout(5):
        while (await ask(client, url))[0] != 200:
            await asyncio.sleep(0.01)


async def test_a_body_that_is_too_large_is_refused(
    engine: Engine, url: str, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BODY_BYTES", 1000)
    front = Front("http://127.0.0.1:9", engine_key=ENGINE_KEY, key=KEY, slots=1, served=Served("m"))
    async with listening(front) as address:
        status, body = await ask(client, address, padding="x" * 2000)
    assert status == 413
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


async def test_an_engine_that_is_not_there_is_an_error_not_a_hang(client: aiohttp.ClientSession) -> None:
    with contextlib.closing(await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)) as server:
        port = server.sockets[0].getsockname()[1]
    async with listening(
        Front(f"http://127.0.0.1:{port}", engine_key="", key=KEY, slots=1, served=Served("m"))
    ) as address:
        status, _ = await ask(client, address)
    assert status == 502


# Adapters: a model's name becomes llama.cpp's own field.

TWO = Served("m", ("triage@aaaaaaaaaaaa", "extract@bbbbbbbbbbbb"))


@pytest.fixture
async def tuned(engine: Engine, engine_url: str) -> AsyncIterator[str]:
    async with listening(Front(engine_url, engine_key=ENGINE_KEY, key=KEY, slots=1, served=TWO)) as front:
        yield front


@pytest.mark.parametrize(
    ("model", "scales"),
    [("m", [0.0, 0.0]), ("triage@aaaaaaaaaaaa", [1.0, 0.0]), ("extract@bbbbbbbbbbbb", [0.0, 1.0])],
)
async def test_a_name_turns_its_adapter_on_and_all_others_off(
    engine: Engine, tuned: str, client: aiohttp.ClientSession, model: str, scales: list[float]
) -> None:
    status, _ = await ask(client, tuned, model=model, lora=[{"id": 1, "scale": 7.0}])
    assert status == 200
    assert engine.asked[0]["lora"] == [{"id": at, "scale": scale} for at, scale in enumerate(scales)]
    assert engine.asked[0]["model"] == model


async def test_no_client_sets_what_is_applied(
    engine: Engine, url: str, client: aiohttp.ClientSession
) -> None:
    for stream in (False, True, "neither"):
        await ask(client, url, lora=[{"id": 0, "scale": 1.0}], stream=stream)
    assert len(engine.asked) == 3
    assert not any("lora" in body for body in engine.asked)


@pytest.mark.parametrize("model", ["triage@cccccccccccc", "triage", "", None, 1, ["m"]])
async def test_an_unknown_name_is_never_answered_by_the_bare_base(
    engine: Engine, tuned: str, client: aiohttp.ClientSession, model: Any
) -> None:
    status, body = await ask(client, tuned, model=model)
    assert status == 404
    assert f"The model `{model}` does not exist." in body.decode()
    assert engine.bodies == []


async def test_who_names_no_model_asks_the_base(
    engine: Engine, tuned: str, client: aiohttp.ClientSession
) -> None:
    async with client.post(f"{tuned}/v1/chat/completions", json={"messages": []}) as response:
        assert response.status == 200
    assert [each["scale"] for each in engine.asked[0]["lora"]] == [0.0, 0.0]


async def test_the_list_of_models_says_what_is_over_what(tuned: str, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{tuned}/v1/models") as response:
        rows = (await response.json())["data"]
    assert [(row["id"], row["parent"]) for row in rows] == [
        ("m", None),
        ("triage@aaaaaaaaaaaa", "m"),
        ("extract@bbbbbbbbbbbb", "m"),
    ]


@pytest.mark.parametrize("path", ["/apply-template", "/tokenize"])
async def test_how_a_request_is_rendered_can_be_asked(
    engine: Engine, url: str, client: aiohttp.ClientSession, path: str
) -> None:
    engine.refusal = (200, b'{"tokens": [1]}')
    async with client.post(url + path, json={"content": "Hi"}) as response:
        assert await response.json() == {"tokens": [1]}
    assert engine.keys == [f"Bearer {ENGINE_KEY}"]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_answer_says_who_gave_it(
    engine: Engine, tuned: str, client: aiohttp.ClientSession, stream: bool
) -> None:
    said = event({"content": '"model":"m" is what I am'})
    told = [said if b"about" in each else each for each in ANSWER]
    engine.events = [each.replace(b'"model": "m"', b'"model":"m"') for each in told]
    _, body = await ask(client, tuned, model="triage@aaaaaaaaaaaa", stream=stream)
    assert b'"model":"triage@aaaaaaaaaaaa"' in body
    assert rb"\"model\":\"m\" is what I am" in body
