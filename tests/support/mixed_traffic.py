"""Calls of every kind that a gateway meets, by the thousand: both dialects and across, streams, cached prompts, reasoning, tools, embeddings, ladders
that climb, cache hits, exploration, clients that leave at any moment, upstreams that fail in every way.

Raw HTTP, so that a hundred thousand of them take minutes; what the SDKs make of answers is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import aiohttp
from support.gateway import CONFIG, KEY, GatewayProcess

WORDS = "The scanner that we bought in spring does not charge on the dock, whatever cable we try."
_LONG = "You know our products, our customers and our terms. " * 130  # well over a thousand tokens
MIXED_CONFIG = (
    CONFIG.replace('output = "0.1505" }}]', 'output = "0.1505", cache_read = "0.00375" }}]').replace(
        "first_byte_s = 2, between_bytes_s = 2", "first_byte_s = 1.5, between_bytes_s = 1.5"
    )
    + """
[tasks.ask]
ladder = ["frontier"]
cache = {{ exact = true }}

[tasks.sort]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["mini", "claude"]
cache = {{ exact = true }}

[tasks.form]
contract = {{ type = "json", schema = {{ type = "object", properties = {{ n = {{ type = "integer" }} }}, required = ["n"] }} }}
ladder = ["nano", "mini", "frontier"]

[tasks.brief]
margin = 1.0
ladder = ["mini", "frontier"]
rollout = {{ explore = 0.3, pairs = 0.5, explore_usd_per_day = 1000 }}
"""
)
SIMULATOR_OPTIONS = {"ttft_ms": 4, "ttft_sigma": 0.5, "tokens_per_second": 1500, "seed": 7}
_FAULTS: dict[str, dict[str, Any]] = {
    "wobbles": {"status": 500},
    "crowded": {"status": 429, "retry_after_ms": 5},
    "overloaded": {"status": 529},
    "unwelcome": {"status": 400},
    "garbled": {"garbage_json": True},
    "halved": {"truncated_json": True},
    "severed": {"cut_after_chunks": 3},
    "reset": {"cut_after_chunks": 1, "reset": True},
    "unsaid": {"cut_before_body": True},
    "silent": {"silent_end": 2},
    "endless": {"hang_after_chunks": 2},
    "absent": {"hang_before_headers": True},
    "erring": {"error_event_after_chunks": 2},
    "uncounted": {"no_usage": True},
    "split": {"split_bytes": 7},
    "odd": {"line_ending": "\r\n", "comments": True, "multi_line_data": True},
}
_SLOW_FAULTS = ("endless", "absent")  # each holds a connection for a second and a half


def fault_rules() -> list[dict[str, Any]]:
    """Faults for the simulator: one for each word, in requests that hold it."""
    return [
        {"match": {"contains": f"fault-{word}"}, "times": None, "fault": fault}
        for word, fault in _FAULTS.items()
    ]


def with_canary(gateway: GatewayProcess) -> None:
    """Makes the configuration's candidate live, and another one its canary, whose calls are checked on the spot."""
    live = gateway.cli("release", "build")["id"]
    gateway.cli("release", "promote", live, "--unproven", "mixed traffic")
    text = gateway.path.read_text("utf-8")
    gateway.path.write_text(
        text.replace("[tasks.brief]", '[tasks.brief]\ninstructions = "Be brief."'), "utf-8"
    )
    canary = gateway.cli("release", "build")["id"]
    gateway.cli("release", "promote", canary, "--canary", "40%,100%", "--unproven", "mixed traffic")


class Asked(NamedTuple):
    """A request, and when its client leaves: after so many seconds, after so many chunks, or not."""

    kind: str
    path: str
    body: dict[str, Any]
    leaves_s: float | None = None
    leaves_chunks: int | None = None


class Sent(NamedTuple):
    """What came of the traffic: by kind, and by how calls ended for their clients."""

    kinds: Counter[str]
    ends: Counter[str]


