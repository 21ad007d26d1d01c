"""Fits the classifier that takes calls for tasks: `classify.TaskIntents`.

The head is a ridge regression of each task against all others, solved in one step, each task weighing the same. All that is chosen besides (the
temperature, the weight of fingerprints, the scopes and their cuts) is chosen on rows that the head had not seen. What is out of scope is learned
from the rows that are given as such, and from the rows of tasks as classifiers see them that do not know these tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.classify import artifact
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.encoding import vectors
from smallfirst.classify.intents import Intents
from smallfirst.classify.scope import Scope
from smallfirst.classify.task_intents import (
    TaskIntents,
    alone_features,
    fit_to,
    found_by,
    nearness,
    told_features,
    told_scores,
)
from smallfirst.errors import ConfigError
from smallfirst.routing.intent import FittedIntents
from smallfirst.training.scope import fit_scope
from smallfirst.training.task_rows import TaskExample

LEAST = 5  # examples of a task
_FOLDS = 5
_NEARLY_SAME = 0.85  # cosine
_RIDGE = 0.5  # of the vectors' mean variance
_BATCH = 256
_TEMPERATURES = np.geomspace(1, 200, 60)
_FINGERPRINT_WEIGHTS = np.concatenate([[0.0], np.geomspace(1, 60, 40)])
Progress = Callable[[str, int, int], None]


class IntentFit(msgspec.Struct, frozen=True, kw_only=True):
    """The artifact's bytes, and what cross-validation says of it."""

    data: bytes
    fitted: FittedIntents
    report: dict[str, Any]


class _Rows(msgspec.Struct, frozen=True):
    """`task` [n] numbers, -1 out of scope; `system` [n] the number of the system prompt, -1 none; `prompts` their vectors."""

    ids: tuple[str, ...]
    question: np.ndarray
    task: np.ndarray
    system: np.ndarray
    prompts: np.ndarray
    fold: np.ndarray
    tasks: int

    @property
    def inside(self) -> np.ndarray:
        return self.task >= 0

    @property
    def told(self) -> np.ndarray:
        return self.system >= 0


class _Seen(msgspec.Struct):
    """What classifiers say of rows that they did not learn from: raw `scores` and `fits` [n, tasks], `near` [n]."""

    scores: np.ndarray
    near: np.ndarray
    fits: np.ndarray

    @classmethod
    def empty(cls, rows: int, tasks: int) -> _Seen:
        return cls(np.full((rows, tasks), -np.inf), np.zeros(rows), np.full((rows, tasks), np.nan))


def fit_task_intents(
    examples: Sequence[TaskExample], embedder: Embedder, *, seed: int = 0, progress: Progress | None = None
) -> IntentFit:
    """Raises `ConfigError` where there are too few examples to tell anything from anything."""
    began = time.perf_counter()
    told = progress or (lambda *_: None)
    names = _tasks(examples)
    rows = _read(examples, names, embedder, seed, told)
    fresh = _cross_fitted(rows, told)
    strange, swapped = _left_out(rows, fresh, seed, told)
    known, task = fresh.scores[rows.inside], rows.task[rows.inside]
    temperature = _least(_TEMPERATURES, lambda value: _loss(value * known, task))
    for seen in (fresh, strange, swapped):
        seen.scores *= temperature
    weight = _fingerprint_weight(rows, fresh)
    alone = _alone_scope(rows, fresh, strange)
    by_system = _told_scope(rows, fresh, strange, swapped, weight)
    everything = np.ones(len(rows.task), bool)
    kept = np.flatnonzero(_kept(rows, everything))
    fingerprints, owners = _fingerprints(rows, rows.inside)
    head = _head(rows, everything, temperature)
    intents = TaskIntents(
        head=head,
        kept=rows.question[kept],
        fingerprints=fingerprints,
        owners=owners,
        fingerprint_weight=weight,
        alone=alone,
        told=by_system,
    )
    fitted = FittedIntents(
        tasks=names,
        embedder=embedder.name,
        embedder_sha256=embedder.sha256,
        examples=tuple(rows.ids[at] for at in kept),
    )
    header = msgspec.to_builtins(fitted)
    del header["sha256"]
    report = _report(rows, fresh, names, alone, by_system, weight)
    report |= {"embedder": embedder.name, "fit_s": round(time.perf_counter() - began, 3)}
    return IntentFit(data=artifact.pack("intents", header, intents.arrays()), fitted=fitted, report=report)


