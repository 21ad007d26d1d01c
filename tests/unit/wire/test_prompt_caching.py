"""What providers cache of prompts stays cached: prefixes keep their order and their bytes, and marks pass, within a dialect and across.

That the cached tokens are billed at their own prices is in tests/e2e/test_bill_and_budgets.py.
"""

import json
from typing import Any

import pytest

from smallfirst.wire.incoming import Changes, Incoming, Route

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
CHAT = b"""{"user": "u", "messages": [ {"content":"Be brief.", "role":"system", "x": 1.0},
  {"role":"user","name":"ann","content":[{"text":"hi","type":"text"}]} ], "tools":
  [ {"type":"function","function":{"parameters":{"b":1,"a":2},"name":"f"}} ],
  "model":"asked", "seed": 7}"""
CLAUDE = b"""{"max_tokens": 9, "system": [{"text":"Be brief.","type":"text","cache_control":{"type":"ephemeral"}}], "model":"asked",
  "messages": [{"content":[{"type":"text","text":"hi","cache_control":{"ttl":"1h","type":"ephemeral"}}],"role":"user"}],
  "tools":[{"input_schema":{"b":1,"a":2},"name":"f","cache_control":{"type":"ephemeral"}}]}"""
CHANGES = [
    Changes(model="small"),
    Changes(model="small", stream=False, include_usage=True, temperature=0.0, max_tokens=5),
    Changes(model="small", fields={"logprobs": True, "top_k": 1}),
    Changes(model="small", owned_engine=True),
]


def values(data: bytes) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in Incoming("chat", data).fields.items()}


@pytest.mark.parametrize("changes", CHANGES)
def test_within_a_dialect_what_is_cached_passes_byte_for_byte_and_in_its_order(changes: Changes) -> None:
    asked, made = values(CHAT), values(Incoming("chat", CHAT).data_for("openai", changes))
    for name in ("messages", "tools"):
        assert made[name] == asked[name]
    kept = [name for name in made if name in asked]
    assert kept == [name for name in asked if name in made]
    claude = Incoming("messages", CLAUDE)
    if not changes.owned_engine:  # which has none of Anthropic's fields
        made = Incoming("messages", claude.data_for("anthropic", changes)).fields
        assert {name: made[name] for name in ("system", "messages", "tools")} == {
            name: claude.fields[name] for name in ("system", "messages", "tools")
        }


def test_two_turns_of_a_conversation_share_their_prefix_to_the_byte() -> None:
    """Also where the conversation is said in the other dialect: each turn is translated alone, and the same way."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"b": 1, "a": 2}'}}
    turns: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
        {"role": "assistant", "content": "It is 42."},
        {"role": "user", "content": "Why?"},
    ]

    def translated(length: int) -> dict[str, Any]:
        body = {
            "model": "m",
            "messages": turns[:length],
            "tools": [{"type": "function", "function": {"name": "f"}}],
        }
        return json.loads(
            Incoming("chat", json.dumps(body).encode()).data_for("anthropic", Changes(model="c"))
        )

    shorter, longer = translated(4), translated(6)
    assert json.dumps(shorter["messages"]) == json.dumps(longer["messages"][: len(shorter["messages"])])
    assert (shorter["system"], shorter["tools"]) == (longer["system"], longer["tools"])


def asked(body: dict[str, Any], to: Any, route: Route = "chat", **changes: Any) -> dict[str, Any]:
    incoming = Incoming(route, json.dumps({"model": "m"} | body).encode())
    return json.loads(incoming.data_for(to, Changes(model="small", **changes)))


def marked(text: str, mark: dict[str, Any] = MARK) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": mark}


def test_marks_in_openais_dialect_reach_anthropic() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}, "cache_control": MARK}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": MARK}
    made = asked(
        {
            "messages": [
                {"role": "system", "content": [marked("Be brief.", HOUR)]},
                {"role": "user", "content": [marked("hi"), image]},
                {"role": "assistant", "content": "ho", "cache_control": MARK},
                {"role": "user", "content": "plain"},
            ],
            "tools": [tool],
        },
        "anthropic",
    )
    assert made["system"] == [marked("Be brief.", HOUR)]
    assert [block["cache_control"] for block in made["messages"][0]["content"]] == [MARK, MARK]
    assert made["messages"][1]["content"] == [marked("ho")]
    assert made["messages"][2]["content"] == "plain"
    assert made["tools"][0]["cache_control"] == MARK


def test_a_mark_on_a_tools_result_reaches_anthropic() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c", "content": "42", "cache_control": MARK}
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]}, result]
    made = asked({"messages": turns}, "anthropic")
    assert made["messages"][2]["content"][0]["cache_control"] == MARK


@pytest.mark.parametrize("odd", [None, "ephemeral", {}, {"ttl": 5}])
def test_an_odd_mark_breaks_nothing(odd: Any) -> None:
    part = {"type": "text", "text": "hi", "cache_control": odd}
    made = asked(
        {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "x"}]}]}, "anthropic"
    )
    block = made["messages"][0]["content"][0]
    assert block.get("cache_control") in (None, MARK)


def test_openai_caches_by_itself_and_is_told_no_marks() -> None:
    made = asked(
        {
            "max_tokens": 9,
            "system": [marked("Be brief.")],
            "messages": [{"role": "user", "content": [marked("hi")]}],
        },
        "openai",
        "messages",
    )
    assert "cache_control" not in json.dumps(made)


@pytest.mark.parametrize("to", ["anthropic", "openai"])
def test_instructions_of_a_rung_keep_the_mark_that_they_replace(to: str) -> None:
    body = {
        "max_tokens": 9,
        "system": [{"type": "text", "text": "a"}, marked("b", HOUR)],
        "messages": [{"role": "user", "content": "hi"}],
    }
    made = asked(body, to, "messages", instructions="Sort.")
    if to == "anthropic":
        assert made["system"] == [marked("Sort.", HOUR)]
        assert asked(body | {"system": "a"}, to, "messages", instructions="Sort.")["system"] == "Sort."
    else:
        assert made["messages"][0] == {"role": "system", "content": "Sort."}
    openai = {"messages": [{"role": "system", "content": [marked("a")]}, {"role": "user", "content": "hi"}]}
    assert asked(openai, "anthropic", instructions="Sort.")["system"] == [marked("Sort.")]
