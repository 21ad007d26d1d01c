"""What becomes of what only one dialect can say, when the model that answers speaks the other one.

A top-level field is *translated* (it has a word in `chat.Request`), *dropped* (the answer's meaning does not depend on it) or
*refused* (`Untranslatable`: the answer would be another one). A field that is in no table is refused: nobody knows what it means.

Within messages: thinking is dropped (only the model that thought it can read it), and so are citations, OpenAI's `detail` of images, the
annotations of answers, and, towards OpenAI, cache marks; all other parts without a counterpart are refused.
"""

from __future__ import annotations

from typing import Any

from smallfirst import chat
from smallfirst.chat import Dialect
from smallfirst.errors import Untranslatable

NAMES: dict[Dialect, str] = {"openai": "OpenAI", "anthropic": "Anthropic"}

DROPPED: dict[Dialect, dict[str, str]] = {
    "openai": {
        "metadata": "labels for OpenAI's dashboard",
        "prediction": "makes an answer faster, not different",
        "prompt_cache_key": "a hint for OpenAI's cache",
        "prompt_cache_options": "a hint for OpenAI's cache",
        "prompt_cache_retention": "a hint for OpenAI's cache",
        "safety_identifier": "for OpenAI's monitoring of its users",
        "seed": "best effort, by OpenAI's own words",
        "service_tier": "the tier is the operator's choice",
        "store": "whether OpenAI keeps the call for its dashboard",
        "verbosity": "a hint about length",
    },
    "anthropic": {
        "billing_policy": "who pays Anthropic, which is not asked",
        "cache_control": "a hint; OpenAI caches by itself",
        "diagnostics": "about Anthropic's cache",
        "fallback_credit_token": "who pays Anthropic, which is not asked",
        "fallbacks": "which model stands in is the ladder's matter",
        "metadata": "its user_id is translated; nothing else is known in it",
        "service_tier": "the tier is the operator's choice",
        "speed": "makes an answer faster, not different",
        "thinking": "a budget is translated; without one each model thinks as it sees fit",
        "user_profile_id": "for Anthropic's own book-keeping",
        "workspace_id": "for Anthropic's own book-keeping",
    },
}

REFUSED: dict[Dialect, dict[str, str]] = {
    "openai": {
        "audio": "Anthropic's models do not speak",
        "frequency_penalty": "Anthropic has no penalties",
        "function_call": "use tools and tool_choice in place of functions",
        "functions": "use tools in place of functions",
        "logit_bias": "Anthropic's tokens cannot be biased",
        "logprobs": "Anthropic tells no probabilities",
        "modalities": "Anthropic's models answer with text alone",
        "moderation": "Anthropic does not moderate within a call",
        "n": "Anthropic gives one answer a call",
        "presence_penalty": "Anthropic has no penalties",
        "response_format": "Anthropic has structured output by json_schema alone",
        "tool_choice": "Anthropic knows auto, none, any and one tool by name",
        "tools": "Anthropic knows tools of type function alone",
        "top_logprobs": "Anthropic tells no probabilities",
        "web_search_options": "the search is OpenAI's own",
    },
    "anthropic": {
        "compaction": "the summary is made by Anthropic",
        "container": "the container is Anthropic's own",
        "context_management": "the context is edited by Anthropic",
        "inference_geo": "where OpenAI computes cannot be said in a call",
        "mcp_servers": "OpenAI's chat completions call no MCP servers",
        "output_config": "OpenAI knows of it the effort and a json_schema alone",
        "thread": "the thread is kept by Anthropic",
        "tools": "a tool that Anthropic runs itself has no counterpart",
    },
}

# Values that mean what absence means.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "container": ({},),
    "context_management": ({}, {"edits": []}),
    "frequency_penalty": (0,),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "mcp_servers": ([],),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "top_logprobs": (0,),
}


def refuse_opaque(request: chat.Request, answering: Dialect) -> None:
    """Raises `Untranslatable` for the first top-level field that `answering` cannot be told and that matters."""
    asking = request.dialect
    if asking == answering:
        return
    for name, value in request.opaque.items():
        if name in DROPPED[asking] or value is None or value in NEUTRAL.get(name, ()):
            continue
        reason = REFUSED[asking].get(name, "it is in no dialect that smallfirst knows")
        raise cannot_say(name, answering, reason)


def cannot_say(where: str, answering: Dialect, reason: str) -> Untranslatable:
    """The error that names what the answering model cannot be told, and why."""
    return Untranslatable(
        f"{where}: the model that answers speaks {NAMES[answering]}'s dialect, which cannot say it: {reason}",
        param=where,
    )


def no_such_part(where: str, part: chat.Part, answering: Dialect) -> Untranslatable:
    """The error for a part of a message without a counterpart."""
    kind = type(part).__name__.lower()
    if isinstance(part, chat.Opaque):
        kind = str(part.value.get("type") or next(iter(part.value), "unknown"))
    return cannot_say(where, answering, f"it has no part of type {kind!r} there")


def places(request: chat.Request) -> list[str]:
    """For each message its path in the client's own request, in its dialect's notation."""
    if request.dialect == "anthropic":
        has_system = bool(request.messages) and request.messages[0].role == "system"
        paths = [f"messages.{index - has_system}" for index in range(len(request.messages))]
        return ["system", *paths[1:]] if has_system else paths
    paths, index = [], 0
    for message in request.messages:
        paths.append(f"messages[{index}]")
        results = sum(isinstance(part, chat.ToolResult) for part in message.parts)
        index += max(1, results)  # tool messages that stood together were read into one
    return paths
