"""The OpenAI dialect, by the official client over a real socket."""

import json
from typing import Any

import openai
import pytest
from jsonschema import validate
from support.simulator import SimulatorProcess

USER: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is my parcel today?"},
]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
        },
    },
}


def test_stream_and_whole_answer_agree_in_text_and_usage(chat: openai.OpenAI) -> None:
    whole = chat.chat.completions.create(model="sim-frontier", messages=USER)
    chunks = list(
        chat.chat.completions.create(
            model="sim-frontier", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert whole.usage is not None
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].choices == []
    assert len([text for text in texts if text]) < whole.usage.completion_tokens  # a chunk is not a token
    assert whole.model == "sim-frontier"
    assert whole.system_fingerprint == "simulated"


def test_stream_without_include_usage_has_none(chat: openai.OpenAI, simulator: SimulatorProcess) -> None:
    chunks = list(chat.chat.completions.create(model="sim-frontier", messages=USER, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert simulator.invoice()["lines"][0]["usage_reported"] is False


async def test_async_client_streams(simulator: SimulatorProcess) -> None:
    async with openai.AsyncOpenAI(base_url=f"{simulator.base_url}/v1", api_key="k", max_retries=0) as client:
        stream = await client.chat.completions.create(model="sim-frontier", messages=USER, stream=True)
        finishes = [chunk.choices[0].finish_reason async for chunk in stream]
    assert finishes[-1] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_length_limit_is_exact(chat: openai.OpenAI, simulator: SimulatorProcess, stream: bool) -> None:
    create: Any = chat.chat.completions.create
    answer = create(model="sim-frontier", messages=USER, max_completion_tokens=7, stream=stream)
    last = list(answer)[-1].choices[0] if stream else answer.choices[0]
    assert last.finish_reason == "length"
    assert simulator.invoice()["lines"][0]["output_tokens"] == 7


def test_stop_sequence_ends_the_answer(chat: openai.OpenAI) -> None:
    answer = chat.chat.completions.create(model="sim-frontier", messages=USER, stop=[" about"])
    assert answer.choices[0].message.content == "You asked"
    assert answer.choices[0].finish_reason == "stop"


def test_n_choices_are_streamed_in_turns_and_charged_together(chat: openai.OpenAI) -> None:
    whole = chat.chat.completions.create(model="sim-frontier", messages=USER, n=3)
    texts = ["", "", ""]
    for chunk in chat.chat.completions.create(model="sim-frontier", messages=USER, n=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert len(set(texts)) == 3


def test_tool_call_streams_in_fragments(chat: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "What is the weather in Ghent?"}]
    chunks = chat.chat.completions.create(
        model="sim-frontier", messages=messages, tools=[WEATHER], stream=True
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    arguments = "".join(call.function.arguments or "" for call in calls if call.function)
    assert calls[0].id is not None
    assert calls[0].function is not None
    assert calls[0].function.name == "get_weather"
    assert len(calls) > 2
    validate(json.loads(arguments), WEATHER["function"]["parameters"])


def test_tool_choice_is_obeyed(chat: openai.OpenAI) -> None:
    def finish(choice: Any) -> str:
        answer = chat.chat.completions.create(
            model="sim-frontier", messages=USER, tools=[WEATHER], tool_choice=choice
        )
        return answer.choices[0].finish_reason

    assert finish("auto") == "stop"  # the user does not speak of the weather
    assert finish("required") == "tool_calls"
    assert finish({"type": "function", "function": {"name": "get_weather"}}) == "tool_calls"
    assert finish("none") == "stop"


SCHEMA = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["billing", "other"]},
        "order": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1},
    },
    "required": ["category", "order", "score", "tags"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
}


def test_json_formats(chat: openai.OpenAI) -> None:
    shape: Any = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA}}
    answer = chat.chat.completions.create(model="sim-frontier", messages=USER, response_format=shape)
    validate(json.loads(answer.choices[0].message.content or ""), SCHEMA)
    loose = chat.chat.completions.create(
        model="sim-frontier", messages=USER, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(loose.choices[0].message.content or ""), dict)


