"""What a router says of a call before it is put to any model, the Protocol of whatever says it, and of whoever it may ask."""

from __future__ import annotations

from typing import Protocol

import msgspec

from smallfirst.classify.prompt import Prompt
from smallfirst.routing.thresholds import UNKNOWN


class Near(msgspec.Struct, frozen=True):
    """A seen example: its id, and its cosine to the call."""

    id: str
    similarity: float


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """For each rung of the ladder, cheapest first: `adequate`, the calibrated probability that its answer will do; `uplift`, the score that the
    frontier is expected to gain over it (0 for the frontier itself). `unknown` says why the call is unlike what was learned from; empty if it is not.
    """

    adequate: tuple[float, ...]
    uplift: tuple[float, ...]
    intent: str = ""
    intent_probability: float = 0.0
    unknown: str = ""
    near: tuple[Near, ...] = ()
    rating: float | None = None  # how hard the model that was asked holds it to be, 1 to 5

    @property
    def has_figures(self) -> bool:
        """Whether anything is known of the call at all. Where nothing is, no threshold lets it begin below the frontier."""
        return self.uplift[0] < UNKNOWN


def nothing_known(rungs: int, why: str) -> Judgement:
    """Of a call that could not be judged at all: no rung is held to be adequate, and it goes to the frontier."""
    return Judgement(adequate=(0.0,) * rungs, uplift=(UNKNOWN,) * (rungs - 1) + (0.0,), unknown=why)


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says of itself. `confidence` is the geometric mean of its tokens' probabilities, None where the server gives none; `agrees`
    whether it is the same as the answer of the rung below, None where none was given.
    """

    confidence: float | None = None
    chars: int = 0
    truncated: bool = False
    refused: bool = False
    agrees: bool | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a router asks a model: `text`, to be answered with one of `choices`."""

    model: str  # its name in the configuration
    text: str
    choices: tuple[str, ...]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A model's answer. `first` is what its first token might have been, with log-probabilities; empty where the server gives none."""

    text: str
    first: tuple[tuple[str, float], ...] = ()


class Ask(Protocol):
    """Puts a router's question to a model. Routing opens no sockets: whoever answers calls does, and pays."""

    async def __call__(self, question: Question) -> Said:
        """The answer. Raises `CallError` where there is none in time, or none can be paid for."""
        ...


class Router(Protocol):
    """Judges calls of one task. Learned (`learned_router.py`) or asked of a small language model (`asking.py`)."""

    sha256: str
    ladder: tuple[str, ...]  # the models that it was fitted for
    asks: bool  # whether a judgement costs a question to a model

    async def judge(self, prompt: Prompt, ask: Ask | None = None, *, anyway: bool = False) -> Judgement:
        """What is to be expected of each rung. `anyway`: figures are wanted also of a call that is not the router's to decide."""
        ...

    def judge_again(self, prompt: Prompt, stored: Judgement) -> Judgement:
        """An earlier judgement of this prompt, made again without asking anybody."""
        ...

    def second_look(self, rung: int, judgement: Judgement, signals: Signals) -> float:
        """The calibrated probability that this answer of this rung is adequate."""
        ...