def _tasks(examples: Sequence[TaskExample]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.task] = counts.get(example.task, 0) + 1
    names = tuple(sorted(name for name in counts if name))
    for name in names:
        if counts[name] < LEAST:
            raise ConfigError(f"task {name!r} has {counts[name]} examples; {LEAST} at least are needed")
    if len(names) + (counts.get("", 0) >= LEAST) < 2:
        raise ConfigError(
            f"nothing to tell apart: give examples of two tasks at least, or of one and {LEAST} that are none of them "
            "(task: null)"
        )
    return names


def _read(
    examples: Sequence[TaskExample],
    names: tuple[str, ...],
    embedder: Embedder,
    seed: int,
    told: Progress,
) -> _Rows:
    prompts = [example.prompt for example in examples]
    parts = []
    for at in range(0, len(prompts), _BATCH):
        told("embedding", at, len(prompts))
        parts.append(vectors(embedder, prompts[at : at + _BATCH]))
    systems = sorted({example.system for example in examples if example.system})
    number = {text: at for at, text in enumerate(systems)} | {"": -1}
    task = np.array([names.index(example.task) if example.task else -1 for example in examples])
    question = np.concatenate(parts).astype(np.float64)
    return _Rows(
        ids=tuple(example.id for example in examples),
        question=question,
        task=task,
        system=np.array([number[example.system] for example in examples]),
        prompts=np.concatenate(
            [embedder.embed([text]) for text in systems] or [np.zeros((0, parts[0].shape[1]))]
        ).astype(np.float64),
        fold=_folds(examples, question, task, seed),
        tasks=len(names),
    )


def _folds(examples: Sequence[TaskExample], question: np.ndarray, task: np.ndarray, seed: int) -> np.ndarray:
    """Each task is spread evenly, and what is nearly the same question never stands on both sides: it would be known too well."""
    rng, fold = np.random.default_rng(seed), np.zeros(len(examples), int)
    for number in np.unique(task):
        rows = np.flatnonzero(task == number)
        texts = [" ".join(examples[at].prompt.question.casefold().split()) for at in rows.tolist()]
        same = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)[1]
        every = (_leaders(question[rows]), same, np.arange(len(rows)))
        groups = next((one for one in every if len(np.unique(one)) > 1), every[-1])
        kinds = np.unique(groups)
        dealt = dict(zip(rng.permutation(kinds).tolist(), range(len(kinds)), strict=True))
        fold[rows] = [dealt[int(group)] % _FOLDS for group in groups]
    return fold


def _leaders(question: np.ndarray) -> np.ndarray:
    """For each row the first one that is nearly the same."""
    leader = np.full(len(question), -1)
    for at in range(len(question)):
        if leader[at] < 0:
            near = (question @ question[at] >= _NEARLY_SAME) & (leader < 0)
            leader[near] = at
            leader[at] = at
    return leader


def _head(rows: _Rows, used: np.ndarray, temperature: float = 1.0) -> Intents:
    """Ridge regression of one against all, in closed form; rows out of scope are as one more task, which has no score."""
    points, task = rows.question[used], rows.task[used]
    counts = np.bincount(task + 1, minlength=rows.tasks + 1)
    weights = 1 / counts[task + 1]
    weights /= weights.sum()
    centre = weights @ points
    moved = points - centre
    target = (task[:, None] == np.arange(rows.tasks)).astype(np.float64)
    means = weights @ target
    spread = moved.T @ (moved * weights[:, None])
    spread += (_RIDGE * np.trace(spread) / len(spread) + 1e-12) * np.eye(len(spread))
    solved = np.linalg.solve(spread, moved.T @ ((target - means) * weights[:, None]))
    return Intents(centre, temperature * solved, temperature * means)


