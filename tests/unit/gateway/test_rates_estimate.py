"""How many tokens are set aside for a call before it is known what it uses."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from smallfirst import limits
from smallfirst.chat import Usage
from smallfirst.gateway.history import History
from smallfirst.gateway.rates.estimate import tokens_of
from smallfirst.models.meter import Meter
from smallfirst.releases import RungPolicy
from smallfirst.wire.incoming import Incoming, Route


def estimated(
    body: dict[str, Any], *, route: Route = "chat", meter: Meter | None = None, max_tokens: int | None = None
) -> tuple[int, int]:
    history = History(lambda task, model, quantile: 77)
    history.output_tokens("triage", "small")
    history.refresh()
    rung = RungPolicy(model="small", provider="p", upstream_id="small", max_tokens=max_tokens)
    incoming = Incoming(route, msgspec.json.encode(body))
    return tokens_of(incoming, rung, "triage", meter=meter or Meter(), history=history)


def chat(content: Any = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": content}], **fields}


def test_a_prompt_counts_as_such_prompts_have_come_to_so_far() -> None:
    body = chat("x" * 3940)  # 4,000 bytes of JSON
    assert estimated(body)[0] == 1000
    meter = Meter()
    meter.learn(Usage(input_tokens=50_000), prompt_bytes=100_000, answer_chars=0, seconds=1)
    assert 1950 <= estimated(body, meter=meter)[0] <= 2000


@pytest.mark.parametrize(
    ("fields", "of_rung", "written"),
    [
        ({"max_tokens": 10}, 5, 10),
        ({"max_completion_tokens": 10, "n": 3}, None, 30),
        ({}, 5, 5),
        ({"n": 2}, None, 154),
        ({"max_tokens": 10**15}, None, limits.MAX_TOKENS),
    ],
)
def test_an_answer_counts_as_long_as_it_may_be_or_as_such_answers_were(
    fields: dict[str, Any], of_rung: int | None, written: int
) -> None:
    assert estimated(chat(**fields), max_tokens=of_rung)[1] == written


def test_an_image_counts_as_an_image_and_not_as_text() -> None:
    url = "data:image/png;base64," + base64.b64encode(b"x" * 400_000).decode()
    image = {"type": "image_url", "image_url": {"url": url}}
    read, _ = estimated(chat([{"type": "text", "text": "what is it?"}, image]))
    assert limits.RESERVED_TOKENS_PER_IMAGE < read < limits.RESERVED_TOKENS_PER_IMAGE + 100


def test_embeddings_write_nothing() -> None:
    assert estimated({"model": "small", "input": "hello"}, route="embeddings")[1] == 0
