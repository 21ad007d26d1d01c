"""A stack over scores that leave nothing to learn: it is fitted all the same."""

from __future__ import annotations

import numpy as np

from smallfirst.training.head_stack import fit_stack


def test_rows_that_are_all_as_sure_as_each_other_are_fitted() -> None:
    """So few and so easy examples have evidence that does not vary, and what varies beside it must not be blown up."""
    label = np.arange(39) % 3
    unseen = {"words": np.eye(3)[label]}
    classless = {"words": np.random.default_rng(0).random((39, 3))}
    stack = fit_stack(unseen, classless, label, labels=3)
    probabilities = stack.probabilities(unseen)
    assert (probabilities.argmax(axis=1) == label).all()
    assert np.isfinite([*stack.correct, *stack.outside]).all()
