"""Where conversations stand: a later turn stays with the model that answered the one before, unless changing is worth it.

Two reasons to stay. Inside an unfinished tool loop a change is never chosen: the model that asked for a tool reads what it gave back. Elsewhere a
cheaper model would have to read the whole history anew, while the present one's provider has it cached: the change is charged that lost value. A
change to a dearer model is never held back: the quality bound asks for it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from smallfirst import limits
from smallfirst.chat import Usage
from smallfirst.pricing import Price
from smallfirst.wire.turns import Conversation, Turn

_CACHED_FOR_S = 300.0  # what both large providers keep a prefix for
_EXPECTED_OUTPUT_TOKENS = 200
_BYTES_PER_TOKEN = 4
_READ_CHARS = 4096  # of a turn's beginning, and of its end
IN_A_LOOP = "inside a tool loop, which stays with the model that began it"
NOT_SEEN = "inside a tool loop whose beginning this gateway has not seen"
CACHED = "the conversation's prompt cache is worth more than changing would save"


class Place(msgspec.Struct, frozen=True):
    """The rung that a conversation is on. `loop`: inside an unfinished tool loop, so that not even the router may move it."""

    rung: int
    why: str
    loop: bool = False


class Keys(msgspec.Struct, frozen=True):
    """Under what a conversation is known: `begin`, by its first words, and more exactly by all its turns: those `before` the last answer, which are
    what that answer was given to, and those of `now`. All three are one where the client names its conversation.
    """

    begin: bytes
    before: bytes
    now: bytes


class _Last(msgspec.Struct, frozen=True):
    rung: int
    at_s: float
    prompt_bytes: int


class Conversations:
    """The last rung of each conversation, bounded, the oldest forgotten first. One event loop owns it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: OrderedDict[bytes, _Last] = OrderedDict()

    def place(
        self,
        keys: Keys,
        conversation: Conversation,
        *,
        prompt_bytes: int,
        prices: Callable[[int], Price | None],
        frontier: int,
    ) -> Place | None:
        """Where the conversation stands; None where it is free to begin anywhere. `prices` gives a rung's price of today, `frontier` is the last
        rung: a tool loop that nobody remembers goes there.
        """
        if len(conversation.turns) < 2:
            return None
        last = self._last.get(keys.before) or self._last.get(keys.begin)
        if conversation.unfinished_tool_loop:
            return Place(last.rung, IN_A_LOOP, loop=True) if last else Place(frontier, NOT_SEEN, loop=True)
        if last is None or last.rung == 0 or self._clock() - last.at_s > _CACHED_FOR_S:
            return None
        for rung in range(last.rung):
            saved = saving_nusd(prices(last.rung), prices(rung), read=last.prompt_bytes, prompt=prompt_bytes)
            if saved is not None and saved > 0:
                return None
        return Place(last.rung, CACHED)

    def remember(self, keys: Keys, rung: int, *, prompt_bytes: int) -> None:
        """This rung has answered."""
        last = _Last(rung, self._clock(), prompt_bytes)
        for key in {keys.begin: None, keys.now: None}:
            self._last[key] = last
            self._last.move_to_end(key)
        while len(self._last) > limits.MAX_CONVERSATIONS:
            self._last.popitem(last=False)


def conversation_keys(tenant: str, task: str, name: str, conversation: Conversation) -> Keys:
    """A conversation's keys within its tenant and task: by the client's name for it, else by what was said.

    The exact keys leave the system prompt out: some applications write the time of day into it.
    """
    if name:
        key = _begun(tenant, task, "named", name).digest()
        return Keys(key, key, key)
    turns = conversation.turns
    last = next((at for at in reversed(range(len(turns))) if turns[at].role == "assistant"), 0)
    role, first = (turns[0].role, turns[0].text[:_READ_CHARS]) if turns else ("", "")
    begin = _begun(tenant, task, "begins", conversation.system[:_READ_CHARS], role, first).digest()
    running, before = _begun(tenant, task, "turns"), begin
    for at, turn in enumerate(turns):
        if at == last and at:
            before = running.digest()
        running.update(_read(turn))
    return Keys(begin, before, running.digest())


def _begun(*parts: str) -> blake2b:
    return blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=16)


def _read(turn: Turn) -> bytes:
    """What is read of a turn to know it again: bounded, so that a long history costs no more than its number of turns."""
    text = turn.text
    if len(text) > 2 * _READ_CHARS:
        text = f"{text[:_READ_CHARS]}{len(text)}{text[-_READ_CHARS:]}"
    return f"\x00{turn.role}\x00{turn.calls}\x00{len(text)}\x00{text}".encode("utf-8", "surrogatepass")


def saving_nusd(now: Price | None, then: Price | None, *, read: int, prompt: int) -> int | None:
    """What the next turn would cost less at another model: all of its prompt anew there, only what came since uncached here. `read` and `prompt`
    are bytes. None where a price is unknown.
    """
    if now is None or then is None:
        return None
    cached, whole = min(read, prompt) // _BYTES_PER_TOKEN, prompt // _BYTES_PER_TOKEN
    output = _EXPECTED_OUTPUT_TOKENS
    stay = now.cost_nusd(Usage(input_tokens=whole - cached, cache_read_tokens=cached, output_tokens=output))
    change = then.cost_nusd(Usage(input_tokens=whole, output_tokens=output))
    return stay - change
