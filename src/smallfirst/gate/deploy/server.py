"""A server that is about to serve an adapter, asked as a rung would be."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import aiohttp
import msgspec
from yarl import URL

from smallfirst import limits
from smallfirst.config.secrets import without_credentials
from smallfirst.errors import DeployError
from smallfirst.gate.deploy.hosts import Address, Pinned

Engine = Literal["llamacpp", "vllm"]
_SHOWN_CHARS = 300
_NO_ROUTE = (404, 405)


class Reply(msgspec.Struct, frozen=True):
    """What a server answered: `body` is its JSON, or its text where it is none."""

    status: int
    body: Any

    @property
    def message(self) -> str:
        """The reason that an error gives, shortened."""
        found = self.body
        for name in ("error", "message", "detail"):
            if isinstance(found, dict):
                found = found.get(name, found)
        return " ".join(str(found).split())[:_SHOWN_CHARS]


class Answered(msgspec.Struct, frozen=True):
    """`logprob` is that of the whole text, natural, over so many tokens; None where the server does not tell it."""

    text: str
    logprob: float | None
    tokens: int = 0


class Server:
    """One engine at `base_url`, which ends in /v1. All methods raise `DeployError` where it cannot be reached."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, engine: Engine) -> None:
        self.engine: Engine = engine
        self.base_url = base_url.rstrip("/")
        self.shown = without_credentials(self.base_url)
        self._session = session

    async def get(self, path: str) -> Reply:
        """A path below `base_url`."""
        return await self._send("GET", self.base_url + path, None)

    async def post(self, path: str, body: Mapping[str, Any], *, root: bool = False) -> Reply:
        """A path below `base_url`, or below the address that it belongs to."""
        base = self.base_url.removesuffix("/v1") if root else self.base_url
        return await self._send("POST", base + path, msgspec.json.encode(body))

    async def models(self) -> dict[str, str | None]:
        """The models that it lists, each with the base that it is an adapter of. Raises `DeployError` where it lists none."""
        reply = await self.get("/models")
        if reply.status in (401, 403):
            raise DeployError(
                f"{self.shown} refuses the key ({reply.status}): `api_key` of its provider says which is sent"
            )
        rows = reply.body.get("data") if isinstance(reply.body, dict) else None
        if reply.status != 200 or not isinstance(rows, list):
            raise DeployError(f"{self.shown}/models answers {reply.status}: {reply.message}")
        return {str(row["id"]): row.get("parent") for row in rows if isinstance(row, dict) and "id" in row}

    async def answer(self, body: Mapping[str, Any], *, constrained: bool = False) -> Answered:
        """The answer to a chat request that asks for log-probabilities: those before the constraint, as trainers have them."""
        asked = {**body, "return_token_ids": True} if self.engine == "vllm" else body
        reply = await self.post("/chat/completions", asked)
        try:
            if reply.status == 200:
                choice = reply.body["choices"][0]
                text = choice["message"]["content"] or ""
                answered = _answered(text, (choice.get("logprobs") or {}).get("content") or ())
                if self.engine != "vllm" or not constrained:
                    return answered
                prompt, said = reply.body.get("prompt_token_ids"), choice.get("token_ids")
                return Answered(
                    text, await self._free_logprob(body["model"], prompt, said, answered), answered.tokens
                )
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise DeployError(
                f"{self.shown} answers something that is no chat completion: {reply.message}"
            ) from error
        raise DeployError(f"{self.shown} answers a probe with {reply.status}: {reply.message}")

    async def _free_logprob(
        self, model: str, prompt: list[int] | None, said: list[int] | None, answered: Answered
    ) -> float | None:
        """An answer's log-probability as if nothing had held it: vLLM masks what a constraint forbids before it tells log-probabilities, so that
        the only label allowed has 0. Therefore the answer is put to it again, as a prompt. None where it does not tell token ids.
        """
        if not prompt or not said or not answered.tokens:
            return None
        ids = [*prompt, *said[: answered.tokens]]
        body = {"model": model, "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        reply = await self.post("/completions", body)
        if reply.status != 200:
            return None
        told = reply.body["choices"][0].get("prompt_logprobs")
        if not told or len(told) != len(ids):
            return None
        places = zip(told[len(prompt) :], ids[len(prompt) :], strict=True)
        return sum(float(place[str(token)]["logprob"]) for place, token in places)

    async def prompt_sha256(self, body: Mapping[str, Any]) -> str | None:
        """The hash of a chat request's token ids as this server renders it, made as `Probe.prompt_sha256` is; None where it does not tell them."""
        if self.engine == "vllm":
            told = {name: body[name] for name in ("model", "messages", "tools") if name in body}
            reply = await self.post("/tokenize", told, root=True)
        else:
            rendered = await self.post("/apply-template", body, root=True)
            if rendered.status in _NO_ROUTE:
                return None
            if rendered.status != 200 or not isinstance(rendered.body, dict):
                raise DeployError(
                    f"{self.shown} cannot render a probe ({rendered.status}): {rendered.message}"
                )
            prompt = {"content": rendered.body.get("prompt", ""), "add_special": True, "parse_special": True}
            reply = await self.post("/tokenize", prompt, root=True)
        if reply.status in _NO_ROUTE:
            return None
        if reply.status != 200 or not isinstance(reply.body, dict):
            raise DeployError(f"{self.shown} cannot render a probe ({reply.status}): {reply.message}")
        return hashlib.sha256(msgspec.json.encode(reply.body.get("tokens"))).hexdigest()

    async def _send(self, method: str, url: str, data: bytes | None) -> Reply:
        try:
            async with self._session.request(method, URL(url), data=data, allow_redirects=False) as answer:
                return Reply(answer.status, _decoded(await self._whole(answer.content)))
        except TimeoutError as error:
            raise DeployError(f"{self.shown} did not answer in time") from error
        except aiohttp.ClientError as error:
            raise DeployError(
                f"{self.shown} cannot be reached ({type(error).__name__}): is it running, and is its address right?"
            ) from error

    async def _whole(self, content: aiohttp.StreamReader) -> bytes:
        """The body to its end: one `read` gives what has come so far, and an answer with its log-probabilities comes in pieces."""
        body = bytearray()
        async for piece in content.iter_any():
            body += piece
            if len(body) > limits.MAX_REPLY_BYTES:
                raise DeployError(f"{self.shown} answers more than {limits.MAX_REPLY_BYTES:,} bytes")
        return bytes(body)


@contextlib.asynccontextmanager
async def connected(
    base_url: str, engine: Engine, headers: Mapping[str, str], addresses: Sequence[Address]
) -> AsyncIterator[Server]:
    """The server at `base_url`, asked at these addresses alone."""
    timeout = aiohttp.ClientTimeout(
        total=limits.DEPLOY_REQUEST_TIMEOUT_S, sock_connect=limits.CONNECT_TIMEOUT_S
    )
    connector = aiohttp.TCPConnector(resolver=Pinned(addresses))
    async with aiohttp.ClientSession(
        connector=connector,
        headers=dict(headers),
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Server(session, base_url, engine)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[:_SHOWN_CHARS].decode("utf-8", "replace")


def _answered(text: str, told: Sequence[Mapping[str, Any]]) -> Answered:
    """The text with the sum over the tokens that make it up; what ends the turn is none of them."""
    size, total, said, tokens = len(text.encode()), 0.0, 0, 0
    for token in told:
        if said >= size:
            break
        total += float(token["logprob"])
        said += len(token.get("bytes") or str(token["token"]).encode())
        tokens += 1
    return Answered(text, total if told else None, tokens)
