"""What a gate may be expected to find, from the calibration part: said before the held-out part is read, and before its α is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from smallfirst.gate.judging import Rows, Rule
from smallfirst.releases.verdict import Against, Comparison, Finding
from smallfirst.statistics import noninferiority, power
from smallfirst.statistics.noninferiority import Sample, sample_of

SCREEN_ALPHA = 0.05
"""For what calibration shows: it is read as often as one likes and proves nothing, so a fail there need not be as sure as a read's."""

LEAST_CHANCE = 0.5  # below it a read is not spent unless it is asked for


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison to come. `disagreement` is the mean |loss| and `loss` the mean loss on `seen` calibration examples; `chance` the
    probability that a candidate that loses nothing passes on the `rows` there are, `needed` with how many it would be the wanted power.
    """

    against: Against
    slice: str
    margin: float
    seen: int
    loss: float
    disagreement: float
    rows: int
    needed: int | None
    chance: float
    worse: bool = (
        False  # already shown to lose (at `SCREEN_ALPHA`), and by more than the margin as far as was seen
    )


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A task's prospects, and the read that they would cost."""

    task: str
    read: int
    alpha: float
    claimed: bool
    power: float
    prospects: tuple[Prospect, ...]

    @property
    def worse(self) -> Prospect | None:
        """The comparison that need not be made any more."""
        return next((one for one in self.prospects if one.worse), None)

    @property
    def hopeless(self) -> Prospect | None:
        """The comparison that would hardly pass however good the candidate is."""
        least = min(self.prospects, key=lambda one: one.chance)
        return least if least.chance < LEAST_CHANCE else None

    @property
    def early(self) -> tuple[Finding, str] | None:
        """What there is to find without a read, and why; None where a read may show more, or is paid for."""
        if self.claimed:
            return None
        if self.worse is not None:
            return "fail", "calibration shows already that it is worse"
        if self.hopeless is not None:
            return "not-enough-evidence", "there are too few held-out examples for any candidate"
        return None


def prospects(
    rows: Rows,
    losses: Mapping[Against, Sequence[float]],
    rule: Rule,
    *,
    heldout: int,
    slice_rows: Mapping[str, int],
) -> tuple[Prospect, ...]:
    """The prospects of each comparator and of each declared slice: `slice_rows` has the held-out rows of each, as "field=value"."""
    found = []
    for against, each in losses.items():
        seen = sample_of(np.asarray(each, dtype=np.float64), rows.groups)
        wholes = [("", rule.margin, heldout)]
        wholes += [
            (name, rule.margin_in_slices, count)
            for name, count in sorted(slice_rows.items())
            if count >= rule.min_slice_rows
        ]
        found += [_prospect(seen, against, whole, rule) for whole in wholes]
    return tuple(found)


def restated(calibrated: Sequence[Comparison], plan: Plan, *, fails: bool = True) -> tuple[Comparison, ...]:
    """What calibration showed, as a verdict says it without a read: nothing of it is a pass, and only where `fails` is it a fail."""
    needed = {(one.against, one.slice): one.needed for one in plan.prospects}
    return tuple(
        one
        if fails and one.finding == "fail"
        else msgspec.structs.replace(
            one, finding="not-enough-evidence", examples_needed=needed.get((one.against, one.slice))
        )
        for one in calibrated
    )


def _prospect(seen: Sample, against: Against, whole: tuple[str, float, int], rule: Rule) -> Prospect:
    name, margin, rows = whole
    worse = not name and noninferiority.judge_sample(seen, margin, alpha=SCREEN_ALPHA).refuted
    return Prospect(
        against=against,
        slice=name,
        margin=margin,
        seen=seen.examples,
        loss=float(seen.sums.sum() / seen.examples),
        disagreement=float(np.abs(seen.sums).sum() / seen.examples),
        rows=rows,
        needed=power.examples_needed(seen, margin, alpha=rule.alpha, power=rule.power),
        chance=power.power(seen, margin, examples=rows, alpha=rule.alpha),
        worse=worse,
    )
