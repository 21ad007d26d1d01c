"""A label head as a server: what it sends is OpenAI's dialect, judged by the official SDK's types and by our own readers."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import openai.types.chat as sdk
import pytest
from yarl import URL

from smallfirst import limits
from smallfirst.chat import Usage
from smallfirst.classify.head_answer import HeadAnswer
from smallfirst.config.schema import Config, Model, Provider, Timeouts
from smallfirst.errors import Untranslatable, UpstreamRefused, UpstreamTimeout
from smallfirst.models import Catalogue
from smallfirst.models.label_head import HeadServer
from smallfirst.models.reply import ask_stream, ask_whole
from smallfirst.models.transport import Outgoing
from smallfirst.wire.incoming import Changes, Incoming

SHA = "c0ffee" + "0" * 58
TIMEOUTS = Timeouts()


class Fake(msgspec.Struct):
    """Answers with the text's first word, and remembers which texts it was asked."""

    sha256: str = SHA
    task: str = "triage"
    labels: tuple[str, ...] = ("bug", "billing")
    slow: bool = False
    confidence: float = 0.75
    asked: list[str] = []
    pause: threading.Event | None = None
    threads: set[str] = set()

    def answer(self, text: str) -> HeadAnswer:
        if text == "fault":
            raise ArithmeticError("a library's own")
        self.asked.append(text)
        self.threads.add(threading.current_thread().name)
        if self.pause:
            self.pause.wait(5)
        return HeadAnswer((text.split() or ["none"])[0], self.confidence, 0.1)


@pytest.fixture
def head() -> Fake:
    return Fake()


@pytest.fixture
async def server(head: Fake) -> AsyncIterator[HeadServer]:
    made = HeadServer({SHA: head, "triage": head}.get)
    yield made
    await made.close()


def body(content: Any = "bug in the app", **fields: Any) -> bytes:
    said = {"model": "triage", "messages": [{"role": "user", "content": content}]}
    return json.dumps(said | fields).encode()


def request(data: bytes) -> Outgoing:
    return Outgoing(URL("http://in-process.invalid/chat/completions"), {}, data)


async def ask(server: HeadServer, data: bytes, timeouts: Timeouts = TIMEOUTS) -> bytes:
    return await (await server.send(request(data), timeouts)).read()


async def whole(server: HeadServer, data: bytes) -> sdk.ChatCompletion:
    return sdk.ChatCompletion.model_validate_json(await ask(server, data), strict=True)


async def test_a_label_is_a_completion(server: HeadServer) -> None:
    answer = await whole(server, body())
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "bug", "stop")
    assert answer.model == SHA, "the ledger knows which head answered"
    assert choice.logprobs is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        0,
        0,
        0,
    )
    assert abs(answer.created - time.time()) < 60
    assert answer.id != (await whole(server, body())).id


@pytest.mark.parametrize(("confidence", "logprob"), [(0.75, math.log(0.75)), (1.0, 0.0), (0.0, -9999.0)])
async def test_its_confidence_stands_where_log_probabilities_do(
    server: HeadServer, head: Fake, confidence: float, logprob: float
) -> None:
    head.confidence = confidence
    logprobs = (await whole(server, body(logprobs=True))).choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    (token,) = logprobs.content
    assert (token.token, token.logprob, token.bytes, token.top_logprobs) == ("bug", logprob, None, [])


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("logprobs", [False, True])
async def test_a_stream_tells_the_same(server: HeadServer, usage: bool, logprobs: bool) -> None:
    fields: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    if logprobs:
        fields["logprobs"] = True
    exchange = await server.send(request(body(stream=True, **fields)), TIMEOUTS)
    assert exchange.headers["content-type"] == "text/event-stream"
    lines = [line for line in (await exchange.read()).decode().split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    chunks = [sdk.ChatCompletionChunk.model_validate_json(line[6:], strict=True) for line in lines]
    told = [chunk for chunk in chunks if chunk.choices]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == "bug"
    assert told[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in told] == [None, None, "stop"]
    said = [chunk.choices[0].logprobs for chunk in told if chunk.choices[0].logprobs]
    assert [one.content[0].token for one in said if one.content] == ["bug"] * logprobs
    assert len({(chunk.id, chunk.model) for chunk in chunks}) == 1
    tail = chunks[len(told) :]
    assert [chunk.usage and chunk.usage.total_tokens for chunk in tail] == [0] * usage


async def test_our_own_readers_take_it(server: HeadServer) -> None:
    wants: dict[str, Any] = {"timeouts": TIMEOUTS, "dialect": "openai"}
    reply = await ask_whole(server, request(body()), route="chat", **wants)
    assert (reply.text, reply.peek.usage, reply.peek.model) == ("bug", Usage(), SHA)
    asked = request(body(stream=True, stream_options={"include_usage": True}))
    live = await ask_stream(server, asked, keep_text=True, **wants)
    async for _ in live.events():
        pass
    assert ("".join(live.peek.text_parts), live.peek.stop, live.peek.usage) == ("bug", "stop", Usage())


TURNS = [
    {"role": "system", "content": "Answer with a label."},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "billing"},
    {"role": "user", "content": [{"type": "text", "text": "the last"}, {"type": "text", "text": "one"}]},
    {"role": "assistant", "content": "a prefill"},
]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        (TURNS, "the last\none"),
        ([{"role": "user", "content": ""}], ""),
        ([{"role": "system", "content": "alone"}], ""),
        ([{"role": "user", "content": "żółć 🐛"}], "żółć 🐛"),
    ],
)
async def test_the_last_user_message_is_labelled(
    server: HeadServer, head: Fake, messages: list[Any], text: str
) -> None:
    await whole(server, body(messages=messages))
    assert head.asked == [text]


