"""Whether, and after how long, a rung that failed is asked again."""

from __future__ import annotations

import random

from smallfirst import limits
from smallfirst.errors import UpstreamError, UpstreamRefused, UpstreamTimeout

_RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


def retry_after_s(error: UpstreamError, number: int) -> float | None:
    """How long to wait before the next try; None if it should not be tried again.

    A time-out is not retried: it has cost the client its patience already, and the provider may be generating still.
    """
    if isinstance(error, UpstreamTimeout):
        return None
    if isinstance(error, UpstreamRefused) and error.status not in _RETRIED_STATUS:
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= limits.RETRY_BACKOFF_MAX_S else None
    most = min(limits.RETRY_BACKOFF_MAX_S, limits.RETRY_BACKOFF_BASE_S * 2 ** (number - 1))
    return random.uniform(most / 2, most)  # noqa: S311 (jitter is not a secret)
