"""What a semantic look-up finds, decides and learns: the words that serving, learning and replaying share."""

from __future__ import annotations

import msgspec
import numpy as np


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the same partition whose text is near. Entries whose answers were found equal share their `answer`."""

    entry: int
    answer: int
    text: str
    vector: np.ndarray  # float32, length 1
    similarity: float  # cosine
    confirmed: int = (
        0  # how often this entry's answer was found right for another text, by an alias or a spot check
    )
    refuted: int = 0  # how often wrong


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the best candidate's answer would be right. `refused`: a guard's reason why it is not served whatever the probability."""

    candidate: Candidate
    probability: float  # that its answer is right, in [0, 1]; 0 where it is refused
    features: tuple[float, ...]
    refused: str = ""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One request that looked for an answer, in the order of their coming. `right` None: nothing was learned of it.

    A request that had no candidate is one too (probability 0): wrong hits are counted over all requests.
    """

    probability: float  # as it was judged, before anything was known of the request
    threshold: float | None  # that was in force; None: only exact answers were served
    hit: bool
    check: float  # the probability with which a hit was drawn for a spot check
    right: bool | None  # whether the candidate's answer was, or would have been, right
    features: tuple[float, ...] = ()
    guard: str = ""  # the learned guard that judged, by hash; empty: none was learned yet

    @property
    def seen(self) -> float:
        """The probability with which `right` is known."""
        return self.check if self.hit else 1.0