def _see(rows: _Rows, used: np.ndarray, asked: np.ndarray, into: _Seen) -> None:
    """What a classifier of the rows `used` says of the rows `asked`."""
    into.scores[asked] = _head(rows, used).scores(rows.question[asked])
    absent = np.setdiff1d(np.arange(rows.tasks), rows.task[used])
    into.scores[np.ix_(np.flatnonzero(asked), absent)] = -np.inf
    into.near[asked] = nearness(rows.question[_kept(rows, used)], rows.question[asked])
    fingerprints, owners = _fingerprints(rows, used & rows.inside)
    told = asked & rows.told
    if len(owners) and told.any():
        into.fits[told] = fit_to(fingerprints, owners, rows.prompts[rows.system[told]], rows.tasks)


def _cross_fitted(rows: _Rows, told: Progress) -> _Seen:
    seen = _Seen.empty(len(rows.task), rows.tasks)
    for fold in range(_FOLDS):
        told("cross-fitting", fold, _FOLDS)
        outside = rows.fold == fold
        if outside.any():
            _see(rows, ~outside, outside, seen)
    return seen


def _left_out(rows: _Rows, fresh: _Seen, seed: int, told: Progress) -> tuple[_Seen, _Seen]:
    """Rows of tasks as classifiers see them that do not know these tasks; and known questions under the system prompts of such tasks."""
    strange = _Seen.empty(len(rows.task), rows.tasks)
    swapped = _Seen(fresh.scores.copy(), fresh.near.copy(), np.full_like(fresh.fits, np.nan))
    if rows.tasks < 2:
        return strange, swapped
    rng = np.random.default_rng(seed)
    groups = min(_FOLDS, rows.tasks)
    for group in range(groups):
        told("leaving tasks out", group, groups)
        out = rows.inside & (rows.task % groups == group)
        _see(rows, ~out, out, strange)
        fingerprints, owners = _fingerprints(rows, ~out & rows.inside)
        known = rows.system[~out & rows.inside & rows.told]
        foreign = np.setdiff1d(rows.system[out & rows.told], known)
        asked = ~out & rows.inside & rows.told & np.isnan(swapped.fits).all(axis=1)
        if len(owners) and len(foreign) and asked.any():
            prompts = rows.prompts[rng.choice(foreign, int(asked.sum()))]
            swapped.fits[asked] = fit_to(fingerprints, owners, prompts, rows.tasks)
    return strange, swapped


def _loss(scores: np.ndarray, task: np.ndarray) -> float:
    """The mean log loss of rows in scope."""
    right = scores[np.arange(len(scores)), task]
    most = scores.max(axis=1)
    return float(np.mean(most + np.log(np.exp(scores - most[:, None]).sum(axis=1)) - right))


def _least(values: np.ndarray, loss: Callable[[float], float]) -> float:
    return float(min(values, key=loss))


def _fingerprint_weight(rows: _Rows, fresh: _Seen) -> float:
    used = rows.inside & rows.told & ~np.isnan(fresh.fits).all(axis=1)
    used &= ~np.isnan(fresh.fits[np.arange(len(rows.task)), rows.task])
    if not used.any():
        return 0.0
    scores, fits = fresh.scores[used], fresh.fits[used]
    return _least(
        _FINGERPRINT_WEIGHTS, lambda weight: _loss(told_scores(scores, fits, weight), rows.task[used])
    )


def _alone_scope(rows: _Rows, fresh: _Seen, strange: _Seen) -> Scope:
    inside = alone_features(fresh.scores[rows.inside], fresh.near[rows.inside])
    given = alone_features(fresh.scores[~rows.inside], fresh.near[~rows.inside])
    left = np.flatnonzero(np.isfinite(strange.scores).sum(axis=1) + (~rows.inside).any() >= 2)
    outside = np.concatenate([given, alone_features(strange.scores[left], strange.near[left])])
    if len(outside):
        return fit_scope(inside, outside, judged=given)
    # Two tasks and nothing else: left alone, one has no score that says anything, so only nearness does.
    near = strange.near[rows.inside][:, None] * [0.0, 1.0]
    return fit_scope(inside * [0.0, 1.0], near, judged=given)


