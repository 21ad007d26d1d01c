"""An OpenAI-compatible endpoint, asked for streamed answers of a wanted length, and when their tokens came."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import aiohttp
import msgspec
from yarl import URL

from smallfirst import limits
from smallfirst.config.secrets import without_credentials
from smallfirst.errors import ConfigError, StateError, UpstreamBroken
from smallfirst.planning.fleet.calibrate.point import Shot
from smallfirst.planning.fleet.calibrate.prompts import Prompts, TokenRate
from smallfirst.wire.sse import SseDecoder

_PROBE_WORDS, _PROBE_TOKENS, _PROBE_TIMEOUT_S = (24, 120), 8, 300.0
_SHOWN_CHARS = 200
_OK, _BAD_REQUEST, _UNPROCESSABLE = 200, 400, 422
Wording = Literal["ignore_eos", "max_tokens", "max_completion_tokens"]
WORDINGS: tuple[Wording, ...] = ("ignore_eos", "max_tokens", "max_completion_tokens")


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What two calls told of an endpoint: how it counts, how it wants an answer's length told, and how long an answer takes alone."""

    rate: TokenRate
    wording: Wording
    token_s: float
    first_s: float


class Endpoint:
    """One model behind a base URL that ends in /v1. Redirects are not followed; the key goes nowhere else."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, model: str, key: str | None) -> None:
        self.base_url, self.model = base_url.rstrip("/"), model
        self.shown = without_credentials(self.base_url)
        self.wording: Wording = "ignore_eos"
        self.session = session
        self._key = key
        self._url = URL(self.base_url + "/chat/completions")
        self._decoder = msgspec.json.Decoder(_Chunk)

    def body(self, prompt: str, output_tokens: int) -> bytes:
        """A request that wants exactly so many tokens, where the server takes `ignore_eos`; at most so many, where it does not."""
        wanted: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 1,
        }
        wanted["max_completion_tokens" if self.wording == "max_completion_tokens" else "max_tokens"] = (
            output_tokens
        )
        if self.wording == "ignore_eos":
            wanted |= {"ignore_eos": True, "min_tokens": output_tokens}
        return msgspec.json.encode(wanted)

    async def ask(self, body: bytes, shot: Shot, now: Callable[[], float]) -> None:
        """Sends it and writes into `shot` what comes, as it comes. `now` is the run's clock. A failed request is told in `shot.error`."""
        shot.sent_s = now()
        try:
            async with self.session.post(self._url, data=body, allow_redirects=False) as answer:
                if answer.status != _OK:
                    shot.error = f"HTTP {answer.status}: {await _told(answer)}"
                    return
                await self._read(answer.content, shot, now)
        except (aiohttp.ClientError, TimeoutError, ConnectionError, UpstreamBroken) as error:
            shot.error = f"{type(error).__name__}: {error}"[:_SHOWN_CHARS]
        finally:
            if self._key:  # a server may say what it was sent
                shot.error = shot.error.replace(self._key, "***")

    async def _read(self, content: aiohttp.StreamReader, shot: Shot, now: Callable[[], float]) -> None:
        events, usage = SseDecoder(), None
        async for piece in content.iter_any():
            at_s = now()
            for event in events.feed(piece):
                if event.data == b"[DONE]":
                    continue
                try:
                    chunk = self._decoder.decode(event.data)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    shot.error = "an event is no chunk of a chat completion"
                    return
                if chunk.error is not None:
                    shot.error = f"in the stream: {chunk.error}"[:_SHOWN_CHARS]
                    return
                usage = chunk.usage or usage
                if any(_says_something(choice.delta) for choice in chunk.choices):
                    shot.first_s = at_s if shot.first_s is None else shot.first_s
                    shot.seen_s = at_s
                    shot.seen_tokens += 1
        if usage is None or shot.first_s is None or not usage.prompt_tokens or not usage.completion_tokens:
            shot.error = "the stream ended without " + ("usage" if shot.first_s is not None else "a token")
            return
        shot.input_tokens, shot.output_tokens = usage.prompt_tokens, usage.completion_tokens
        shot.seen_tokens, shot.ended = usage.completion_tokens, True
        details = usage.prompt_tokens_details
        shot.cached_tokens = (details.cached_tokens or 0) if details is not None else 0

    async def known(self, prompts: Prompts) -> Known:
        """Asks two short calls and one again, one after the other. Raises `StateError` where the endpoint does not answer as it must."""
        await self._agree(prompts)
        shots = [await self._probe(prompts.make(words)) for words in _PROBE_WORDS]
        (few, many), (low, high) = _PROBE_WORDS, (shot.input_tokens for shot in shots)
        if high <= low:
            raise StateError(
                f"{self.shown} counts {high} tokens for {many} words and {low} for {few}: its usage cannot be used"
            )
        each = (high - low) / (many - few)
        last = shots[-1]
        assert last.first_s is not None
        return Known(
            rate=TokenRate(tokens_per_word=each, fixed_tokens=max(0.0, low - few * each)),
            wording=self.wording,
            token_s=(last.seen_s - last.first_s) / max(1, last.output_tokens - 1),
            first_s=last.first_s,
        )

    async def _agree(self, prompts: Prompts) -> None:
        """Finds how the server wants an answer's length told; the call also wakes what is made at the first one."""
        for wording in WORDINGS:
            self.wording = wording
            shot = await self._asked(prompts.make(_PROBE_WORDS[1]))
            refused = shot.error.startswith((f"HTTP {_BAD_REQUEST}", f"HTTP {_UNPROCESSABLE}"))
            if not refused or wording == WORDINGS[-1]:
                self._check(shot)
                return

    async def _probe(self, prompt: str) -> Shot:
        shot = await self._asked(prompt)
        self._check(shot)
        return shot

    async def _asked(self, prompt: str) -> Shot:
        loop = asyncio.get_running_loop()
        start_s, shot = loop.time(), Shot(due_s=0.0, input_tokens=0, output_tokens=_PROBE_TOKENS)
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await self.ask(self.body(prompt, _PROBE_TOKENS), shot, lambda: loop.time() - start_s)
        except TimeoutError:
            shot.error = f"not complete after {_PROBE_TIMEOUT_S:g} s"
        return shot

    def _check(self, shot: Shot) -> None:
        if shot.error:
            raise StateError(
                f"{self.shown} does not answer {self.model!r} as it must, with a stream that tells its usage: {shot.error}"
            )


