"""Second looks: fitted on the answers of the training part, and what they say of answers that they did not see."""

from __future__ import annotations

import numpy as np

from smallfirst.classify.calibrated import Calibrated
from smallfirst.routing.second_look import FEATURES, features
from smallfirst.routing.thresholds import UNKNOWN
from smallfirst.training.logistic import fit_calibrated, folds
from smallfirst.training.outcomes import signals_of
from smallfirst.training.source import Figures, FittedRouter, Read
from smallfirst.training.table import Seen

_FOLDS = 5


def fit_looks(train: Read, adequate: np.ndarray, *, seed: int) -> dict[int, Calibrated]:
    """A second look for every rung but the last, fitted on answers given alone and, above the first rung, after another's."""
    found = {}
    for rung in range(len(train.ladder) - 1):
        rows, target = _look_rows(train, adequate, rung)
        found[rung] = fit_calibrated(rows, target, seed=seed)
    return found


def seen_in_training(train: Read, crossed: Figures, *, looks: bool, seed: int) -> Seen:
    """What the router would have said of its own training rows, by second looks that did not see them."""
    if not looks:
        return seen_of(train, crossed.adequate, crossed.uplift, {})
    accept, after = np.zeros_like(train.worth.score[:, :-1]), np.zeros_like(train.worth.score[:, :-1])
    for inside, outside in folds(len(train.examples), _FOLDS, seed=seed + 1):
        part_looks = fit_looks(train.part(inside), crossed.adequate[inside], seed=seed)
        part = seen_of(train.part(outside), crossed.adequate[outside], crossed.uplift[outside], part_looks)
        accept[outside], after[outside] = part.accept, part.accept_after
    return Seen(uplift=crossed.uplift[:, :-1], accept=accept, accept_after=after)


def seen_of(read: Read, adequate: np.ndarray, uplift: np.ndarray, looks: dict[int, Calibrated]) -> Seen:
    """The router's numbers for examples whose answers are known."""
    accept, after = adequate[:, :-1].copy(), adequate[:, :-1].copy()
    for rung, look in looks.items():
        accept[:, rung] = look.probability(_answers(read, adequate, rung, after=False))
        after[:, rung] = look.probability(_answers(read, adequate, rung, after=True))
    return Seen(uplift=uplift[:, :-1], accept=accept, accept_after=after)


def seen_by(router: FittedRouter, read: Read, looks: dict[int, Calibrated]) -> Seen:
    """The numbers of the router as it will serve: what it holds to be unknown goes to the frontier here too."""
    judgements = router.judge_all([example.prompt for example in read.examples], read.numbers)
    rungs = len(read.ladder)
    adequate = np.array([judgement.adequate for judgement in judgements]).reshape(-1, rungs)
    uplift = np.array(
        [(UNKNOWN,) * rungs if judgement.unknown else judgement.uplift for judgement in judgements]
    ).reshape(-1, rungs)
    return seen_of(read, adequate, uplift, looks)


def _look_rows(train: Read, adequate: np.ndarray, rung: int) -> tuple[np.ndarray, np.ndarray]:
    rows = [_answers(train, adequate, rung, after=after) for after in ((False, True) if rung else (False,))]
    return np.concatenate(rows), np.tile(train.worth.score[:, rung], len(rows))


def _answers(read: Read, adequate: np.ndarray, rung: int, *, after: bool) -> np.ndarray:
    """The features of a second look at this rung's answers; `after`: where the rung below had answered too."""
    rows = np.zeros((len(read.examples), len(FEATURES)))
    for at, example in enumerate(read.examples):
        outcome = example.row.outcomes[read.ladder[rung]]
        below = example.row.outcomes[read.ladder[rung - 1]] if after and rung else None
        rows[at] = features(float(adequate[at, rung]), signals_of(outcome, below))
    return rows