def _told_scope(rows: _Rows, fresh: _Seen, strange: _Seen, swapped: _Seen, weight: float) -> Scope | None:
    """Of calls with a system prompt; None where the examples have none, or no other than one task's to compare it with."""

    def features(seen: _Seen, wanted: np.ndarray) -> np.ndarray:
        wanted = wanted & np.isfinite(told_scores(seen.scores, seen.fits, weight)).any(axis=1)
        scores, fits = np.where(np.isfinite(seen.scores), seen.scores, -1e3)[wanted], seen.fits[wanted]
        return told_features(scores, seen.near[wanted], fits, told_scores(scores, fits, weight))

    inside = features(fresh, rows.inside & rows.told)
    outside = np.concatenate(
        [
            features(fresh, ~rows.inside & rows.told),
            features(strange, rows.inside & rows.told),
            features(swapped, rows.inside & rows.told),
        ]
    )
    if len(inside) < LEAST or not len(outside):
        return None
    return fit_scope(inside, outside, judged=outside)


def _fingerprints(rows: _Rows, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different system prompts of each task, the most frequent first and bounded in number, and whose each is."""
    prompts, owners = [], []
    for task in range(rows.tasks):
        numbers, counts = np.unique(rows.system[used & rows.told & (rows.task == task)], return_counts=True)
        chosen = numbers[np.argsort(-counts, kind="stable")][: limits.MAX_TASK_FINGERPRINTS]
        prompts.append(rows.prompts[chosen])
        owners.append(np.full(len(chosen), task))
    return np.concatenate(prompts), np.concatenate(owners)


def _kept(rows: _Rows, used: np.ndarray) -> np.ndarray:
    """Which rows' vectors are kept: all in scope, or as many of each task as there is room for."""
    kept = used & rows.inside
    if kept.sum() <= limits.MAX_INTENT_EXAMPLES:
        return kept
    share = max(1, limits.MAX_INTENT_EXAMPLES // rows.tasks)
    parts = [np.flatnonzero(kept & (rows.task == task))[:share] for task in range(rows.tasks)]
    thinned = np.zeros(len(kept), bool)
    thinned[np.concatenate(parts)] = True
    return thinned


def _report(
    rows: _Rows, fresh: _Seen, names: tuple[str, ...], alone: Scope, by_system: Scope | None, weight: float
) -> dict[str, Any]:
    """What the cross-validated classifiers said of the rows, each as it was sent, and all of them by their questions alone."""
    by_question = found_by(alone, alone_features(fresh.scores, fresh.near), fresh.scores)
    taken, best = by_question.taken.copy(), by_question.tasks.argmax(axis=1)
    if by_system is not None:
        told = np.flatnonzero(rows.told & ~np.isnan(fresh.fits).all(axis=1))
        scores = told_scores(fresh.scores[told], fresh.fits[told], weight)
        features = told_features(fresh.scores[told], fresh.near[told], fresh.fits[told], scores)
        found = found_by(by_system, features, scores)
        taken[told], best[told] = found.taken, found.tasks.argmax(axis=1)
    whole = _figures(rows, taken, best)
    return {
        "tasks": list(names),
        "examples": int(rows.inside.sum()),
        "out_of_scope": int((~rows.inside).sum()),
        **whole,
        "question_alone": _figures(rows, by_question.taken, by_question.tasks.argmax(axis=1)),
        "by_task": {name: _of_task(rows, at, taken, best) for at, name in enumerate(names)},
        "system_prompts": bool(by_system),
    }


def _figures(rows: _Rows, taken: np.ndarray, best: np.ndarray) -> dict[str, float | None]:
    """`accuracy`: the likeliest task is right; `kept`: a task was taken; `right`: and it was right; all of the rows in scope."""
    inside = rows.inside
    return {
        "accuracy": _share(best[inside] == rows.task[inside]),
        "kept": _share(taken[inside] >= 0),
        "right": _share(taken[inside] == rows.task[inside]),
        "oos_recall": _share(taken[~inside] < 0),
    }


def _of_task(rows: _Rows, task: int, taken: np.ndarray, best: np.ndarray) -> dict[str, Any]:
    of = rows.task == task
    return {
        "examples": int(of.sum()),
        "with_system_prompt": int((of & rows.told).sum()),
        "accuracy": _share(best[of] == task),
        "kept": _share(taken[of] >= 0),
    }


def _share(values: np.ndarray) -> float | None:
    return round(float(np.mean(values)), 6) if len(values) else None
