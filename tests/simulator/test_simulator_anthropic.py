"""The Anthropic dialect, by the official client over a real socket."""

from typing import Any

import anthropic
import pytest
from support.simulator import SimulatorProcess

USER: Any = [{"role": "user", "content": "Where is my parcel today?"}]
ASK: Any = {"model": "sim-claude", "max_tokens": 400, "messages": USER}
WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def blocks(message: anthropic.types.Message) -> list[dict[str, Any]]:
    return [block.model_dump(exclude_none=True) for block in message.content]


def test_stream_and_whole_answer_agree(claude: anthropic.Anthropic) -> None:
    whole = claude.messages.create(**ASK, system="Be brief.")
    with claude.messages.stream(**ASK, system=[{"type": "text", "text": "Be brief."}]) as stream:
        streamed = stream.get_final_message()
    assert blocks(streamed) == blocks(whole)
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.stop_reason == whole.stop_reason == "end_turn"


def test_the_event_sequence_is_the_documented_one(claude: anthropic.Anthropic) -> None:
    with claude.messages.with_streaming_response.create(**ASK, stream=True) as response:
        names = [line.removeprefix("event: ") for line in response.iter_lines() if line.startswith("event: ")]
        request_id = response.headers["request-id"]
    shrunk = [name for index, name in enumerate(names) if index == 0 or name != names[index - 1]]
    assert shrunk == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert request_id.startswith("req_sim_")


async def test_async_client_streams(simulator: SimulatorProcess) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=simulator.base_url, api_key="k", max_retries=0) as client,
        client.messages.stream(**ASK) as stream,
    ):
        message = await stream.get_final_message()
    assert message.stop_reason == "end_turn"


def test_tool_use_streams_its_input(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(**ASK, tools=[WEATHER], tool_choice={"type": "any"}) as stream:
        streamed = stream.get_final_message()
    whole = claude.messages.create(
        **ASK, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}
    )
    assert streamed.stop_reason == whole.stop_reason == "tool_use"
    assert streamed.content[0].type == "tool_use"
    assert isinstance(streamed.content[0].input, dict)
    assert set(streamed.content[0].input) == {"city"}
    assert blocks(streamed) == blocks(whole)


def test_thinking_has_a_signed_block_of_its_own(
    claude: anthropic.Anthropic, simulator: SimulatorProcess
) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    whole = claude.messages.create(**ASK, thinking=thinking)
    with claude.messages.stream(**ASK, thinking=thinking) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert blocks(streamed) == blocks(whole)
    first, second = simulator.invoice()["lines"]
    assert first["reasoning_tokens"] == second["reasoning_tokens"] > 0
    assert whole.usage.output_tokens == first["reasoning_tokens"] + first["output_tokens"]


def test_cache_breakpoints_are_written_then_read(
    claude: anthropic.Anthropic, simulator: SimulatorProcess
) -> None:
    def ask(ttl: Any, question: str) -> anthropic.types.Usage:
        control: Any = {"type": "ephemeral", "ttl": ttl}
        system: Any = [{"type": "text", "text": "policy " * 1200, "cache_control": control}]
        messages: Any = [{"role": "user", "content": question}]
        return claude.messages.create(
            model="sim-claude", max_tokens=1, system=system, messages=messages
        ).usage

    first, second = ask("5m", "one?"), ask("5m", "two, three?")
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens
    assert (first.cache_creation_input_tokens or 0) > 1200
    assert first.cache_read_input_tokens == second.cache_creation_input_tokens == 0
    lines = simulator.invoice()["lines"]
    written = lines[0]["cache_write_tokens"]
    assert lines[0]["cost_nusd"] == first.input_tokens * 3000 + written * 3750 + 15_000
    assert lines[1]["cost_nusd"] == second.input_tokens * 3000 + written * 300 + 15_000
    simulator.reset()
    hour = ask("1h", "one?")
    assert hour.cache_creation is not None
    assert hour.cache_creation.ephemeral_1h_input_tokens == written
    assert simulator.invoice()["lines"][0]["cost_nusd"] == hour.input_tokens * 3000 + written * 6000 + 15_000


def test_a_prompt_without_breakpoints_is_not_cached(claude: anthropic.Anthropic) -> None:
    for _ in range(2):
        usage = claude.messages.create(**{**ASK, "system": "policy " * 1200}).usage
        assert usage.cache_read_input_tokens == usage.cache_creation_input_tokens == 0


def test_count_tokens_agrees_with_the_bill_and_is_free(
    claude: anthropic.Anthropic, simulator: SimulatorProcess
) -> None:
    counted = claude.messages.count_tokens(model="sim-claude", messages=USER).input_tokens
    assert simulator.invoice()["lines"] == []
    assert claude.messages.create(**ASK).usage.input_tokens == counted


def test_stop_sequence_is_named(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(**ASK, stop_sequences=[" about"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", " about")


def test_errors_have_the_dialect_shape(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        claude.messages.create(**{**ASK, "model": "claude-9"})
    body: Any = missing.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "not_found_error"
    assert body["request_id"].startswith("req_sim_")
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(**{**ASK, "messages": []})


def test_models_in_the_callers_shape(claude: anthropic.Anthropic) -> None:
    assert claude.models.retrieve("sim-claude").display_name == "sim-claude"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("claude-9")