def test_logprobs_cover_the_text(chat: openai.OpenAI) -> None:
    answer = chat.chat.completions.create(
        model="sim-frontier", messages=USER, logprobs=True, top_logprobs=3, max_tokens=5
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(row.token for row in logprobs.content) == answer.choices[0].message.content
    assert all(len(row.top_logprobs) == 3 and row.logprob <= 0 for row in logprobs.content)


def test_reasoning_tokens_are_inside_completion_tokens(
    chat: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    answer = chat.chat.completions.create(model="sim-frontier", messages=USER, reasoning_effort="low")
    line = simulator.invoice()["lines"][0]
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == line["reasoning_tokens"] >= 32
    assert answer.usage.completion_tokens == line["reasoning_tokens"] + line["output_tokens"]


def test_prompt_cache_is_by_128_from_1024_and_by_key(
    chat: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    messages: Any = [{"role": "system", "content": "policy " * 1500}, *USER]

    def cached(client: openai.OpenAI) -> int:
        usage = client.chat.completions.create(model="sim-frontier", messages=messages, max_tokens=1).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        return usage.prompt_tokens_details.cached_tokens or 0

    assert cached(chat) == 0
    hit = cached(chat)
    assert hit >= 1024
    assert hit % 128 == 0
    with chat.with_options(api_key="another") as other:
        assert cached(other) == 0
    line = simulator.invoice()["lines"][1]
    assert line["cache_read_tokens"] == hit
    assert line["cost_nusd"] == line["input_tokens"] * 2500 + hit * 250 + 1 * 10_000


def test_multimodal_parts_are_accepted(chat: openai.OpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    usage = chat.chat.completions.create(model="sim-frontier", messages=messages).usage
    assert usage is not None
    assert usage.prompt_tokens > 255


def test_errors_have_the_dialect_shape(chat: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        chat.chat.completions.create(model="gpt-9", messages=USER)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as malformed:
        chat.chat.completions.create(model="sim-frontier", messages=[])
    assert malformed.value.param == "messages"
    assert malformed.value.response.headers["x-simulated"] == "true"


def test_the_other_endpoints(chat: openai.OpenAI, simulator: SimulatorProcess) -> None:
    assert (
        chat.completions.create(model="sim-nano", prompt="Once upon a time").choices[0].finish_reason
        == "length"
    )
    assert chat.responses.create(model="sim-nano", input="Say something").output_text
    assert "sim-embed" in [model.id for model in chat.models.list()]
    outcomes = [line["endpoint"] for line in simulator.invoice()["lines"]]
    assert outcomes == ["completions", "responses"]


def test_embeddings_are_unit_vectors_and_near_for_near_texts(chat: openai.OpenAI) -> None:
    texts = ["my scanner is broken", "the scanner is broken", "invoice charged twice"]
    rows = [row.embedding for row in chat.embeddings.create(model="sim-embed", input=texts).data]
    floats = (
        chat.embeddings.create(model="sim-embed", input=texts[0], encoding_format="float").data[0].embedding
    )
    assert rows[0] == pytest.approx(floats, abs=1e-6)
    assert sum(value * value for value in rows[0]) == pytest.approx(1.0, abs=1e-5)
    near, far = (sum(a * b for a, b in zip(rows[0], other, strict=True)) for other in rows[1:])
    assert near > 0.6 > far


def test_azure_deployment(simulator: SimulatorProcess) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=simulator.base_url, api_version="2025-01-01", api_key="key", max_retries=0
    ) as client:
        answer = client.chat.completions.create(model="sim-frontier", messages=USER)
        chunks = list(client.chat.completions.create(model="sim-frontier", messages=USER, stream=True))
    assert answer.model == "sim-frontier"
    assert chunks[0].choices == []  # Azure's filter results come first
    assert simulator.invoice()["lines"][0]["dialect"] == "azure"
