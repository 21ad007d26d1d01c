"""Calls that no router's figures speak for: they go to the frontier until outcomes of their kind have been seen.

A guard compares a call with what the router was fitted on (`Seen`): what was there is allowed, what was not is not.
"""

from __future__ import annotations

import msgspec

from smallfirst import limits
from smallfirst.classify.language import language
from smallfirst.classify.prompt import Prompt

_MANY_ROUNDS = 2  # tools asked for so often already: an agent at work
_LONGER = 2.0  # times the longest that was seen
_SHORT_CHARS = 2000  # nothing below this is called long


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of the examples that a router was fitted on."""

    languages: tuple[str, ...] = ("en",)
    prompt_chars: int = 0  # the 99th percentile of the user messages
    history_turns: int = 0
    tools: int = 0
    tool_rounds: int = 0
    images: int = 0


def guarded(prompt: Prompt, seen: Seen) -> str:
    """Why this call is not the router's to decide; empty if it is."""
    if prompt.tools >= limits.MANY_TOOLS and seen.tools < limits.MANY_TOOLS:
        return f"{prompt.tools} tools are offered"
    if prompt.tool_rounds >= _MANY_ROUNDS and seen.tool_rounds < _MANY_ROUNDS:
        return f"an agent's step {prompt.tool_rounds + 1}"
    if prompt.images and not seen.images:
        return "has images"
    longest = max(_SHORT_CHARS, round(seen.prompt_chars * _LONGER))
    if prompt.prompt_chars > longest:
        return f"{prompt.prompt_chars:,} characters, longer than what was learned from"
    spoken = language(prompt.question)
    if spoken and spoken not in seen.languages:
        return f"language {spoken!r} was not learned from"
    return ""
