"""What is read of a server's answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from smallfirst import limits
from smallfirst.errors import DeployError
from smallfirst.gate.deploy.hosts import addresses_of
from smallfirst.gate.deploy.server import Answered, connected

TOKENS = [{"token": "é", "bytes": [195, 169], "logprob": -0.5}] * 3
BODY: dict[str, Any] = {"choices": [{"message": {"content": "é" * 3}, "logprobs": {"content": TOKENS}}]}


async def ask() -> Answered:
    """The answer of a server that sends its body in two pieces."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = web.json_response(BODY).body
        assert isinstance(body, bytes)
        reply = web.StreamResponse()
        await reply.prepare(request)
        for piece in (body[:40], body[40:]):
            await reply.write(piece)
            await asyncio.sleep(0.02)
        await reply.write_eof()
        return reply

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/v1"))
        async with connected(url, "vllm", {}, await addresses_of(URL(url), allow_public=False)) as asked:
            return await asked.answer({})


def test_an_answer_that_comes_in_pieces_is_read_to_its_end() -> None:
    assert asyncio.run(ask()) == Answered("ééé", -1.5, 3)


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REPLY_BYTES", 50)
    with pytest.raises(DeployError, match="answers more than 50 bytes"):
        asyncio.run(ask())
