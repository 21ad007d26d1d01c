"""Decides what the simulated model says: forced answer, tool call, examples that are asked for, known answer, schema, or a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from .answers import AnswerBook
from .api_error import ApiError
from .completion import TOOL_OVERHEAD_TOKENS, Choice, Completion, ToolCall
from .faults import Fault
from .prompt import Prompt, Tool, compact, fingerprint, unit_id
from .schema import SchemaWriter
from .settings import Settings
from .tokenizer import tokens
from .written import written_examples

_WORD = re.compile(r"[^\W\d_]{3,}")
_REFUSAL = "I'm sorry, but I can't help with that."
_JOINTS = ("and", "with", "for", "because of", "about", "before", "after", "under", "the", "a")
_EFFORT_TOKENS = {
    "none": (0, 0),
    "minimal": (8, 32),
    "low": (32, 128),
    "medium": (96, 384),
    "high": (256, 1024),
    "xhigh": (512, 2048),
}


class Composer:
    """Answers prompts: the same prompt, seed and model always get the same answer."""

    def __init__(self, book: AnswerBook, settings: Settings) -> None:
        self._book = book
        self._seed = settings.seed
        self._median = settings.answer_tokens_median

    def compose(self, prompt: Prompt, fault: Fault) -> Completion:
        """The whole answer to ``prompt``, within its token limit."""
        if prompt.endpoint == "embeddings":
            return Completion()
        return Completion(tuple(self._choice(prompt, fault, index) for index in range(prompt.n)))

    def rng(self, prompt: Prompt, *salt: object) -> Random:
        """The generator of all that is drawn for ``prompt``."""
        drawn = () if prompt.seed is None else (prompt.seed,)
        return Random(fingerprint(self._seed, prompt.identity, *drawn, *salt))

    def _choice(self, prompt: Prompt, fault: Fault, index: int) -> Choice:
        rng = self.rng(prompt, index)
        choice = self._content(prompt, fault, index, rng)
        if prompt.thinking and prompt.dialect == "anthropic":
            choice = replace(choice, thinking=tuple(tokens(self._sentence(prompt, rng))))
        elif prompt.effort is not None:
            choice = replace(
                choice, hidden_reasoning_tokens=rng.randint(*_EFFORT_TOKENS.get(prompt.effort, (96, 384)))
            )
        choice = _shortened(choice, prompt.max_tokens)
        return replace(choice, finish=fault.finish_reason) if fault.finish_reason else choice

    def _content(self, prompt: Prompt, fault: Fault, index: int, rng: Random) -> Choice:
        if fault.refuse:
            return Choice(text=tuple(tokens(_REFUSAL)), refusal=True, finish="refusal")
        if fault.answer is not None:
            return _stopped(fault.answer, prompt.stop)
        called = _called_tools(prompt)
        if called:
            calls = tuple(self._call(prompt, tool, index, number, rng) for number, tool in enumerate(called))
            return Choice(tool_calls=calls, finish="tool_calls")
        return _stopped(self._text(prompt, index, rng), prompt.stop)

    def _text(self, prompt: Prompt, index: int, rng: Random) -> str:
        written = written_examples(prompt.user, rng)
        if written is not None:
            return written
        known = self._book.find(prompt, salt=_salt(prompt, index))
        if prompt.schema is not None:
            return _as_json(known, prompt.schema) or _by_schema(prompt, prompt.schema, rng)
        if prompt.json_mode:
            return _as_json(known, {}) or compact({"answer": known or self._sentence(prompt, rng)})
        return known if known is not None else self._sentence(prompt, rng)

    def _call(self, prompt: Prompt, tool: Tool, index: int, number: int, rng: Random) -> ToolCall:
        known = self._book.find(prompt, salt=index) if prompt.tool_choice not in ("auto", "none") else None
        text = _as_json(known, tool.parameters)
        if text is None:
            text = _by_schema(prompt, tool.parameters or {"type": "object"}, rng)
        prefix = "toolu_sim_" if prompt.dialect == "anthropic" else "call_sim_"
        call_id = unit_id(prefix, self._seed, prompt.identity, index, number)
        return ToolCall(call_id, tool.name, tuple(tokens(text)))

    def _sentence(self, prompt: Prompt, rng: Random) -> str:
        """Sentences of the prompt's own words, lognormal in length around the configured median."""
        length = max(4, min(600, round(self._median * 2 ** rng.gauss(0, 0.7))))
        words, text = _words(prompt), ["You asked about"]
        for position in range(max(1, length // 2)):
            joint = rng.choice(_JOINTS) if position else ""
            text.append(f"{joint} {rng.choice(words)}".strip())
            if position % 8 == 7:
                text[-1] += "."
                text.append("We also looked at")
        return " ".join(text).removesuffix(" We also looked at").rstrip(".") + "."


def _salt(prompt: Prompt, index: int) -> int:
    """What tells samples of one prompt apart."""
    return index if prompt.seed is None else fingerprint(index, prompt.seed)


def _by_schema(prompt: Prompt, schema: Mapping[str, Any], rng: Random) -> str:
    try:
        return compact(SchemaWriter(schema, _words(prompt), rng).value())
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as problem:
        raise ApiError(400, f"Invalid schema: {problem}", param="schema") from problem


def _words(prompt: Prompt) -> Sequence[str]:
    return list(_WORD.findall(prompt.user[:20_000])[:2_000]) or ["this"]


def _called_tools(prompt: Prompt) -> list[Tool]:
    """The tools that are called: those forced, or under ``auto`` those whose name the user speaks of."""
    if not prompt.tools or prompt.tool_choice == "none":
        return []
    if prompt.tool_choice.startswith("="):
        return [tool for tool in prompt.tools if tool.name == prompt.tool_choice[1:]][:1]
    said = prompt.user.casefold()
    spoken = [
        t for t in prompt.tools if any(part in said for part in re.findall(r"[a-z]{4,}", t.name.casefold()))
    ]
    if prompt.tool_choice == "required":
        spoken = spoken or list(prompt.tools[:1])
    elif prompt.after_tool:
        return []
    return spoken if prompt.parallel else spoken[:1]


def _as_json(known: str | None, schema: Mapping[str, Any]) -> str | None:
    """A known answer as a JSON object: itself if it is one, or as the only field of the schema."""
    if known is None:
        return None
    try:
        if isinstance(json.loads(known), dict):
            return known
    except ValueError:
        pass
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or len(properties) != 1:
        return None
    name, field = next(iter(properties.items()))
    allowed = field.get("enum") if isinstance(field, Mapping) else None
    fits = known in allowed if allowed else isinstance(field, Mapping) and field.get("type") == "string"
    return compact({name: known}) if fits else None


def _stopped(text: str, stops: Sequence[str]) -> Choice:
    """``text`` up to the first stop sequence in it."""
    places = [(text.find(stop), stop) for stop in stops if stop in text]
    if not places:
        return Choice(text=tuple(tokens(text)))
    place, stop = min(places)
    return Choice(text=tuple(tokens(text[:place])), finish="stop_sequence", stop_sequence=stop)


def _shortened(choice: Choice, limit: int | None) -> Choice:
    """``choice`` cut to ``limit`` tokens in the order in which they are made, reasoning first."""
    if limit is None or choice.reasoning_tokens + choice.output_tokens <= limit:
        return choice
    hidden = min(choice.hidden_reasoning_tokens, limit)
    left = limit - hidden
    thinking = choice.thinking[:left]
    left -= len(thinking)
    text = choice.text[:left]
    left -= len(text)
    calls: list[ToolCall] = []
    for call in choice.tool_calls:
        if left < TOOL_OVERHEAD_TOKENS:
            break
        arguments = call.arguments[: left - TOOL_OVERHEAD_TOKENS]
        calls.append(replace(call, arguments=arguments))
        left -= TOOL_OVERHEAD_TOKENS + len(arguments)
    return replace(
        choice,
        hidden_reasoning_tokens=hidden,
        thinking=thinking,
        text=text,
        tool_calls=tuple(calls),
        finish="length",
        stop_sequence=None,
    )
