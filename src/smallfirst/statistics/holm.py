"""Many tests at once: Holm's correction ("A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6, 1979)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def adjusted(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values, in the order given: those at most α are refuted, and any of them wrongly with probability at most α.

    Holds for tests that depend on one another in any way.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError("p_values: expected numbers in [0, 1], in one dimension")
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(values.size, 0, -1)
    result = np.empty_like(values)
    result[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if values.size else scaled
    return result
