"""What an engine says of itself at /metrics while it is measured: requests that run and wait, and how full its memory is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import aiohttp
import msgspec
from yarl import URL

from smallfirst.planning.fleet.calibrate.point import EngineSeen

_LARGEST_BYTES = 8 << 20
_TIMEOUT_S = 5.0
_EVERY_S = 1.0
_OK = 200
_LINE = re.compile(r"^([A-Za-z_:][\w:]*)(\{[^}]*\})? +([^ ]+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_NAMES = {
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"),
    "kv_usage": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "sglang:token_usage",
        "llamacpp:kv_cache_usage_ratio",
    ),
}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One look. `kv_tokens` is how many tokens of context the engine has room for."""

    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
    kv_tokens: float | None = None


def seen_in(text: str) -> Seen:
    """What a page of metrics says (Prometheus's text format); of several engines behind one page, the sum, and the fullest memory."""
    values: dict[str, list[float]] = {}
    kv_tokens = None
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        name, labels, value = found.groups()
        if name == "vllm:cache_config_info":
            kv_tokens = _kv_tokens(dict(_LABEL.findall(labels or ""))) or kv_tokens
            continue
        for what, names in _NAMES.items():
            if name in names:
                values.setdefault(what, []).append(_number(value))
    return Seen(
        running=sum(values["running"]) if "running" in values else None,
        waiting=sum(values["waiting"]) if "waiting" in values else None,
        kv_usage=max(values["kv_usage"]) if "kv_usage" in values else None,
        kv_tokens=kv_tokens,
    )


class EngineMetrics:
    """The page beside a base URL that ends in /v1. One that is not there tells nothing, and is not asked again."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._url = URL(base_url.rstrip("/").removesuffix("/v1") + "/metrics")
        self.there = True

    async def look(self) -> Seen | None:
        """One look; None where there is no such page. What goes wrong with it is no reason to stop measuring."""
        if not self.there:
            return None
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with self._session.get(self._url, allow_redirects=False, timeout=timeout) as answer:
                if answer.status != _OK:
                    self.there = False
                    return None
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > _LARGEST_BYTES:
                        self.there = False
                        return None
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return None
        return seen_in(body.decode("utf-8", "replace"))

    async def watch(self, looks: list[Seen]) -> None:
        """Looks each second until it is cancelled."""
        while self.there:
            seen = await self.look()
            if seen is not None:
                looks.append(seen)
            await asyncio.sleep(_EVERY_S)

    async def until_idle(self, most_s: float) -> None:
        """Waits until nothing runs any more: what was given up must not burden the next rate."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + most_s
        while loop.time() < end_s:
            seen = await self.look()
            if seen is None or seen.running is None or seen.running + (seen.waiting or 0) == 0:
                return
            await asyncio.sleep(0.2)


def engine_seen(looks: list[Seen]) -> EngineSeen | None:
    """The looks of one run together."""
    if not looks:
        return None

    def of(name: str) -> list[float]:
        return [value for look in looks if (value := getattr(look, name)) is not None]

    running, waiting, used = of("running"), of("waiting"), of("kv_usage")
    return EngineSeen(
        running_mean=sum(running) / len(running) if running else None,
        running_most=max(running, default=None),
        waiting_mean=sum(waiting) / len(waiting) if waiting else None,
        waiting_most=max(waiting, default=None),
        kv_usage_most=max(used, default=None),
    )


def _kv_tokens(labels: Mapping[str, str]) -> float | None:
    blocks, size = labels.get("num_gpu_blocks", ""), labels.get("block_size", "")
    return (
        float(int(blocks) * int(size))
        if blocks.isdigit() and size.isdigit() and int(blocks) and int(size)
        else None
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
