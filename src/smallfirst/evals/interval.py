"""How an estimate is written for people."""

from __future__ import annotations

from smallfirst.statistics.paired import Estimate


def interval(estimate: Estimate | None, *, digits: int = 3, sign: bool = False) -> str:
    """`0.912 (0.890–0.934)`, with a sign `+0.012 (−0.005 to +0.030)`; `unknown` where there is nothing to say, `…` for an end that so
    few rows do not reach.
    """
    if estimate is None or estimate.mean is None:
        return "unknown"
    form = f"{'+' if sign else ''},.{digits}f"

    def told(value: float | None) -> str:
        return "…" if value is None else format(value, form).replace("-", "−")

    if estimate.low is None and estimate.high is None:
        return told(estimate.mean)
    return f"{told(estimate.mean)} ({told(estimate.low)}{' to ' if sign else '–'}{told(estimate.high)})"
