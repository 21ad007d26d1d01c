"""What is looked at when a call is decided: the question, what it stands in, and a few counts. Plain data, from any dialect or a file."""

from __future__ import annotations

import msgspec

OUT_OF_SCOPE = "oos"  # the label of a text that has none of the labels, as clinc150 writes it


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as classifiers see it. Sizes are in characters.

    `question` is what the user asks now: the last user message, or the part of it that the task declares to be the question. `context` is the
    end of what was said before it, newest last, already cut to what is read.
    """

    question: str
    context: str = ""
    system_chars: int = 0
    history_turns: int = 0  # messages before the question
    history_chars: int = 0
    prompt_chars: int = 0  # of the last user message as a whole
    tools: int = 0
    tool_rounds: int = 0
    images: int = 0
    structured: bool = False  # JSON was asked for

    @property
    def plain(self) -> bool:
        """A single question with nothing around it."""
        return not (self.history_turns or self.tools or self.images)
