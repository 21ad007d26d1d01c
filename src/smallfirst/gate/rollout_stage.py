"""Whether a stage of a rollout has been looked at long enough to go on, and what it waits for."""

from __future__ import annotations

import msgspec

from smallfirst.gate.rollout import StageBegin, Watched
from smallfirst.gate.watch import LEAST_USUAL, Estimate, TaskWatch
from smallfirst.gate.watch_expected import reach

LEAST_CALLS = 100  # that each stage must have answered of each task, whatever the pairs say


class TaskStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a rollout as it stands: what its stage has had, what it needs, and what every question says."""

    task: str
    pairs: int  # in this stage
    pairs_needed: int
    calls: int  # answered in this stage
    calls_needed: int
    small_share: float
    estimates: tuple[Estimate, ...]
    drop: float  # that is to be found: `rollout.drop`
    finds: (
        float | None
    )  # the drop that so many pairs find; larger where the held-out examples are too few; None where nothing is compared
    waits_for: str = ""  # empty: for nothing


def begin_of(watch: TaskWatch) -> StageBegin:
    """Where a stage begins for a task: at what it has now."""
    return StageBegin(pairs=watch.pairs, answered=watch.answered, by_small=watch.by_small)


def standing(watched: Watched, watch: TaskWatch, *, judged: bool) -> TaskStanding:
    """How a task stands. `judged`: its answers are scored as they come, which a judge's are not; then calls alone decide."""
    begin = watched.began.get(watch.task, StageBegin())
    answered, pairs = watch.answered - begin.answered, watch.pairs - begin.pairs
    by_small = watch.by_small - begin.by_small
    share = by_small / answered if answered else watch.small_share
    shadow = watched.channel == "shadow"
    found = reach(watch.rule, watch.expected, small_share=share)
    needed = found.pairs if judged else 0
    calls_needed = 0 if shadow else LEAST_CALLS
    if not shadow and answered >= LEAST_CALLS and by_small == 0:
        needed = 0  # all of them went to the frontier: there is nothing to compare
    return TaskStanding(
        task=watch.task,
        pairs=pairs,
        pairs_needed=needed,
        calls=answered,
        calls_needed=calls_needed,
        small_share=share,
        estimates=tuple(watch.estimates()),
        drop=watch.rule.drop,
        finds=found.drop if needed else None,
        waits_for=_waits_for(watch, needed - pairs, calls_needed - answered, shadow=shadow),
    )


def _waits_for(watch: TaskWatch, pairs: int, calls: int, *, shadow: bool) -> str:
    if not shadow and watch.usual is None:
        return f"{LEAST_USUAL} answered calls of what is live, to compare with"
    missing = [f"{pairs:,} more pairs"] if pairs > 0 else []
    if calls > 0:
        missing.append(f"{calls:,} more calls")
    return " and ".join(missing)
