"""The parts of a run: an encoder for each fold of the examples, trained without it. Each is trained by itself, in any order, on any process."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from smallfirst.training.encoder.base import EncoderBase
from smallfirst.training.encoder.settings import EncoderSettings

SCORES = "scores"
Given = dict[str, np.ndarray]
"""What a part gives: `scores` [n, labels] of all texts, and by their names all numbers that it has learned."""


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts are made of. `label` [n] as a number, `labels` where a text has none of them; `fold` [n] is the part that does not see a row."""

    base: EncoderBase
    ids: list[list[int]]
    label: np.ndarray
    labels: int
    fold: np.ndarray
    settings: EncoderSettings
    seed: int

    @property
    def parts(self) -> tuple[int, ...]:
        """By number."""
        return tuple(range(self.settings.folds))

    def rows(self, part: int) -> np.ndarray:
        """The rows that a part is trained on, by number."""
        return np.flatnonzero(self.fold != part)

    def steps(self, part: int) -> int:
        """About how many steps it takes to train."""
        return self.settings.epochs * -(-len(self.rows(part)) // self.settings.batch)


def deal(label: np.ndarray, folds: int, *, seed: int) -> np.ndarray:
    """[n]: the fold of each row. Each label's rows are dealt out one by one, so that each part has some of every label that has two rows."""
    draw = np.random.default_rng(seed)
    found = np.zeros(len(label), np.int64)
    at = 0
    for one in np.unique(label):
        rows = draw.permutation(np.flatnonzero(label == one))
        found[rows] = (at + np.arange(len(rows))) % folds
        at += len(rows)  # the next label goes on where this one ended: folds of one size
    return found


def work(material: Material, part: int, stepped: Callable[[], None]) -> Given:
    """Trains a part. Told after each step."""
    from smallfirst.training.encoder.learn import learn, scores_of

    rows = material.rows(part)
    network = learn(
        material.base,
        [material.ids[at] for at in rows],
        material.label[rows],
        material.labels,
        material.settings,
        seed=material.seed,
        stepped=stepped,
    )
    learned = {name: one.detach().cpu().numpy() for name, one in network.learned()}
    return {SCORES: scores_of(network, material.ids)} | learned
