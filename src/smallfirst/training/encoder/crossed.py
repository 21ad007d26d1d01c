"""What a tuned encoder would say of each example had it not seen it: by the encoder of the fold that did not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def crossed_scores(
    scores: Mapping[int, np.ndarray], fold: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`scores` [n, labels] by each fold's encoder. [n, labels] each: of rows that were not seen, and of rows whose label was not.

    No encoder is trained without a label, so the second is a stand-in: the first, with the row's own label the least likely of all.
    """
    unseen = np.zeros_like(next(iter(scores.values())))
    for part, theirs in scores.items():
        unseen[fold == part] = theirs[fold == part]
    classless = unseen.copy()
    inside = np.flatnonzero(label < unseen.shape[1])
    classless[inside, label[inside]] = unseen[inside].min(axis=1)
    return unseen, classless
