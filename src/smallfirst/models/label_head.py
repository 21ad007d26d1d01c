"""Label heads as a model: they answer in process, by the same Protocol and in the same bytes as an OpenAI-compatible server would.

So checks, streams, translation and the ledger need not know of them. An answer is one label; nothing of it is billed by the token, and no tokens
are reported. With `logprobs` the label stands there as one token, with the logarithm of its calibrated probability.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import msgspec

from smallfirst import limits
from smallfirst.chat import Usage
from smallfirst.classify.head_answer import HeadAnswer
from smallfirst.config.schema import Timeouts
from smallfirst.errors import (
    BadRequest,
    CallError,
    Overloaded,
    UnknownModel,
    Untranslatable,
    UpstreamError,
    UpstreamTimeout,
)
from smallfirst.models.transport import Exchange, Outgoing
from smallfirst.wire import errors, openai_chat, sse
from smallfirst.wire.incoming import Route
from smallfirst.wire.openai_stream import DONE
from smallfirst.wire.turns import read_conversation

_log = logging.getLogger(__name__)
_NEVER = -9999.0  # OpenAI's own word for a token that is as good as impossible
_chance = random.Random()  # noqa: S311 (a name, not a secret)


class Head(Protocol):
    """A linear classifier over an embedding. `slow` ones are not for an event loop; `answer` never fails for its text, not even an empty one."""

    @property
    def sha256(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def slow(self) -> bool: ...

    def answer(self, text: str) -> HeadAnswer: ...


def path(route: Route) -> str:
    """Where a request of this route goes. Raises `Untranslatable`: only a conversation has a text to label."""
    if route not in ("chat", "messages"):
        raise Untranslatable(f"a label head does not answer /{route}")
    return "/chat/completions"


class HeadServer:
    """A `Transport` that reaches no further than this process. `find` gives the head that a request's `model` names: it loads nothing."""

    def __init__(self, find: Callable[[str], Head | None]) -> None:
        self._find = find
        self._threads = ThreadPoolExecutor(limits.HEAD_THREADS, thread_name_prefix="label-head")
        self._places = threading.BoundedSemaphore(limits.HEAD_THREADS + limits.HEAD_WAITING)

    async def send(self, request: Outgoing, timeouts: Timeouts) -> Exchange:
        """The whole answer, or a refusal as a server would send it. Raises `UpstreamTimeout`."""
        try:
            body = openai_chat.decode(request.body)
            head = self._head(body)
            answer = await self._answer(head, _text(body), timeouts)
        except UpstreamError:
            raise
        except CallError as error:
            return _refused(error)
        except Exception as fault:  # a server's boundary: whatever a head's libraries raise, the call climbs
            _log.exception("a label head failed")
            return _refused(CallError(f"the label head failed ({type(fault).__name__})"))
        told = _Told(head, answer, logprobs=bool(body.logprobs))
        if body.stream:
            return _Answered(200, "text/event-stream", told.stream(usage=body.stream_usage))
        return _Answered(200, "application/json", told.whole())

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _head(self, body: openai_chat.Body) -> Head:
        head = self._find(body.model)
        if head is None:
            raise UnknownModel(
                f"no label head is loaded for {body.model!r}; `smallfirst train` makes one, SIGHUP or a restart loads it",
                param="model",
            )
        if body.choices > 1:
            raise BadRequest("n: a label head gives one answer", param="n")
        if body.tools_count:
            raise BadRequest("tools: a label head calls none", param="tools")
        if body.image_count:
            raise BadRequest(
                "messages: a label head reads text alone, and there is an image", param="messages"
            )
        return head

    async def _answer(self, head: Head, text: str, timeouts: Timeouts) -> HeadAnswer:
        if not head.slow:
            return head.answer(text)
        if not self._places.acquire(blocking=False):
            raise Overloaded("as many texts are under way or wait as there may", retry_after_s=1.0)
        work = self._threads.submit(head.answer, text)
        # Its place is taken until the thread is done, not until its caller leaves: that does not stop the thread.
        work.add_done_callback(lambda _: self._places.release())
        try:
            async with asyncio.timeout(timeouts.first_byte_s):
                return await asyncio.wrap_future(work)
        except TimeoutError as error:
            raise UpstreamTimeout(f"no answer within {timeouts.first_byte_s:g} s") from error


def _text(body: openai_chat.Body) -> str:
    """What the user says now; empty where the user says nothing."""
    turns = read_conversation(body).turns
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), "")


def _refused(error: CallError) -> _Answered:
    """The error as a server would send it. Busy is 429 and not 503: it says nothing of the head's health."""
    status, _, body = errors.render(error, dialect="openai", request_id="")
    return _Answered(429 if isinstance(error, Overloaded) else status, "application/json", body)


class _Told:
    """One answer as OpenAI's dialect tells it. `model` is the head's hash, so that the ledger knows which one answered."""

    def __init__(self, head: Head, answer: HeadAnswer, *, logprobs: bool) -> None:
        self._label = answer.label
        self._logprobs = _logprobs(answer) if logprobs else None
        self._common = {
            "id": f"chatcmpl-{_chance.getrandbits(96):024x}",
            "created": int(time.time()),
            "model": head.sha256,
        }

    def whole(self) -> bytes:
        message = {"role": "assistant", "content": self._label, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": self._logprobs, "finish_reason": "stop"}
        told = {"object": "chat.completion", "choices": [choice], "usage": openai_chat.write_usage(Usage())}
        return msgspec.json.encode(self._common | told)

    def stream(self, *, usage: bool) -> bytes:
        """The same as a stream's bytes, which come all at once."""
        beside = {"object": "chat.completion.chunk"} | ({"usage": None} if usage else {})
        deltas: list[tuple[dict[str, Any], Any, str | None]] = [
            ({"role": "assistant", "content": "", "refusal": None}, None, None),
            ({"content": self._label}, self._logprobs, None),
            ({}, None, "stop"),
        ]
        chunks = [
            beside
            | {"choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]}
            for delta, logprobs, finish in deltas
        ]
        if usage:
            chunks.append(beside | {"choices": [], "usage": openai_chat.write_usage(Usage())})
        return b"".join(sse.encode(msgspec.json.encode(self._common | chunk)) for chunk in chunks) + DONE


def _logprobs(answer: HeadAnswer) -> dict[str, Any]:
    logprob = math.log(answer.confidence) if answer.confidence > 0 else _NEVER
    token = {"token": answer.label, "logprob": logprob, "bytes": None, "top_logprobs": []}
    return {"content": [token], "refusal": None}


class _Answered:
    """An exchange that is over: all of its bytes are there."""

    __slots__ = ("_data", "headers", "status")

    def __init__(self, status: int, content_type: str, data: bytes) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": content_type}
        self._data = data

    async def read(self) -> bytes:
        return self._data

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._data

    def close(self) -> None:
        """There is no connection."""
