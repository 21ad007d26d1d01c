"""From a request's conversation to the prompt that classifiers see."""

from __future__ import annotations

from smallfirst import limits
from smallfirst.classify.prompt import Prompt
from smallfirst.wire.turns import Conversation


def read_prompt(conversation: Conversation, *, after: str = "", before: str = "") -> Prompt:
    """The last user message as the question, and what stands around it.

    `after`, `before`: where a task's prompt is built around the user's question (retrieved passages, instructions), the marks between which the
    question stands. A mark that is not there is as if it had not been given.
    """
    turns = conversation.turns
    at = next((index for index in reversed(range(len(turns))) if turns[index].role == "user"), None)
    asked = turns[at].text if at is not None else ""
    earlier = turns[:at] if at is not None else turns
    return Prompt(
        question=between(asked, after, before),
        context=_context([turn.text for turn in earlier]),
        system_chars=len(conversation.system),
        history_turns=len(earlier),
        history_chars=sum(len(turn.text) for turn in earlier),
        prompt_chars=len(asked),
        tools=conversation.tools,
        tool_rounds=conversation.tool_rounds,
        images=conversation.images,
        structured=conversation.output != "text",
    )


def between(text: str, after: str, before: str) -> str:
    """What stands after the last `after` and before the next `before`; the whole text where that is nothing."""
    start = text.rfind(after) + len(after) if after and after in text else 0
    end = text.find(before, start) if before else -1
    found = text[start : end if end >= 0 else len(text)].strip()
    return found or text


def _context(texts: list[str]) -> str:
    """The end of what was said, newest last, at most `MAX_CONTEXT_CHARS`."""
    kept: list[str] = []
    room = limits.MAX_CONTEXT_CHARS
    for text in reversed(texts):
        if room <= 0:
            break
        kept.append(text[-room:])
        room -= len(kept[-1])
    return "\n".join(reversed(kept))
