"""What an encoder that was tuned to a head's own labels brings to it. How one is tuned: `training/encoder/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from smallfirst.classify.embedder import Embedder
from smallfirst.training.head_views import FittedView

Progress = Callable[[str, int, int], None]


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """The encoder as it is served, its view, the arrays that the head's artifact carries it in, and what is said of it in the head's report."""

    encoder: Embedder
    view: FittedView
    arrays: dict[str, np.ndarray]
    told: dict[str, Any]


class Tunes(Protocol):
    """Tunes an encoder to labels."""

    def tune(self, texts: Sequence[str], label: np.ndarray, labels: int, *, progress: Progress) -> Tuned:
        """`label` [n] as a number, `labels` for a text that has none of them."""
        ...

    def forget(self) -> None:
        """What was kept, so that an interrupted run could go on, is needed no longer: the head is saved."""
        ...
