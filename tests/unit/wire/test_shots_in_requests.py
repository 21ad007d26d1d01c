"""Examples stand after the system prompt and before the conversation, in whichever dialect the model is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smallfirst.wire.incoming import Changes, Incoming

SHOTS = (("one?", "1"), ("two?", "2"))
TOLD = [
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "2"},
]
SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "ho"},
    {"role": "user", "content": "3?"},
]


def asked(body: dict[str, Any], route: Any, dialect: Any, **changes: Any) -> dict[str, Any]:
    made = Incoming(route, json.dumps({"model": "m"} | body).encode())
    return json.loads(made.data_for(dialect, Changes(model="m", shots=SHOTS, **changes)))


def plain(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    def text(content: Any) -> str:
        return content if isinstance(content, str) else "".join(part["text"] for part in content)

    return [(one["role"], text(one["content"])) for one in messages]


@pytest.mark.parametrize(
    "before", [[], [SYSTEM], [SYSTEM, {"role": "developer", "content": "Really."}]], ids=len
)
def test_in_openais_dialect(before: list[dict[str, Any]]) -> None:
    assert asked({"messages": before + TALK}, "chat", "openai")["messages"] == before + TOLD + TALK


def test_a_system_message_within_the_conversation_stays_where_it_is() -> None:
    talk = [*TALK, SYSTEM]
    assert asked({"messages": talk}, "chat", "openai")["messages"] == TOLD + talk


def test_with_instructions_of_the_rung() -> None:
    told = asked({"messages": [SYSTEM, *TALK]}, "chat", "openai", instructions="Other.")["messages"]
    assert told == [{"role": "system", "content": "Other."}, *TOLD, *TALK]


def test_in_anthropics_dialect() -> None:
    told = asked({"messages": TALK, "system": "Be brief.", "max_tokens": 9}, "messages", "anthropic")
    assert (told["messages"], told["system"]) == (TOLD + TALK, "Be brief.")


@pytest.mark.parametrize(("route", "dialect"), [("messages", "openai"), ("chat", "anthropic")])
def test_across_dialects(route: str, dialect: str) -> None:
    body = {"messages": TALK, "system": "Be brief.", "max_tokens": 9}
    if route == "chat":
        body = {"messages": [SYSTEM, *TALK], "max_tokens": 9}
    told = plain(asked(body, route, dialect)["messages"])
    system = [("system", "Be brief.")] if dialect == "openai" else []
    assert told == [*system, *plain(TOLD), *plain(TALK)]


def test_what_the_client_wrote_stays_byte_for_byte() -> None:
    data = b'{"model":"m","messages":[{"role":"user","content":"\\u00e9","x":1.50}]}'
    made = Incoming("chat", data).data_for("openai", Changes(model="m", shots=SHOTS))
    assert b'{"role":"user","content":"\\u00e9","x":1.50}' in made
    assert Incoming("chat", data).data_for("openai", Changes(model="m")) is data
