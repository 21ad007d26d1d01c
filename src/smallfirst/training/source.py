"""Where a router's figures come from. Two ways: learned from vectors (`learned_source.py`), or asked of a model (`asked_source.py`).

Everything else of a fit is the same for both: the split, second looks, the choice of thresholds and the bound (`router_fit.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import msgspec
import numpy as np

from smallfirst.classify.artifact import Artifact
from smallfirst.classify.prompt import Prompt
from smallfirst.routing.fitted import Fitted
from smallfirst.routing.judgement import Judgement
from smallfirst.training.outcomes import Example
from smallfirst.training.table import Worth, worth_of

Progress = Callable[[str, int, int], None]
"""Told the step, what is done of it, and how much there is."""


class Numbers(Protocol):
    """What figures are made of, a row for each call: vectors and counts, or ratings."""

    def rows(self, kept: np.ndarray) -> Self: ...


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """Examples as numbers, and what each rung was worth on them."""

    examples: tuple[Example, ...]
    ladder: tuple[str, ...]
    numbers: Any  # a source's own `Numbers`
    worth: Worth

    def part(self, kept: np.ndarray) -> Read:
        return Read(
            examples=tuple(self.examples[at] for at in kept),
            ladder=self.ladder,
            numbers=self.numbers.rows(kept),
            worth=self.worth.rows(kept),
        )


class Figures(Protocol):
    """What was fitted. `adequate` and `uplift` [n, rungs]: what it would have said of its own rows had it not seen them."""

    adequate: np.ndarray
    uplift: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """As a router's artifact keeps it."""
        ...

    def described(self, draft: Fitted) -> Fitted:
        """The router's header with what is particular to these figures."""
        ...

    def expected(self, numbers: Any) -> tuple[np.ndarray, np.ndarray]:
        """`adequate` and `uplift` [n, rungs] of other calls."""
        ...


class FittedRouter(Protocol):
    """A router that has been fitted, judging many calls whose numbers are there already."""

    def judge_all(self, prompts: Sequence[Prompt], numbers: Any, /) -> list[Judgement]: ...


class Spent(msgspec.Struct, frozen=True):
    """What one decision takes: microseconds, median and 99th percentile, and US dollars for a thousand; None where the price is unknown."""

    decision_us: tuple[float, float]
    usd_per_1000: float | None


class Source(Protocol):
    """How figures come about. `by` is a router's own word for it."""

    by: str

    def read(self, prompts: Sequence[Prompt], progress: Progress) -> Numbers:
        """The numbers of these calls, from nothing but what was asked."""
        ...

    def fit(self, train: Read, *, seed: int) -> Figures: ...

    def router(self, fitted: Fitted, found: Artifact) -> FittedRouter:
        """The router as it will serve."""
        ...

    def spent(self, router: Any, prompts: Sequence[Prompt]) -> Spent:
        """What its decisions about these calls take."""
        ...


def read_examples(
    examples: Sequence[Example], ladder: Sequence[str], source: Source, progress: Progress
) -> Read:
    """The examples as numbers."""
    return Read(
        examples=tuple(examples),
        ladder=tuple(ladder),
        numbers=source.read([example.prompt for example in examples], progress),
        worth=worth_of(examples, ladder),
    )
