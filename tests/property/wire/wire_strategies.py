"""Conversations that both dialects can say, as hypothesis strategies."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from smallfirst import chat

# Any Unicode but lone surrogates, which are in no valid JSON.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
TOKENS = st.integers(0, 10**6)


def compact(value: Any) -> str:
    """JSON as the gateway itself writes it, so that texts can be compared."""
    return msgspec.json.encode(value).decode()


TEXT_PART = st.builds(lambda text: {"type": "text", "text": text}, TEXT)
IMAGE_PART = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
    ]
)
USER = st.one_of(
    st.builds(lambda content: {"role": "user", "content": content}, TEXT),
    st.builds(
        lambda content: {"role": "user", "content": content},
        st.lists(TEXT_PART | IMAGE_PART, min_size=2, max_size=3),
    ),
)


@st.composite
def openai_turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What both can say: user and assistant in turns, now and then with tool calls and all their results."""
    messages = []
    for turn in range(draw(st.integers(1, 3))):
        messages.append(draw(USER))
        calls = [
            {
                "id": f"call_{turn}_{number}",
                "type": "function",
                "function": {"name": draw(NAME), "arguments": compact(draw(OBJECT))},
            }
            for number in range(draw(st.integers(0, 2)))
        ]
        if calls:
            content = draw(st.none() | TEXT)
            messages.append({"role": "assistant", "content": content, "tool_calls": calls})
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": draw(TEXT)} for call in calls
            ]
        if draw(st.booleans()) or calls:
            messages.append({"role": "assistant", "content": draw(TEXT)})
        else:
            break
    return messages


TOOL = st.builds(
    lambda name, description, schema: {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": schema}}
        | ({"description": description} if description else {}),
    },
    NAME,
    st.none() | TEXT,
    OBJECT,
)


@st.composite
def common_openai_requests(draw: st.DrawFn) -> dict[str, Any]:
    """Requests of OpenAI's dialect in the words that Anthropic's has too."""
    system = draw(st.none() | TEXT)
    head = [{"role": "system", "content": system}] if system else []
    body: dict[str, Any] = {
        "model": draw(NAME),
        "messages": [*head, *draw(openai_turns())],
        "max_completion_tokens": draw(st.integers(1, 10**5)),
    }
    optional = {
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "stop": st.lists(TEXT, min_size=1, max_size=4),
        "user": TEXT,
        "reasoning_effort": st.sampled_from(["low", "medium", "high", "xhigh", "max"]),
        "response_format": st.builds(
            lambda schema: {"type": "json_schema", "json_schema": {"name": "output", "schema": schema}},
            OBJECT,
        ),
    }
    for name, values in optional.items():
        if draw(st.booleans()):
            body[name] = draw(values)
    tools = draw(st.lists(TOOL, max_size=2))
    if tools:
        body["tools"] = tools
        by_name = {"type": "function", "function": {"name": tools[0]["function"]["name"]}}
        choice = draw(st.sampled_from([None, "auto", "required", "none", by_name]))
        if choice is not None:
            body["tool_choice"] = choice
        if choice not in (None, "none") and draw(st.booleans()):
            body["parallel_tool_calls"] = draw(st.booleans())
    return body


USAGE = st.builds(chat.Usage, **dict.fromkeys(chat.Usage.__struct_fields__, TOKENS))

PART = st.one_of(
    st.builds(chat.Text, TEXT),
    st.builds(lambda id_, name, value: chat.ToolUse(id_, name, compact(value)), NAME, NAME, OBJECT),
)
ANTHROPIC_PART = st.one_of(
    PART, st.builds(chat.Thinking, TEXT, TEXT), st.builds(lambda data: chat.Thinking("", redacted=data), TEXT)
)


@st.composite
def replies(draw: st.DrawFn, parts: st.SearchStrategy[chat.Part] = PART) -> chat.Reply:
    stop = draw(st.sampled_from(["end", "length", "tool_use", "refusal"]))
    return chat.Reply(
        id=draw(NAME),
        model=draw(NAME),
        parts=tuple(draw(st.lists(parts, max_size=4))),
        stop=stop,
        usage=draw(USAGE),
        created_s=draw(st.integers(1, 2**31)),
    )


@st.composite
def openai_replies(draw: st.DrawFn) -> chat.Reply:
    """What a completion can hold: at most one text, then at most one refusal, then tool calls."""
    reply = draw(replies())
    texts = [part for part in reply.parts if isinstance(part, chat.Text)][:1]
    calls = [part for part in reply.parts if isinstance(part, chat.ToolUse)]
    return chat.Reply(
        id=reply.id,
        model=reply.model,
        parts=(*texts, *calls),
        stop=reply.stop,
        usage=reply.usage,
        created_s=reply.created_s,
    )
