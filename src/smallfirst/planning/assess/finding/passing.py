"""A call on its way to its group, with what must be known of it before its texts are cut."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from smallfirst import limits
from smallfirst.planning.assess.finding.prompt_text import Prompt, clipped, read_prompt, said_to
from smallfirst.planning.assess.observed import Observed

_SLOTS = 1 << 20
_TTL_MS = int(limits.CACHE_TTL_S * 1000)


class Passing(NamedTuple):
    """`said` stands for what its user gave, None where nothing was asked; `request` for all that an exact cache goes by, None also where the call
    failed, whose answer no cache keeps; `again`: a cache had still had its answer.
    """

    observed: Observed
    prompt: Prompt
    lot: float  # uniform in [0, 1)
    order: int
    said: int | None = None
    request: int | None = None
    again: bool = False

    def waiting(self) -> Passing:
        """The same with its texts cut, for keeping."""
        return self._replace(observed=clipped(self.observed))


class Recent:
    """An exact cache with the usual time to live, played over a stream: 16 MiB, in which two of many requests may want the same place, so that it
    finds repeats that are, and misses a few where there are hundreds of thousands within a day.
    """

    def __init__(self) -> None:
        self._requests = array("Q", bytes(8 * _SLOTS))
        self._times = array("q", bytes(8 * _SLOTS))

    def again(self, request: int, at_ms: int) -> bool:
        """Whether the request came within the time to live of when it was first answered. Logs may lie with the newest first."""
        place = request % _SLOTS
        if self._requests[place] == request and abs(at_ms - self._times[place]) <= _TTL_MS:
            return True
        self._requests[place], self._times[place] = request, at_ms
        return False


def passing(observed: Observed, *, lot: float, order: int, recent: Recent) -> Passing:
    """What is counted of a call."""
    prompt = read_prompt(observed.messages)
    if not observed.messages:
        return Passing(observed, prompt, lot, order)
    said = said_to(observed.messages)
    request = None if observed.failed else _number(_asked_for(observed))
    again = request is not None and observed.at_ms > 0 and recent.again(request, observed.at_ms)
    return Passing(observed, prompt, lot, order, _number(said), request, again)


def _asked_for(observed: Observed) -> str:
    """All that makes an answer another, as far as it was seen, and whose it is: no cache crosses tenants."""
    beside: Sequence[Any] = (observed.tenant, observed.model, observed.schema, *observed.tools)
    texts = (message.get("content") for message in observed.messages)
    return "\x00".join(str(part) for part in (*beside, *texts))


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
