"""Prompt caching as two kinds of provider sell it: automatic prefixes, and breakpoints that cost."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from .prices import Usage
from .prompt import Prompt

_LEAST_TOKENS = 1024
_STEP_TOKENS = 128
_ENTRIES_MAX = 50_000


class PromptCache:
    """Which prompt prefixes were seen, by API key and model; bounded, with an expiry."""

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._expiry_s: OrderedDict[bytes, float] = OrderedDict()

    def clear(self) -> None:
        """Forget all prefixes."""
        self._expiry_s.clear()

    def admit(self, api_key: str, prompt: Prompt) -> Usage:
        """The disjoint input classes of ``prompt``, which is then remembered."""
        if prompt.dialect == "anthropic":
            return self._admit_breakpoints(api_key, prompt)
        return self._admit_automatic(api_key, prompt)

    def _admit_automatic(self, api_key: str, prompt: Prompt) -> Usage:
        total = prompt.prompt_tokens
        if total < _LEAST_TOKENS or prompt.endpoint == "embeddings":
            return Usage(input_tokens=total)
        flat = [token for segment in prompt.segments for token in segment.tokens]
        running = _start(api_key, prompt.model)
        cached = 0
        for end in range(_STEP_TOKENS, total + 1, _STEP_TOKENS):
            running.update(_block(flat[end - _STEP_TOKENS : end]))
            if end >= _LEAST_TOKENS:
                key = running.digest()
                if self._fresh(key):
                    cached = end
                self._remember(key, self._ttl_s)
        return Usage(input_tokens=total - cached, cache_read_tokens=cached)

    def _admit_breakpoints(self, api_key: str, prompt: Prompt) -> Usage:
        """Prefixes are read at any segment up to the last breakpoint, and written at breakpoints alone."""
        total = prompt.prompt_tokens
        marked = [index for index, segment in enumerate(prompt.segments) if segment.cache_ttl]
        if total < _LEAST_TOKENS or not marked:
            return Usage(input_tokens=total)
        running = _start(api_key, prompt.model)
        end = read = counted = 0
        writes = {"5m": 0, "1h": 0}
        for segment in prompt.segments[: marked[-1] + 1]:
            end += len(segment.tokens)
            running.update(_block(segment.tokens))
            if end < _LEAST_TOKENS:
                continue
            key = running.digest()
            if self._fresh(key):
                read = counted = end
                writes = {"5m": 0, "1h": 0}
            if segment.cache_ttl:
                writes[segment.cache_ttl] += end - counted
                counted = end
                self._remember(key, self._ttl_s * (12 if segment.cache_ttl == "1h" else 1))
        return Usage(total - counted, read, writes["5m"], writes["1h"])

    def _fresh(self, key: bytes) -> bool:
        return self._expiry_s.get(key, 0.0) > self._clock()

    def _remember(self, key: bytes, ttl_s: float) -> None:
        self._expiry_s[key] = self._clock() + ttl_s
        self._expiry_s.move_to_end(key)
        if len(self._expiry_s) > _ENTRIES_MAX:
            self._expiry_s.popitem(last=False)


def _start(api_key: str, model: str) -> hashlib.blake2b:
    return hashlib.blake2b(f"{api_key}\x1f{model}".encode("utf-8", "replace"), digest_size=16)


def _block(block: Sequence[str]) -> bytes:
    return "\x1f".join(block).encode("utf-8", "replace") + b"\x1e"
