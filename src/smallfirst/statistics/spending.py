"""What each look at one held-out part may cost, so that all looks together cost no more than α."""

from __future__ import annotations


def spent_at(read: int, alpha: float) -> float:
    """The level of the k-th read, k = 1, 2, …: α / (k (k + 1)), whose sum over all k is α.

    So the probability that any of the bad candidates judged on this set ever passes is at most α, however many there are and
    however each was chosen after the verdicts before (Bonferroni with weights).
    """
    if read < 1:
        raise ValueError(f"read: expected 1 or more, got {read}")
    return alpha / (read * (read + 1))


def left_after(reads: int, alpha: float) -> float:
    """What is left for all reads to come: α / (reads + 1)."""
    if reads < 0:
        raise ValueError(f"reads: expected 0 or more, got {reads}")
    return alpha / (reads + 1)