@contextlib.asynccontextmanager
async def connected(base_url: str, model: str, key: str | None) -> AsyncIterator[Endpoint]:
    """The endpoint, over as many connections as there are calls at once."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Endpoint(session, base_url, model, key)


def checked_url(text: str) -> str:
    """A base URL as the operator names it. Raises `ConfigError` where it is none, or carries a password."""
    try:
        url = URL(text)
    except ValueError as error:
        raise ConfigError(f"is no URL: {error}", path="--endpoint") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("expected http:// or https://, as http://127.0.0.1:8000/v1", path="--endpoint")
    if url.user is not None or url.password is not None:
        raise ConfigError(
            "a key belongs into a variable of the environment: --api-key-env NAME", path="--endpoint"
        )
    if url.query_string or url.fragment:
        raise ConfigError("expected a base URL without ? and #", path="--endpoint")
    return str(url).rstrip("/")


def is_clear(text: str) -> bool:
    """Whether what is sent to that URL can be read on the way: plain HTTP to another machine."""
    url = URL(text)
    if url.scheme != "http" or url.host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return True


def _says_something(delta: _Delta) -> bool:
    return bool(delta.content or delta.reasoning_content or delta.reasoning)


async def _told(answer: aiohttp.ClientResponse) -> str:
    said = await answer.content.read(4096)
    return " ".join(said.decode("utf-8", "replace").split())[:_SHOWN_CHARS]
