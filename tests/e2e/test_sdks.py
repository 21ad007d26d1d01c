"""The official SDKs, sync and async, streaming and not, against each kind of upstream: a client cannot tell the gateway from the provider."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest
from support.gateway import KEY, GatewayProcess
from support.simulator import SimulatorProcess

HELLO = [{"role": "user", "content": "Say something about a scanner that does not charge."}]
OPENAI_MODELS = ["frontier", "gpt-4o", "sim-frontier", "claude", "azure"]
TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Finds an order",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}},
            "required": ["order_id"],
        },
    },
}
CLAUDE_TOOL = {
    "name": "find_order",
    "description": "Finds an order",
    "input_schema": TOOL["function"]["parameters"],
}


@pytest.mark.parametrize("model", OPENAI_MODELS)
def test_openai(client: openai.OpenAI, model: str) -> None:
    done = client.chat.completions.create(model=model, messages=HELLO)
    assert done.model == model
    assert done.choices[0].message.content
    assert done.choices[0].finish_reason == "stop"
    assert done.usage
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0


@pytest.mark.parametrize("model", OPENAI_MODELS)
def test_openai_streaming_says_the_same_as_not(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=HELLO)
    chunks = list(
        client.chat.completions.create(
            model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert {chunk.model for chunk in chunks} == {model}
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert [
        chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason
    ] == ["stop"]


def test_usage_that_was_not_asked_for_is_not_shown_but_is_recorded(
    client: openai.OpenAI, gateway: GatewayProcess
) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="frontier", messages=HELLO, stream=True
    ) as response:
        body = response.read()
        call_id = response.headers["x-smallfirst-call"]
    assert b'"usage"' not in body
    attempt = gateway.call(call_id)["attempts"][0]
    assert attempt["usage_source"] == "reported"
    assert attempt["cost_nusd"] > 0


async def test_openai_async(gateway: GatewayProcess) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY) as client:
        done = await client.chat.completions.create(model="frontier", messages=HELLO)
        stream = await client.chat.completions.create(model="frontier", messages=HELLO, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert text == done.choices[0].message.content


@pytest.mark.parametrize("model", ["frontier", "claude", "azure"])
def test_openai_tools(client: openai.OpenAI, model: str) -> None:
    messages = [{"role": "user", "content": "Please find order QS-10001."}]
    done = client.chat.completions.create(
        model=model, messages=messages, tools=[TOOL], tool_choice="required"
    )
    call = done.choices[0].message.tool_calls[0]
    assert done.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "find_order"
    answer = [
        *messages,
        done.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "shipped"},
    ]
    assert client.chat.completions.create(model=model, messages=answer, tools=[TOOL]).choices[0].finish_reason


@pytest.mark.parametrize("model", ["frontier", "claude"])
def test_openai_streamed_tools(client: openai.OpenAI, model: str) -> None:
    messages = [{"role": "user", "content": "Please find order QS-10001."}]
    with client.chat.completions.stream(
        model=model, messages=messages, tools=[TOOL], tool_choice="required"
    ) as stream:
        for _ in stream:
            pass
        done = stream.get_final_completion()
    assert done.choices[0].message.tool_calls[0].function.name == "find_order"


def test_openai_structured_output_n_logprobs_images_and_unknown_fields(
    client: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    content = [
        {"type": "text", "text": "how many?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    done = client.chat.completions.create(
        model="frontier",
        messages=[{"role": "user", "content": content}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "count", "schema": schema, "strict": True},
        },
        n=2,
        logprobs=True,
        top_logprobs=2,
        extra_body={"x_vendor": {"deep": [1, "zwei", None]}},
    )
    assert len(done.choices) == 2
    assert done.choices[0].logprobs
    sent = json.loads(simulator.requests(detail=True)["requests"][-1]["body"])
    assert sent["x_vendor"] == {"deep": [1, "zwei", None]}
    assert sent["messages"][0]["content"] == content


@pytest.mark.parametrize("model", ["claude", "frontier"])
def test_anthropic(claude: anthropic.Anthropic, model: str) -> None:
    done = claude.messages.create(model=model, max_tokens=200, messages=HELLO, system="Be brief.")
    assert done.model == model
    assert done.stop_reason == "end_turn"
    assert done.content[0].text
    assert done.usage.input_tokens > 0


@pytest.mark.parametrize("model", ["claude", "frontier"])
def test_anthropic_streaming(claude: anthropic.Anthropic, model: str) -> None:
    whole = claude.messages.create(model=model, max_tokens=200, messages=HELLO)
    with claude.messages.stream(model=model, max_tokens=200, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.model == model


@pytest.mark.parametrize("model", ["claude", "frontier"])
def test_anthropic_tools(claude: anthropic.Anthropic, model: str) -> None:
    messages = [{"role": "user", "content": "Please find order QS-10001."}]
    choice = {"type": "any"}
    done = claude.messages.create(
        model=model, max_tokens=200, messages=messages, tools=[CLAUDE_TOOL], tool_choice=choice
    )
    use = next(block for block in done.content if block.type == "tool_use")
    assert done.stop_reason == "tool_use"
    assert use.name == "find_order"
    assert set(use.input) == {"order_id"}
    result = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "shipped"}],
    }
    again = [*messages, {"role": "assistant", "content": done.content}, result]
    assert claude.messages.create(
        model=model, max_tokens=200, messages=again, tools=[CLAUDE_TOOL]
    ).stop_reason


async def test_anthropic_async_with_cached_system_blocks(gateway: GatewayProcess) -> None:
    system = [
        {"type": "text", "text": "You know our products well. " * 400, "cache_control": {"type": "ephemeral"}}
    ]
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY) as claude:
        first = await claude.messages.create(model="claude", max_tokens=50, messages=HELLO, system=system)
        second = await claude.messages.create(model="claude", max_tokens=50, messages=HELLO, system=system)
    assert first.usage.cache_creation_input_tokens > 1000
    assert second.usage.cache_read_input_tokens == first.usage.cache_creation_input_tokens


def test_completions_and_embeddings(client: openai.OpenAI) -> None:
    done = client.completions.create(model="frontier", prompt="The scanner")
    assert done.choices[0].text
    assert done.model == "frontier"
    streamed = client.completions.create(model="frontier", prompt="The scanner", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == done.choices[0].text
    vectors = client.embeddings.create(model="embed", input=["one", "two"])
    assert len(vectors.data) == 2
    assert vectors.model == "embed"


def test_other_paths_are_relayed_verbatim_and_priced_unknown(
    client: openai.OpenAI, gateway: GatewayProcess
) -> None:
    response = client.responses.with_raw_response.create(model="sim-frontier", input="hello")
    assert response.parse().output_text
    call = gateway.call(response.headers["x-smallfirst-call"])
    assert call["route"] == "/v1/responses"
    assert call["cost_nusd"] is None


def test_count_tokens_is_relayed(claude: anthropic.Anthropic) -> None:
    assert claude.messages.count_tokens(model="sim-claude", messages=HELLO).input_tokens > 0


def test_models_are_listed_in_either_dialect(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    names = {model.id for model in client.models.list()}
    assert {"frontier", "gpt-4o", "task/triage"} <= names
    assert {model.id for model in claude.models.list()} == names
    assert client.models.retrieve("task/triage").id == "task/triage"


def test_both_request_ids_are_given(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    response = client.chat.completions.with_raw_response.create(model="claude", messages=HELLO)
    assert (
        response.headers["x-request-id"]
        == response.headers["request-id"]
        == response.headers["x-smallfirst-call"]
    )
    assert claude.messages.create(model="frontier", max_tokens=9, messages=HELLO)._request_id
