"""What the simulated model says to one prompt, fixed before the first byte, and the deltas it comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

_CHUNK_TOKENS_MAX = 5
_SPLIT_PROBABILITY = 0.3
TOOL_OVERHEAD_TOKENS = 4


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool; ``arguments`` are the tokens of its JSON text."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. ``finish`` is stop, stop_sequence, length, tool_calls or refusal, or what a fault says."""

    text: tuple[str, ...] = ()
    refusal: bool = False  # ``text`` is a refusal
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: tuple[str, ...] = ()  # reasoning that is shown
    hidden_reasoning_tokens: int = 0
    finish: str = "stop"
    stop_sequence: str | None = None

    @property
    def reasoning_tokens(self) -> int:
        """All reasoning, shown or not."""
        return len(self.thinking) + self.hidden_reasoning_tokens

    @property
    def output_tokens(self) -> int:
        """What was made besides reasoning."""
        return len(self.text) + sum(TOOL_OVERHEAD_TOKENS + len(call.arguments) for call in self.tool_calls)


@dataclass(frozen=True, slots=True)
class Completion:
    """All choices of one answer."""

    choices: tuple[Choice, ...] = ()

    @property
    def output_tokens(self) -> int:
        """Tokens of all choices besides reasoning."""
        return sum(choice.output_tokens for choice in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        """Reasoning tokens of all choices."""
        return sum(choice.reasoning_tokens for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Delta:
    """A fragment of a choice. The tokens of all deltas of a completion sum to its own."""

    choice: int
    kind: str  # thinking | text | tool (a call begins) | arguments
    text: str
    output_tokens: int = 0
    reasoning_tokens: int = 0
    pieces: tuple[str, ...] = ()  # the tokens behind the text
    call: ToolCall | None = None
    call_index: int = 0


def fragments(
    pieces: Sequence[str], rng: Random, *, whole_tokens: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """``pieces`` in runs of one to five tokens with their text, cut inside a word now and then.

    The texts joined are the pieces joined. A chunk is not a token, and a client that counts chunks is wrong.
    """
    start, carry = 0, ""
    while start < len(pieces):
        run = tuple(pieces[start : start + rng.randint(1, _CHUNK_TOKENS_MAX)])
        start += len(run)
        text, carry = carry + "".join(run), ""
        last = len(run[-1])
        if start < len(pieces) and last > 1 and not whole_tokens and rng.random() < _SPLIT_PROBABILITY:
            keep = len(text) - rng.randint(1, last - 1)
            text, carry = text[:keep], text[keep:]
        yield text, run


def deltas(completion: Completion, rng: Random, *, whole_tokens: bool = False) -> Iterator[Delta]:
    """The fragments of all choices in the order that they are streamed in; choices take turns."""
    streams = [_choice_deltas(index, c, rng, whole_tokens) for index, c in enumerate(completion.choices)]
    while streams:
        for stream in list(streams):
            delta = next(stream, None)
            if delta is None:
                streams.remove(stream)
            else:
                yield delta


def _choice_deltas(index: int, choice: Choice, rng: Random, whole: bool) -> Iterator[Delta]:
    hidden = choice.hidden_reasoning_tokens  # made before the first delta and counted with it
    for text, run in fragments(choice.thinking, rng, whole_tokens=whole):
        yield Delta(index, "thinking", text, 0, len(run) + hidden, run)
        hidden = 0
    for text, run in fragments(choice.text, rng, whole_tokens=whole):
        yield Delta(index, "text", text, len(run), hidden, run)
        hidden = 0
    for number, call in enumerate(choice.tool_calls):
        yield Delta(index, "tool", "", TOOL_OVERHEAD_TOKENS, hidden, (), call, number)
        hidden = 0
        for text, run in fragments(call.arguments, rng, whole_tokens=whole):
            yield Delta(index, "arguments", text, len(run), 0, run, call, number)
    if hidden:  # nothing was said: the reasoning still was made
        yield Delta(index, "text", "", 0, hidden)
