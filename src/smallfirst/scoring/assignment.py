"""Who is paired with whom, so that the sum is highest: the assignment problem, for arrays whose order does not count.

scipy has it, and the gateway, which scores answers too, does without scipy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_pairs(gains: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of row and column, each at most once and as many as the shorter side has, of the highest sum of gains.

    `gains`: `[rows, columns]`. The Hungarian method with potentials (Kuhn, 1955), O(rows² · columns).
    """
    if gains.shape[0] > gains.shape[1]:
        return sorted((row, column) for column, row in best_pairs(gains.T))
    rows, columns = gains.shape
    if not rows:
        return []
    costs = np.zeros((rows + 1, columns + 1))
    costs[1:, 1:] = gains.max() - gains
    row_potential, column_potential = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of = np.zeros(
        columns + 1, dtype=np.int64
    )  # of each column, 0: free; column 0 stands for the row being placed
    for row in range(1, rows + 1):
        row_of[0] = row
        before = _shortest_path(costs, row_potential, column_potential, row_of)
        column = before.pop()
        while column:  # along the path, each row moves to the next column
            row_of[column] = row_of[before[column]]
            column = before[column]
    return sorted((int(row_of[column]) - 1, column - 1) for column in range(1, columns + 1) if row_of[column])


def _shortest_path(
    costs: NDArray[np.float64],
    row_potential: NDArray[np.float64],
    column_potential: NDArray[np.float64],
    row_of: NDArray[np.int64],
) -> list[int]:
    """The columns before each on the way to a free one, and that free column at the end; potentials are changed in place."""
    columns = costs.shape[1]
    least = np.full(columns, np.inf)
    before = np.zeros(columns, dtype=np.int64)
    used = np.zeros(columns, dtype=bool)
    column = 0
    while row_of[column] or column == 0:
        used[column] = True
        row = row_of[column]
        reach = costs[row] - row_potential[row] - column_potential
        better = ~used & (reach < least)
        least[better], before[better] = reach[better], column
        open_ = np.where(used, np.inf, least)
        following = int(open_.argmin())
        step = open_[following]
        row_potential[row_of[used]] += step
        column_potential[used] -= step
        least[~used] -= step
        column = following
    return [*before.tolist(), column]
