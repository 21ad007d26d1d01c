"""Token classes are disjoint: they add up to what the provider said in all, and survive being written and read."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import JSON, TOKENS, USAGE

from smallfirst.chat import Usage
from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.openai_usage import read_raw_usage

MAYBE = st.none() | TOKENS
ODD = MAYBE | st.floats() | st.integers(-5, -1) | st.text(max_size=3) | st.booleans()


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def openai_usages(tokens: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    before = some(cached_tokens=tokens, cache_write_tokens=tokens, audio_tokens=tokens)
    after = some(reasoning_tokens=tokens, audio_tokens=tokens)
    return some(
        completion_tokens=tokens,
        prompt_tokens_details=st.none() | before,
        completion_tokens_details=st.none() | after,
        prompt_cache_hit_tokens=tokens,
    )


@given(TOKENS, openai_usages(MAYBE))
def test_openai_totals_are_kept_whatever_the_details_say(prompt: int, rest: dict[str, Any]) -> None:
    usage = openai_chat.read_usage({"prompt_tokens": prompt} | rest)
    assert usage is not None
    assert usage.prompt_tokens == prompt
    assert usage.completion_tokens == (rest.get("completion_tokens") or 0)
    assert min(msgspec.structs.astuple(usage)) >= 0


@given(
    st.fixed_dictionaries({}, optional={"prompt_tokens": MAYBE | st.integers(-5, -1)}), openai_usages(MAYBE)
)
def test_the_fast_way_and_the_tolerant_way_agree(prompt: dict[str, Any], rest: dict[str, Any]) -> None:
    told = prompt | rest
    assert read_raw_usage(msgspec.Raw(msgspec.json.encode(told))) == openai_chat.read_usage(told)


@given(st.fixed_dictionaries({"prompt_tokens": ODD}), openai_usages(ODD) | JSON)
def test_nothing_that_a_provider_says_is_too_odd(prompt: dict[str, Any], rest: Any) -> None:
    told = prompt | (rest if isinstance(rest, dict) else {"completion_tokens": rest})
    for read in (openai_chat.read_usage, anthropic_messages.read_usage):
        usage = read(told)
        assert usage is None or min(msgspec.structs.astuple(usage)) >= 0


@given(USAGE)
def test_openai_writes_what_it_reads(usage: Usage) -> None:
    again = openai_chat.read_usage(openai_chat.write_usage(usage))
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens  # OpenAI has one class for both
    assert again == msgspec.structs.replace(usage, cache_write_tokens=written, cache_write_1h_tokens=0)


@given(USAGE)
def test_anthropic_writes_what_it_reads(usage: Usage) -> None:
    again = anthropic_messages.read_usage(anthropic_messages.write_usage(usage))
    assert again == msgspec.structs.replace(  # Anthropic has no classes for audio
        usage,
        input_tokens=usage.input_tokens + usage.input_audio_tokens,
        output_tokens=usage.output_tokens + usage.output_audio_tokens,
        input_audio_tokens=0,
        output_audio_tokens=0,
    )


@given(
    some(input_tokens=TOKENS, output_tokens=TOKENS),
    some(cache_creation_input_tokens=MAYBE, cache_read_input_tokens=MAYBE),
)
def test_anthropic_classes_add_up(told: dict[str, Any], cache: dict[str, Any]) -> None:
    usage = anthropic_messages.read_usage(told | cache)
    if not told:
        assert usage is None
        return
    assert usage is not None
    total = sum(value or 0 for value in (told | cache).values()) - told.get("output_tokens", 0)
    assert usage.prompt_tokens == total
    assert usage.completion_tokens == told.get("output_tokens", 0)
