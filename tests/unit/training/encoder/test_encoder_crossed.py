"""The scores of rows that an encoder has not seen."""

from __future__ import annotations

import numpy as np

from smallfirst.training.encoder.crossed import crossed_scores


def test_each_row_is_scored_by_the_encoder_that_did_not_see_it() -> None:
    label, fold = np.array([0, 1, 2, 3]), np.array([0, 1, 0, 1])  # the last has none of the three labels
    scores = {part: np.arange(12.0).reshape(4, 3) + 100 * part for part in (0, 1)}
    unseen, classless = crossed_scores(scores, fold, label)
    assert unseen[:, 0].tolist() == [0, 103, 6, 109]
    assert classless[0].tolist() == [0, 1, 2]
    assert classless[2].tolist() == [6, 7, 6]
    assert np.array_equal(classless[3], unseen[3])
    assert np.array_equal(unseen[2], [6, 7, 8])
