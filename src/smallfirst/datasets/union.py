"""Sets of things that belong together: union–find, with paths cut short."""

from __future__ import annotations


class Union:
    """Numbers from 0, each alone until it is joined with others."""

    def __init__(self, size: int = 0) -> None:
        self._above = list(range(size))

    def add(self) -> int:
        """One more, alone."""
        self._above.append(len(self._above))
        return len(self._above) - 1

    def find(self, at: int) -> int:
        """The one that stands for all that `at` is joined with: the smallest of them."""
        above = self._above
        while above[at] != at:
            above[at] = above[above[at]]
            at = above[at]
        return at

    def join(self, left: int, right: int) -> None:
        left, right = self.find(left), self.find(right)
        self._above[max(left, right)] = min(left, right)
