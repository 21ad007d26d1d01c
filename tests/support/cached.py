"""Tasks with an exact cache, and who asks them as the SDKs do."""

from __future__ import annotations

import itertools
import json
from typing import Any

import anthropic
import openai
from support.gateway import KEY, GatewayProcess
from support.simulator import SimulatorProcess

OTHER_KEY = "sf-other-key"
SILENT_KEY = "sf-silent-key"
NARROW_KEY = "sf-narrow-key"
POOR_KEY = "sf-poor-key"
CACHED_TASKS = """
[tasks.ask]
ladder = ["frontier"]
cache = { exact = true }

[tasks.sampled]
ladder = ["frontier"]
cache = { exact = true, sampled = true }

[tasks.brief]
ladder = ["frontier"]
cache = { exact = true, ttl_s = 1 }

[tasks.label]
contract = { type = "label", labels = ["billing", "bug", "how-to"] }
ladder = ["mini", "frontier"]
cache = { exact = true }

[tasks.claude]
ladder = ["claude"]
cache = { exact = true }

[tasks.tools]
ladder = ["frontier"]
cache = { exact = true, tools = true }

[tasks.private]
ladder = ["frontier"]
redact = ["INV-[0-9]{6}"]
cache = { exact = true }

[tenants.globex]

[tenants.silent]
bodies_days = 0

[keys.other]
secret = "env:OTHER_KEY"
tenant = "globex"

[keys.silent]
secret = "env:SILENT_KEY"
tenant = "silent"

[keys.narrow]
secret = "env:NARROW_KEY"
tenant = "acme"
models = ["task/sampled"]

[keys.poor]
secret = "env:POOR_KEY"
tenant = "acme"
budget = { usd_per_day = 0.000000001 }
"""
CACHED_ENVIRON = {
    "OTHER_KEY": OTHER_KEY,
    "SILENT_KEY": SILENT_KEY,
    "NARROW_KEY": NARROW_KEY,
    "POOR_KEY": POOR_KEY,
}
_numbers = itertools.count()


def fresh(text: str = "What is docked in bay") -> str:
    """A question that nobody has asked before."""
    return f"{text} {next(_numbers)}?"


def whole_answer(text: str, *, stop: str = "stop") -> bytes:
    """A chat completion, as a provider says it."""
    message = {"role": "assistant", "content": text}
    told = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": stop}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
    return json.dumps(told).encode()


class Asker:
    """Asks as the SDKs do, and counts what came upstream."""

    def __init__(self, gateway: GatewayProcess, simulator: SimulatorProcess, key: str = KEY) -> None:
        self.simulator = simulator
        self.openai = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0)

    def ask(self, task: str, text: str, *, control: str = "", **extra: Any) -> Answered:
        """A whole answer by the OpenAI SDK; its text and headers."""
        body: dict[str, Any] = {"temperature": 0, "messages": [{"role": "user", "content": text}]} | extra
        headers = {"Cache-Control": control} if control else {}
        raw = self.openai.chat.completions.with_raw_response.create(
            model=f"task/{task}", extra_headers=headers, **body
        )
        done = raw.parse()
        assert done.model == f"task/{task}"
        return Answered(done.choices[0].message.content, raw.headers)

    def stream(self, task: str, text: str, *, usage: bool = False, **extra: Any) -> Answered:
        """The same as a stream, put together."""
        options = {"stream_options": {"include_usage": True}} if usage else {}
        body: dict[str, Any] = {"temperature": 0, "messages": [{"role": "user", "content": text}]} | extra
        raw = self.openai.chat.completions.with_raw_response.create(
            model=f"task/{task}", stream=True, **options, **body
        )
        chunks = list(raw.parse())
        told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert {chunk.model for chunk in chunks} == {f"task/{task}"}
        assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
            "stop"
        ]
        assert any(chunk.usage for chunk in chunks) == usage
        return Answered(told, raw.headers)

    @property
    def asked(self) -> int:
        """How many requests the upstream has had."""
        state = self.simulator.requests()
        return state["in_flight"] + len([one for one in state["requests"] if one["state"] != "in_flight"])


class Answered:
    def __init__(self, text: str | None, headers: Any) -> None:
        self.text = text
        self.headers = headers

    @property
    def cache(self) -> str:
        return self.headers["x-smallfirst-cache"]

    @property
    def age_s(self) -> int:
        return int(self.headers["age"])
