"""The same conversation reads the same, whichever dialect it was said in."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from wire_strategies import common_openai_requests

from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.turns import read_conversation


@given(common_openai_requests())
def test_both_dialects_read_the_same_turns(body: dict[str, Any]) -> None:
    data = msgspec.json.encode(body)
    said = msgspec.json.encode(anthropic_messages.write_request(openai_chat.read_request(data)))
    assert read_conversation(anthropic_messages.decode(said)) == read_conversation(openai_chat.decode(data))
