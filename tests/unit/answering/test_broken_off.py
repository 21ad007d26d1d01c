"""What is charged for a stream that broke off: as it was reported where only its very end is missing, else an estimate; and under which name its
provider knows it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from smallfirst.answering.account import Plan
from smallfirst.answering.attempt import Attempting, Clock, settling
from smallfirst.answering.offline import Purse
from smallfirst.chat import Usage
from smallfirst.config.schema import Config, Model, PriceOverride, Provider
from smallfirst.errors import UpstreamBroken
from smallfirst.ledger.records import Attempt
from smallfirst.models import Catalogue
from smallfirst.pricing import PriceBook
from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.sse import SseEvent

CONFIG = Config(
    providers={"p": Provider(base_url="http://127.0.0.1:9/v1")},
    models={
        "m": Model(
            provider="p", prices=(PriceOverride(since="2026-01-01", input=Decimal(1), output=Decimal(2)),)
        )
    },
)


def attempting() -> Attempting:
    clock = Clock()
    model = Catalogue(CONFIG, {}).get("m")
    plan = Plan(
        seq=0,
        kind="first",
        rung=0,
        model="m",
        provider="p",
        reserved_usage=Usage(input_tokens=999, output_tokens=999),
        reserved_nusd=9,
    )
    return Attempting(
        plan,
        model=model,
        endpoint=model.endpoints.choose(),
        prompt_bytes=400,
        account=Purse(),
        clock=clock,
        price=PriceBook(CONFIG).at("m", "p", clock.today),
    )


def openai_peek(*chunks: dict[str, Any]) -> openai_chat.StreamPeek:
    peek = openai_chat.StreamPeek()
    for chunk in chunks:
        peek.feed(event("", {"id": "chatcmpl-7", "model": "m-1"} | chunk))
    return peek


def anthropic_peek(*events: dict[str, Any]) -> anthropic_messages.StreamPeek:
    peek = anthropic_messages.StreamPeek()
    for each in events:
        peek.feed(event(each["type"], each))
    return peek


def event(name: str, value: dict[str, Any]) -> SseEvent:
    data = json.dumps(value).encode()
    return SseEvent(event=name, data=data, raw=data)


def said(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


USAGE = {"usage": {"prompt_tokens": 50, "completion_tokens": 3}, "choices": []}
START = {"type": "message_start", "message": {"id": "msg_7", "model": "m-1", "usage": {"input_tokens": 50, "output_tokens": 1}}}  # fmt: skip
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 400}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
STOP = {"type": "message_stop"}


@pytest.mark.parametrize(
    "seen",
    [openai_peek(said("x" * 400), said("", "stop"), USAGE), anthropic_peek(START, DELTA, END)],
    ids=["openai", "anthropic"],
)
def test_usage_that_was_told_is_taken_as_it_is_though_the_end_never_came(seen: Any) -> None:
    record = attempting().broke_off("cancelled", seen=seen)
    assert (record.status, record.usage_source) == ("cancelled", "reported")
    assert record.usage == Usage(input_tokens=50, output_tokens=3)
    assert record.cost_nusd == 56_000
    assert record.upstream_model == "m-1"


@pytest.mark.parametrize(
    ("seen", "prompt"),
    [
        (openai_peek(said("x" * 400)), 100),
        (
            openai_peek(
                said("x" * 400), {"usage": {"prompt_tokens": 50, "completion_tokens": 1}, "choices": []}
            ),
            50,
        ),
        (anthropic_peek(START, DELTA), 50),
    ],
    ids=["nothing told", "told on the way, as vLLM does", "the prompt's alone"],
)
def test_what_was_told_of_an_unfinished_answer_is_not_the_whole(seen: Any, prompt: int) -> None:
    record = attempting().broke_off("broken", seen=seen)
    assert record.usage_source == "estimated"
    assert record.usage == Usage(input_tokens=prompt, output_tokens=100)
    assert record.upstream_id in ("chatcmpl-7", "msg_7")


def test_a_whole_answer_whose_usage_was_told_at_its_beginning_alone_is_estimated() -> None:
    """As servers of Anthropic's dialect do that leave usage out of `message_delta`: one token is not what they wrote."""
    peek = anthropic_peek(START, DELTA, END | {"usage": {}}, STOP)
    assert peek.usage is not None
    assert peek.whole_usage is None


def test_a_reply_that_cannot_be_read_is_known_by_its_requests_id() -> None:
    under_way = attempting()
    broken = UpstreamBroken("no JSON")
    broken.request_id = "req_7"
    with pytest.raises(UpstreamBroken), settling(under_way):
        raise broken
    record = under_way.record
    assert isinstance(record, Attempt)
    assert (record.status, record.upstream_id, record.usage_source) == ("broken", "req_7", "estimated")


def test_a_stream_that_was_read_before_its_release_is_charged_for_what_was_seen_of_it() -> None:
    under_way = attempting()
    under_way.seen = anthropic_peek(START, DELTA)
    with pytest.raises(UpstreamBroken), settling(under_way):
        raise UpstreamBroken("cut")
    assert under_way.record is not None
    assert under_way.record.usage == Usage(input_tokens=50, output_tokens=100)
