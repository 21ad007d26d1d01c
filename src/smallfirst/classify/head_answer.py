"""What a label head says of a text."""

from __future__ import annotations

import msgspec


class HeadAnswer(msgspec.Struct, frozen=True):
    """A label, the calibrated probability that it is right, and the probability that the text belongs to none; both in [0, 1]."""

    label: str
    confidence: float
    out_of_scope: float
