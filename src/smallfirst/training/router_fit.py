"""Fits a router from outcomes: its figures and second looks on the training part, thresholds under the bound on the calibration part.

rows ─► prompts, numbers ─┬─ training part ──► figures, second looks (cross-fitted) ─► which policies to test, in which order
                          └─ calibration part ─► each policy's loss, once ─► the cheapest that keeps the margin

Where the figures come from, learning or asking, is the source's affair (`source.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.artifact import Artifact, pack
from smallfirst.classify.language import language
from smallfirst.errors import ConfigError
from smallfirst.routing.fitted import NO_BOUND, Fitted
from smallfirst.routing.guards import Seen as SeenLimits
from smallfirst.routing.thresholds import frontier_only
from smallfirst.training.bound import Chosen, Goal, choose
from smallfirst.training.looks import fit_looks, seen_by, seen_in_training
from smallfirst.training.outcomes import Example
from smallfirst.training.source import Progress, Source, read_examples

_CALIBRATION_SHARE = 0.4
_LEAST_TRAIN = 20
_COMMON_LANGUAGE = 0.01  # of the examples


class TooFewExamples(ConfigError):
    """Nothing can be fitted to so few."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a fit is asked for. `heads` are the label heads' hashes by rung, empty for other models; `looks`: answers may be judged before release."""

    task: str
    ladder: tuple[str, ...]
    goal: Goal
    heads: tuple[str, ...] = ()
    asked_as: tuple[str, ...] = ()  # what each model is: its provider and upstream id
    looks: bool = True
    verify: bool = False
    question_after: str = ""
    question_before: str = ""
    calibration_share: float = _CALIBRATION_SHARE
    seed: int = 0


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted router's artifact and what there is to say of it."""

    data: bytes
    fitted: Fitted
    chosen: Chosen
    train: int
    calibration: int


def fit_router(examples: Sequence[Example], wanted: Wanted, source: Source, progress: Progress) -> Fit:
    """The router of these examples. Raises `TooFewExamples`."""
    train_rows, calibration_rows = split(examples, wanted)
    if len(train_rows) < _LEAST_TRAIN:
        raise TooFewExamples(
            f"{len(examples)} examples leave {len(train_rows)} to fit on; at least {_LEAST_TRAIN} are needed there, and hundreds to show a bound"
        )
    read = read_examples(examples, wanted.ladder, source, progress)
    train, calibration = read.part(train_rows), read.part(calibration_rows)
    progress("fitting", 0, 3)
    figures = source.fit(train, seed=wanted.seed)
    looks = fit_looks(train, figures.adequate, seed=wanted.seed) if wanted.looks else {}
    progress("choosing thresholds", 1, 3)
    arrays = figures.arrays()
    for rung, look in looks.items():
        arrays |= look.arrays(f"look{rung}")
    draft = figures.described(_draft(train.examples, wanted))
    router = source.router(draft, Artifact(sha256="", kind="router", header={}, arrays=arrays))
    chosen = choose(
        (seen_in_training(train, figures, looks=wanted.looks, seed=wanted.seed), train.worth),
        (seen_by(router, calibration, looks), calibration.worth),
        goal=wanted.goal,
        looks=wanted.looks,
    )
    fitted = msgspec.structs.replace(draft, thresholds=chosen.thresholds, bound=chosen.bound)
    data = pack("router", msgspec.to_builtins(fitted), arrays)
    progress("packing", 3, 3)
    return Fit(
        data=data,
        fitted=msgspec.structs.replace(fitted, sha256=hashlib.sha256(data).hexdigest()),
        chosen=chosen,
        train=len(train_rows),
        calibration=len(calibration_rows),
    )


def _draft(train: Sequence[Example], wanted: Wanted) -> Fitted:
    """What every router says of itself, but for its thresholds, which send everything to the frontier until they are chosen."""
    return Fitted(
        task=wanted.task,
        ladder=wanted.ladder,
        heads=wanted.heads or ("",) * len(wanted.ladder),
        asked_as=wanted.asked_as,
        embedder="",
        embedder_sha256="",
        thresholds=frontier_only(len(wanted.ladder)),
        bound=NO_BOUND,
        seen=limits_of(train),
        verify=wanted.verify,
        question_after=wanted.question_after,
        question_before=wanted.question_before,
    )


def split(examples: Sequence[Example], wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to calibrate on, by group, so that the same question never stands on both sides. Rows that say their split keep it."""
    side = [
        example.row.split == "calibration"
        if example.row.split is not None
        else _chance(example.group, wanted.seed) < wanted.calibration_share
        for example in examples
    ]
    return np.flatnonzero(~np.array(side, bool)), np.flatnonzero(np.array(side, bool))


def _chance(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on nothing but the group and the seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64


def limits_of(examples: Sequence[Example]) -> SeenLimits:
    """What the router may speak for, from what it was fitted on."""
    prompts = [example.prompt for example in examples]
    spoken = Counter(language(prompt.question) for prompt in prompts)
    common = {name for name, count in spoken.items() if name and count >= _COMMON_LANGUAGE * len(prompts)}
    return SeenLimits(
        languages=tuple(sorted(common or {"en"})),
        prompt_chars=int(np.quantile([prompt.prompt_chars for prompt in prompts], 0.99)),
        history_turns=max(prompt.history_turns for prompt in prompts),
        tools=max(prompt.tools for prompt in prompts),
        tool_rounds=max(prompt.tool_rounds for prompt in prompts),
        images=max(prompt.images for prompt in prompts),
    )
