"""The yardstick: the least that a Python gateway can do on the libraries that smallfirst uses.

Parse the request, forward its bytes, parse the answer, send its bytes; streams are passed on chunk by chunk,
unread. No keys, no budget, no routing, no record. What smallfirst costs above this is what it adds.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

_HEADERS = {"content-type": "application/json"}


def application(upstream: str) -> Starlette:
    """The relay in front of one upstream, a base URL that ends in /v1."""
    url = f"{upstream}/chat/completions"

    @asynccontextmanager
    async def client(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as app.state.client:
            yield

    async def chat(request: Request) -> Response:
        body = await request.body()
        post = request.app.state.client.post(url, data=body, headers=_HEADERS)
        if msgspec.json.decode(body).get("stream"):
            return StreamingResponse(_chunks(post), media_type="text/event-stream")
        async with post as answer:
            content = await answer.read()
            msgspec.json.decode(content)
            return Response(content, answer.status, media_type="application/json")

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=client)


async def _chunks(post: "aiohttp.client._RequestContextManager") -> AsyncIterator[bytes]:
    async with post as answer:
        async for chunk in answer.content.iter_any():
            yield chunk


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    arguments = parser.parse_args()
    uvicorn.run(
        application(arguments.upstream),
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