IMAGE = [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (body(model="nobody"), 404, "no label head is loaded for 'nobody'; `smallfirst train` makes one"),
        (body(model="../../etc/passwd"), 404, "no label head is loaded"),
        (body(n=2), 400, "n: a label head gives one answer"),
        (body(tools=[TOOL]), 400, "tools: a label head calls none"),
        (body(IMAGE), 400, "messages: a label head reads text alone"),
        (b"{", 400, ""),
        (body("fault"), 500, "the label head failed (ArithmeticError)"),
    ],
)
async def test_what_it_cannot_answer_is_refused_as_a_server_would(
    server: HeadServer, data: bytes, status: int, message: str
) -> None:
    with pytest.raises(
        UpstreamRefused, match="^" + message.replace("(", r"\(").replace(")", r"\)")
    ) as refused:
        await ask_whole(server, request(data), timeouts=TIMEOUTS, dialect="openai", route="chat")
    assert refused.value.status == status
    assert json.loads(refused.value.body)["error"]["type"]


async def test_a_slow_head_leaves_the_event_loop_free(server: HeadServer, head: Fake) -> None:
    head.slow, head.pause = True, threading.Event()
    asked = [asyncio.create_task(ask(server, body(str(at)))) for at in range(limits.HEAD_THREADS + 3)]
    async with asyncio.timeout(5):
        while len(head.asked) < limits.HEAD_THREADS:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    assert len(head.asked) == limits.HEAD_THREADS, "no more at once"
    head.pause.set()
    await asyncio.gather(*asked)
    assert len(head.asked) == limits.HEAD_THREADS + 3
    assert all(name.startswith("label-head") for name in head.threads)


async def test_a_fast_head_answers_where_it_is_asked(server: HeadServer, head: Fake) -> None:
    await ask(server, body())
    assert head.threads == {threading.current_thread().name}


async def test_too_many_that_wait_are_refused_and_can_be_asked_again(server: HeadServer, head: Fake) -> None:
    head.slow, head.pause = True, threading.Event()
    most = limits.HEAD_THREADS + limits.HEAD_WAITING
    asked = [asyncio.create_task(ask(server, body(str(at)))) for at in range(most)]
    await asyncio.sleep(0.02)
    assert (await server.send(request(body()), TIMEOUTS)).status == 429
    asked[-1].cancel()
    await asyncio.sleep(0.02)
    again = asyncio.create_task(ask(server, body("again")))
    head.pause.set()
    assert b'"again"' in await again
    await asyncio.gather(*asked, return_exceptions=True)
    assert (await server.send(request(body()), TIMEOUTS)).status == 200


async def test_it_is_waited_for_no_longer_than_configured(server: HeadServer, head: Fake) -> None:
    head.slow, head.pause = True, threading.Event()
    with pytest.raises(UpstreamTimeout, match=r"no answer within 0\.01 s"):
        await ask(server, body(), Timeouts(first_byte_s=0.01))
    head.pause.set()


# The same as a model of a configuration.


class Pins(msgspec.Struct, frozen=True):
    """What a policy's rung pins."""

    weights_sha256: str | None = None
    adapter: None = None


def model_of(**fields: Any) -> Any:
    config = Config(
        providers={"heads": Provider(kind="head", engine="vllm")},
        models={"small": Model(provider="heads", **fields)},
    )
    transport = HeadServer(lambda name: None)
    return Catalogue(config, {}, heads=transport).get("small"), transport


def test_a_head_is_a_model_that_is_always_ready_and_has_no_tools() -> None:
    model, transport = model_of(id="triage", tools=True)
    assert model.transport is transport
    assert (model.tools, model.engine, model.owned, model.dialect) == (False, "hosted", False, "openai")
    assert model.endpoints.choose().name == "in process"


def test_it_is_asked_for_by_the_hash_that_a_policy_or_the_configuration_pins() -> None:
    assert model_of()[0].asked_as(Pins()) == "small"
    assert model_of(id="triage")[0].asked_as(Pins()) == "triage"
    assert model_of(id="triage", weights_sha256="a" * 64)[0].asked_as(Pins()) == "a" * 64
    assert model_of(id="triage", weights_sha256="a" * 64)[0].asked_as(Pins("b" * 64)) == "b" * 64


def test_only_conversations_can_be_labelled() -> None:
    model, _ = model_of()
    endpoint = model.endpoints.choose()
    for route, data in (
        ("embeddings", b'{"model": "small", "input": "x"}'),
        ("completions", b'{"model": "small", "prompt": "x"}'),
    ):
        with pytest.raises(Untranslatable, match=f"a label head does not answer /{route}"):
            model.outgoing(Incoming(route, data), endpoint, Changes(model="small"))
    said = b'{"model": "small", "max_tokens": 9, "messages": [{"role": "user", "content": "bug"}]}'
    for route in ("chat", "messages"):
        outgoing = model.outgoing(Incoming(route, said), endpoint, Changes(model="triage"))
        assert outgoing.url.path == "/chat/completions"
        assert json.loads(outgoing.body)["model"] == "triage"
