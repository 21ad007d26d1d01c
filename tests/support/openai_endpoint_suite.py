"""What the gateway relies on in an engine of the user's own, driven by the official SDK over a socket.

A test module subclasses `OpenAIEndpointSuite` and gives it a module-scoped fixture `endpoint`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import msgspec
import openai
import pytest

from smallfirst.answering.constrain import constraint
from smallfirst.contracts import JsonContract, LabelContract

LABELS = LabelContract(labels=("billing", "bug", "how-to", 'the "other" one'))
SCHEMA = JsonContract(
    schema={
        "type": "object",
        "properties": {"product": {"enum": ["core", "mobile"]}, "urgent": {"type": "boolean"}},
        "required": ["product", "urgent"],
        "additionalProperties": False,
    }
)
LONG_STORY = "Write a very long story about the sea."
# Work that goes on takes several times as long on an idle core, and on a busy one both take longer.
STOP_WITHIN_S = 5.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that runs. `running_metric` is its gauge of requests that it works on, from `/metrics`."""

    base_url: str
    model: str
    key: str
    engine: str
    context_tokens: int
    running_metric: str

    def running(self) -> float:
        """How many requests it works on now."""
        headers = {"authorization": f"Bearer {self.key}"}
        url = self.base_url.removesuffix("/v1") + "/metrics"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(self.running_metric))


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it comes true in that time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def long_prompt(endpoint: Endpoint) -> str:
    """Two thirds of a context; other numbers each time, since what is in the prompt cache is not read
    again.
    """
    chosen = random.Random()
    return "Add: " + " ".join(str(chosen.randrange(100, 1000)) for _ in range(endpoint.context_tokens // 6))


def begin(endpoint: Endpoint, body: dict[str, Any]) -> socket.socket:
    """Sends a request and leaves its answer unread."""
    url, data = urlsplit(endpoint.base_url), json.dumps(body).encode()
    head = (
        f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Authorization: Bearer {endpoint.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    connection = socket.create_connection((url.hostname or "", url.port or 80), timeout=10)
    connection.sendall(head.encode() + data)
    return connection


class OpenAIEndpointSuite:
    """The tests."""

    @pytest.fixture
    def client(self, endpoint: Endpoint) -> Iterator[openai.OpenAI]:
        with openai.OpenAI(
            base_url=endpoint.base_url, api_key=endpoint.key, max_retries=0, timeout=120
        ) as client:
            yield client

    def test_it_lists_its_model(self, endpoint: Endpoint, client: openai.OpenAI) -> None:
        assert endpoint.model in [model.id for model in client.models.list()]

    def test_a_whole_answer_has_its_tokens_counted(self, endpoint: Endpoint, client: openai.OpenAI) -> None:
        answer = client.chat.completions.create(
            model=endpoint.model, messages=user("Hello!"), max_tokens=6, temperature=0
        )
        assert answer.object == "chat.completion"
        assert answer.choices[0].message.role == "assistant"
        assert answer.choices[0].message.content
        usage = answer.usage
        assert usage is not None
        assert 0 < usage.completion_tokens <= 6
        assert (answer.choices[0].finish_reason == "length") == (usage.completion_tokens == 6)
        assert usage.prompt_tokens > 0
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens

    def test_a_stream_says_the_same_as_a_whole_answer(
        self, endpoint: Endpoint, client: openai.OpenAI
    ) -> None:
        asked: Any = {
            "model": endpoint.model,
            "messages": user("Name a colour."),
            "max_tokens": 12,
            "temperature": 0,
        }
        whole = client.chat.completions.create(**asked)
        chunks = list(
            client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        )
        said = [choice for chunk in chunks for choice in chunk.choices]
        assert "".join(choice.delta.content or "" for choice in said) == whole.choices[0].message.content
        assert [c.finish_reason for c in said if c.finish_reason] == [whole.choices[0].finish_reason]
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert whole.usage is not None
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens

    def test_the_asynchronous_sdk_is_answered_too(self, endpoint: Endpoint) -> None:
        async def ask() -> list[str]:
            async with openai.AsyncOpenAI(
                base_url=endpoint.base_url, api_key=endpoint.key, timeout=120
            ) as client:
                stream = await client.chat.completions.create(
                    model=endpoint.model, messages=user("Hi"), max_tokens=4, stream=True
                )
                return [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]

        assert "".join(asyncio.run(ask()))

    def test_plain_completions_are_answered(self, endpoint: Endpoint, client: openai.OpenAI) -> None:
        asked: Any = {"model": endpoint.model, "prompt": "Once upon a", "max_tokens": 5, "temperature": 0}
        whole = client.completions.create(**asked)
        streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True))
        assert whole.object == "text_completion"
        assert whole.choices[0].text == streamed
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 5

    def test_logprobs_come_token_by_token(self, endpoint: Endpoint, client: openai.OpenAI) -> None:
        answer = client.chat.completions.create(
            model=endpoint.model,
            messages=user("Hi"),
            max_tokens=3,
            logprobs=True,
            top_logprobs=2,
            temperature=0,
        )
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert logprobs.content is not None
        assert answer.usage is not None
        assert len(logprobs.content) == answer.usage.completion_tokens
        assert all(len(token.top_logprobs) == 2 for token in logprobs.content)

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_label_contract_holds_while_decoding(
        self, endpoint: Endpoint, client: openai.OpenAI, stream: bool
    ) -> None:
        said = self._constrained(endpoint, client, LABELS, stream=stream)
        assert said in LABELS.labels

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_json_contract_holds_while_decoding(
        self, endpoint: Endpoint, client: openai.OpenAI, stream: bool
    ) -> None:
        value = json.loads(self._constrained(endpoint, client, SCHEMA, stream=stream))
        assert set(value) == {"product", "urgent"}
        assert value["product"] in ("core", "mobile")
        assert isinstance(value["urgent"], bool)

    def test_a_schema_that_cannot_be_read_is_refused(self, endpoint: Endpoint, client: openai.OpenAI) -> None:
        wrong: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "no such type"}}}
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model=endpoint.model, messages=user("Hi"), max_tokens=4, response_format=wrong
            )

    def test_a_prompt_longer_than_the_context_is_refused(
        self, endpoint: Endpoint, client: openai.OpenAI
    ) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(
                model=endpoint.model, messages=user("word " * 2 * endpoint.context_tokens), max_tokens=4
            )
        assert "context" in refused.value.message

    def test_more_requests_than_it_works_on_at_once_are_all_answered(
        self, endpoint: Endpoint, client: openai.OpenAI
    ) -> None:
        def ask(number: int) -> str | None:
            asked = client.chat.completions.create(
                model=endpoint.model, messages=user(f"Say {number}."), max_tokens=4
            )
            return asked.choices[0].finish_reason

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(8))) <= {"stop", "length"}

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    @pytest.mark.parametrize("reads", [False, True], ids=["writing", "reading"])
    def test_a_client_that_goes_ends_the_work(self, endpoint: Endpoint, stream: bool, reads: bool) -> None:
        prompt, most = (long_prompt(endpoint), 64) if reads else (LONG_STORY, endpoint.context_tokens // 2)
        body = {
            "model": endpoint.model,
            "messages": user(prompt),
            "max_tokens": most,
            "stream": stream,
            "ignore_eos": True,
        }
        assert until(lambda: endpoint.running() == 0, 60)
        with contextlib.closing(begin(endpoint, body)):
            assert until(lambda: endpoint.running() == 1, 10), "it did not begin"
            time.sleep(0.3)
        assert until(lambda: endpoint.running() == 0, STOP_WITHIN_S), "it still works for nobody"

    def test_a_wrong_key_is_refused(self, endpoint: Endpoint) -> None:
        with (
            openai.OpenAI(base_url=endpoint.base_url, api_key="wrong", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.chat.completions.create(model=endpoint.model, messages=user("Hi"), max_tokens=1)

    def _constrained(
        self,
        endpoint: Endpoint,
        client: openai.OpenAI,
        contract: LabelContract | JsonContract,
        *,
        stream: bool,
    ) -> str:
        asked: Any = {
            "model": endpoint.model,
            "messages": user("My invoice is wrong, and the app crashes!"),
            "max_tokens": 60,
            "temperature": 1.0,
            "extra_body": constraint(contract, endpoint.engine),
        }
        if stream:
            chunks = client.chat.completions.create(**asked, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return client.chat.completions.create(**asked).choices[0].message.content or ""
