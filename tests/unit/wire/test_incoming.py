"""What another model is asked: within a dialect only the fields that must differ do, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.errors import Untranslatable
from smallfirst.wire.incoming import Changes, Incoming

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CHAT = {
    "model": "asked",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
}


def incoming(body: dict[str, object], route: str = "chat") -> Incoming:
    return Incoming(route, json.dumps(body).encode())  # type: ignore[arg-type]


def asked(
    body: dict[str, object], route: str = "chat", dialect: str = "openai", **changes: object
) -> dict[str, object]:
    made = incoming(body, route).data_for(dialect, Changes(**({"model": "small"} | changes)))  # type: ignore[arg-type]
    return json.loads(made)


def test_a_request_that_need_not_change_is_the_clients_own_bytes() -> None:
    data = b' {"model" : "asked",\n "messages":[{"role":"user","content":"hi"}], "x": 1.50 }'
    request = Incoming("chat", data)
    assert request.data_for("openai", Changes(model="asked")) is data


def test_only_the_model_differs_and_numbers_stay_as_they_were_written() -> None:
    data = b'{"model":"asked","messages":[{"role":"user","content":"hi"}],"x":1.50,"y":1e400,"z":"\\u00e9"}'
    made = Incoming("chat", data).data_for("openai", Changes(model="small"))
    assert made == data.replace(b'"asked"', b'"small"')


@given(st.dictionaries(st.text(min_size=1, max_size=10).map(lambda name: "x_" + name), JSON, max_size=5))
def test_unknown_fields_pass_through(unknown: dict[str, object]) -> None:
    assert asked(CHAT | unknown) == CHAT | unknown | {"model": "small"}


@given(st.dictionaries(st.text(min_size=1, max_size=10).map(lambda name: "x_" + name), JSON, max_size=5))
def test_an_owned_engine_gets_none_of_them(unknown: dict[str, object]) -> None:
    body = CHAT | unknown | {"lora": [{"id": 0}], "cache_salt": "mine", "temperature": 0}
    assert asked(body, owned_engine=True) == CHAT | {"model": "small", "temperature": 0}


def test_what_a_contract_demands_is_added_even_for_an_owned_engine() -> None:
    assert asked(CHAT, owned_engine=True, fields={"grammar": "root ::= x"})["grammar"] == "root ::= x"


def test_instructions_replace_the_system_prompt() -> None:
    messages = [{"role": "system", "content": "New."}, {"role": "user", "content": "hi"}]
    assert asked(CHAT, instructions="New.")["messages"] == messages
    assert incoming(CHAT).has_system
    claude = {"model": "asked", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    assert asked(claude, "messages", "anthropic", instructions="New.")["system"] == "New."
    assert not incoming(claude, "messages").has_system


def test_a_limit_is_given_only_where_the_client_gives_none() -> None:
    assert asked(CHAT, max_tokens=5)["max_tokens"] == 5
    assert asked(CHAT | {"max_completion_tokens": 7}, max_tokens=5).get("max_tokens") is None


def test_usage_is_asked_for_and_the_clients_options_are_kept() -> None:
    body = CHAT | {"stream": True, "stream_options": {"x": 1}}
    assert asked(body, include_usage=True)["stream_options"] == {"x": 1, "include_usage": True}


def test_across_dialects_the_meaning_passes() -> None:
    made = asked(CHAT | {"max_tokens": 7, "stop": ["x"]}, "chat", "anthropic")
    assert made["model"] == "small"
    assert made["max_tokens"] == 7
    assert made["stop_sequences"] == ["x"]
    assert "Be brief." in json.dumps(made["system"])


def test_what_has_no_counterpart_is_refused() -> None:
    with pytest.raises(Untranslatable, match="embeddings"):
        asked({"model": "asked", "input": "x"}, "embeddings", "anthropic")


@given(st.text(max_size=300))
def test_the_bound_on_tokens_is_never_below_the_bytes_of_the_text(text: str) -> None:
    body = {"model": "asked", "messages": [{"role": "user", "content": text}]}
    assert incoming(body).prompt_tokens_at_most >= len(text.encode("utf-8", "replace"))


def test_an_inline_image_counts_by_its_own_bound() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    body = {
        "model": "asked",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}, image]}],
    }
    assert 4096 <= incoming(body).prompt_tokens_at_most < 6000
