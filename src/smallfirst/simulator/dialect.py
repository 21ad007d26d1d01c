"""What a wire format must be able to do: read a call into a prompt, and write a reply, whole or as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from .completion import Completion
from .faults import Fault
from .prices import Usage
from .prompt import JsonObject, Prompt
from .sse import Event


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in; header names are lower case."""

    body: JsonObject
    headers: Mapping[str, str]
    path: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """All that is needed to write an answer."""

    request_id: str
    created_s: int
    prompt: Prompt
    completion: Completion
    usage: Usage
    fault: Fault
    rng: Random


class Dialect(Protocol):
    """One endpoint of one provider's API."""

    name: str  # openai | azure | anthropic
    endpoint: str
    billed: bool

    def parse(self, call: Call) -> Prompt:
        """The prompt of ``call``; ``ApiError`` where the provider would refuse it."""
        ...

    def whole(self, reply: Reply) -> JsonObject:
        """The body of an answer that is not streamed."""
        ...

    def events(self, reply: Reply) -> Iterator[Event]:
        """The events of a streamed answer, in order."""
        ...
