"""What a model's answers have been like, so that one whose usage was never reported can be estimated.

A cancelled, cut or timed-out attempt is billed by its provider for what was generated, and says nothing of how much that was.
"""

from __future__ import annotations

from smallfirst.chat import Usage

_PRIOR_WEIGHT = 1000.0  # characters (bytes) that the prior of 4 a token counts for
_PRIOR_PER_TOKEN = 4.0
_PRIOR_TOKENS_PER_S = 50.0


class Meter:
    """Running ratios: answer characters and prompt bytes for each token, tokens for each second."""

    __slots__ = ("_answer_chars", "_answer_tokens", "_prompt_bytes", "_prompt_tokens", "_seconds")

    def __init__(self) -> None:
        self._answer_chars = self._prompt_bytes = _PRIOR_WEIGHT
        self._answer_tokens = self._prompt_tokens = _PRIOR_WEIGHT / _PRIOR_PER_TOKEN
        self._seconds = self._answer_tokens / _PRIOR_TOKENS_PER_S

    def learn(self, usage: Usage, *, prompt_bytes: int, answer_chars: int, seconds: float) -> None:
        """An answer whose usage was reported. One without visible text (tool calls, embeddings) says nothing of characters a token."""
        self._prompt_bytes += prompt_bytes
        self._prompt_tokens += usage.prompt_tokens
        if answer_chars:
            self._answer_chars += answer_chars
            self._answer_tokens += usage.completion_tokens
            self._seconds += seconds

    def estimate(self, *, prompt_bytes: int, answer_chars: int) -> Usage:
        """The usage of an answer that broke off after `answer_chars` characters."""
        return Usage(
            input_tokens=round(prompt_bytes * self._prompt_tokens / self._prompt_bytes),
            output_tokens=round(answer_chars * self._answer_tokens / self._answer_chars),
        )

    def estimate_unseen(self, *, prompt_bytes: int, seconds: float, at_most_tokens: int) -> Usage:
        """The usage of an answer of which nothing was seen for `seconds`, at most what was reserved."""
        written = min(at_most_tokens, round(seconds * self._answer_tokens / self._seconds))
        read = round(prompt_bytes * self._prompt_tokens / self._prompt_bytes)
        return Usage(input_tokens=read, output_tokens=written)