class Mixture:
    """The calls of one seed, by their numbers: the same number is the same call always."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def call(self, number: int) -> Asked:
        """The call of this number."""
        draw = random.Random(f"{self._seed}:{number}")
        kind, make = draw.choices(_KINDS, weights=_WEIGHTS)[0]
        path, body = make(draw, number)
        if draw.random() < 0.08:
            word = draw.choices(list(_FAULTS), weights=[0.25 if w in _SLOW_FAULTS else 1 for w in _FAULTS])[0]
            _say(body, f"fault-{word}")
            kind = f"{kind}, {word}"
        if draw.random() < 0.12:
            if body.get("stream") and draw.random() < 0.6:
                return Asked(f"{kind}, left", path, body, leaves_chunks=draw.randint(0, 12))
            return Asked(f"{kind}, left", path, body, leaves_s=draw.uniform(0, 0.06))
        return Asked(kind, path, body)


async def send(
    url: str,
    numbers: Sequence[int],
    *,
    seed: int = 1,
    clients: int = 24,
    told: Callable[[int], None] = lambda done: None,
) -> Sent:
    """Sends the calls of these numbers, so many at a time."""
    sent = Sent(Counter(), Counter())
    waiting = iter(numbers)
    mixture, done = Mixture(seed), 0
    connector = aiohttp.TCPConnector(limit=clients * 2)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:

        async def client() -> None:
            nonlocal done
            for number in waiting:
                asked = mixture.call(number)
                sent.kinds[asked.kind.split(",")[0]] += 1
                sent.ends[await _one(session, url, asked)] += 1
                done += 1
                told(done)

        await asyncio.gather(*(client() for _ in range(clients)))
    return sent


async def _one(session: aiohttp.ClientSession, url: str, asked: Asked) -> str:
    try:
        async with asyncio.timeout(asked.leaves_s):
            return await _ask(session, url, asked)
    except TimeoutError:
        return "left" if asked.leaves_s is not None else "late"
    except aiohttp.ClientError:
        return "broken"


async def _ask(session: aiohttp.ClientSession, url: str, asked: Asked) -> str:
    headers = {"authorization": f"Bearer {KEY}"}
    if asked.path == "/v1/messages":
        headers["anthropic-version"] = "2023-06-01"
    async with session.post(url + asked.path, json=asked.body, headers=headers) as response:
        if asked.leaves_chunks is not None:
            chunks = 0
            async for _ in response.content.iter_any():
                chunks += 1
                if chunks > asked.leaves_chunks:
                    response.close()
                    return "left"
        with contextlib.suppress(aiohttp.ClientPayloadError):
            await response.read()
        return str(response.status)


def _say(body: dict[str, Any], words: str) -> None:
    """Adds words to what is said last."""
    if isinstance(body.get("input"), str):
        body["input"] += f" {words}"
        return
    body["messages"][-1]["content"] += f" {words}"


# Bodies by kind.

_Body = tuple[str, dict[str, Any]]
_CHAT, _MESSAGES = "/v1/chat/completions", "/v1/messages"
_TOOL_SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}


def _user(number: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"{WORDS} Ticket {number}."}]


def _streamed(draw: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    if draw.random() < 0.5:
        body["stream"] = True
        if draw.random() < 0.5 and "max_tokens" not in body:
            body["stream_options"] = {"include_usage": True}
    return body


def _chat(draw: random.Random, number: int) -> _Body:
    body = {"model": draw.choice(("frontier", "mini", "nano", "azure", "gpt-4o")), "messages": _user(number)}
    return _CHAT, _streamed(draw, body)


def _chat_cached(draw: random.Random, number: int) -> _Body:
    system = {"role": "system", "content": f"{draw.randrange(12)} {_LONG}"}
    body = {"model": draw.choice(("frontier", "mini", "nano")), "messages": [system, *_user(number)]}
    return _CHAT, _streamed(draw, body)


def _reasoning(draw: random.Random, number: int) -> _Body:
    effort = draw.choice(("low", "medium"))
    body = {"model": "frontier", "reasoning_effort": effort, "messages": _user(number)}
    return _CHAT, _streamed(draw, body)


def _tools(draw: random.Random, number: int) -> _Body:
    function = {"name": "find_order", "parameters": _TOOL_SCHEMA}
    body = {
        "model": draw.choice(("frontier", "claude")),
        "messages": _user(number),
        "tools": [{"type": "function", "function": function}],
        "tool_choice": draw.choice(("auto", "required")),
    }
    return _CHAT, _streamed(draw, body)


def _choices(draw: random.Random, number: int) -> _Body:
    return _CHAT, {"model": "mini", "n": draw.randint(2, 4), "max_tokens": 30, "messages": _user(number)}


def _marked(draw: random.Random) -> dict[str, Any]:
    mark = {"type": "ephemeral"} | draw.choice(({}, {"ttl": "5m"}, {"ttl": "1h"}))
    return {"type": "text", "text": f"{draw.randrange(12)} {_LONG}", "cache_control": mark}


def _chat_to_claude(draw: random.Random, number: int) -> _Body:
    system = {"role": "system", "content": [_marked(draw)] if draw.random() < 0.5 else "Be brief."}
    body = {"model": "claude", "messages": [system, *_user(number)]}
    if draw.random() < 0.3:
        body["max_tokens"] = draw.randint(1, 20)
    return _CHAT, _streamed(draw, body)


def _messages(draw: random.Random, number: int) -> _Body:
    body: dict[str, Any] = {"model": draw.choice(("claude", "claude", "frontier", "mini")), "max_tokens": 200}
    if draw.random() < 0.5:
        body["system"] = [_marked(draw)]
        if draw.random() < 0.4:  # two marks, of both kinds: the longer one first
            first = _marked(draw) | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
            second = {
                "type": "text",
                "text": f"{draw.randrange(3)} {WORDS}",
                "cache_control": {"type": "ephemeral"},
            }
            body["system"] = [first, second]
    if draw.random() < 0.2 and body["model"] == "claude":
        body |= {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    if draw.random() < 0.2:
        body["tools"] = [{"name": "find_order", "input_schema": _TOOL_SCHEMA}]
    if draw.random() < 0.5:
        body["stream"] = True
    return _MESSAGES, {**body, "messages": _user(number)}


def _task(draw: random.Random, number: int) -> _Body:
    task = draw.choice(("triage", "extract", "summary", "cross", "broken", "sort", "form", "brief", "brief"))
    body = {"model": f"task/{task}", "messages": _user(number)}
    if draw.random() < 0.3:
        body["max_tokens"] = 100
        return _MESSAGES, _without_options(_streamed(draw, body))
    return _CHAT, _streamed(draw, body)


def _without_options(body: dict[str, Any]) -> dict[str, Any]:
    body.pop("stream_options", None)
    return body


def _cached(draw: random.Random, number: int) -> _Body:
    body = {
        "model": draw.choice(("task/ask", "task/sort")),
        "temperature": 0,
        "messages": _user(draw.randrange(40)),
    }
    return _CHAT, _streamed(draw, body)


def _embeddings(draw: random.Random, number: int) -> _Body:
    return "/v1/embeddings", {"model": "embed", "input": f"{WORDS} {number}"}


def _responses(draw: random.Random, number: int) -> _Body:
    return "/v1/responses", {"model": "sim-frontier", "input": f"{WORDS} {number}"}


_MAKERS: dict[str, tuple[float, Callable[[random.Random, int], _Body]]] = {
    "chat": (20, _chat),
    "automatic caching": (10, _chat_cached),
    "reasoning": (6, _reasoning),
    "tools": (6, _tools),
    "several choices": (2, _choices),
    "chat to Claude": (12, _chat_to_claude),
    "messages": (16, _messages),
    "tasks": (16, _task),
    "answer cache": (6, _cached),
    "embeddings": (5, _embeddings),
    "relayed": (1, _responses),
}
_KINDS = [(kind, make) for kind, (_, make) in _MAKERS.items()]
_WEIGHTS = [weight for weight, _ in _MAKERS.values()]
