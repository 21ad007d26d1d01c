"""What a scorer is: from an output and a reference to a score in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec


class Score(msgspec.Struct, frozen=True):
    """1 is right, 0 is wrong. `parts` tells apart what the value is made of (fields, precision and recall); `note` says why, for people."""

    value: float
    parts: dict[str, float] = {}
    note: str = ""


class Scorer(Protocol):
    """Deterministic but for the judge. The same `id` scores the same way: it changes with the code and with every option."""

    @property
    def id(self) -> str:
        """For example `label@1`, `json@1:3fa2…`: what a policy and a verdict name."""
        ...

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """The score of one output. `reference`: `Example.reference`; `messages`: what was asked, for a judge. An output that cannot be
        read scores 0 and says why; raises `ScorerError` where the reference is none for this scorer, or the judge cannot be asked."""
        ...

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        """Figures of many outputs together that are no means of scores, such as macro-F1; empty where there are none."""
        ...
