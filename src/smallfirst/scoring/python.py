"""A scorer of the user's own: a callable in the entry point group `smallfirst.scorers`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from smallfirst.errors import ScorerError
from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.scorer import Score

GROUP = "smallfirst.scorers"


class PythonScorer:
    """Implements `Scorer` by `callable(output, reference, messages) -> float | Score`, which may be async. Its `id` has the version of the
    package that gives it: a scorer that changes without a new version changes unseen.
    """

    def __init__(self, name: str) -> None:
        """Raises `ScorerError` where no such entry point is installed, or it cannot be loaded."""
        point = _find(name)
        try:
            found = point.load()
        except Exception as error:  # its module is the user's code, and may fail in any way
            raise ScorerError(f"scorer.entry_point: {name!r} cannot be loaded: {error!r}") from error
        if not callable(found):
            raise ScorerError(f"scorer.entry_point: {name!r} is no callable")
        self._name = name
        self._callable: Callable[..., Any] = found
        package = point.dist
        made = (
            {"value": point.value, "package": package.name, "version": package.version}
            if package
            else {"value": point.value}
        )
        self.id = scorer_id(f"python:{name}", 1, made)

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """Raises `ScorerError` that names the entry point where it fails, or returns something else than a score in [0, 1]."""
        try:
            found = self._callable(output, reference, messages)
            if inspect.isawaitable(found):
                found = await found
        except Exception as error:  # the user's code may fail in any way
            raise ScorerError(f"the scorer {self._name!r} failed: {error!r}") from error
        score = found if isinstance(found, Score) else Score(_number(found, self._name))
        if not 0 <= _number(score.value, self._name) <= 1:
            raise ScorerError(f"the scorer {self._name!r} returned {score.value!r}, and a score is in [0, 1]")
        return score

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        """What its own `summary(outputs, references)` returns, where the callable has one."""
        own = getattr(self._callable, "summary", None)
        if own is None:
            return {}
        try:
            return {str(name): float(value) for name, value in own(outputs, references).items()}
        except Exception as error:  # the user's code may fail in any way
            raise ScorerError(f"the summary of the scorer {self._name!r} failed: {error!r}") from error


def _find(name: str) -> EntryPoint:
    points = entry_points(group=GROUP)
    if not name:
        raise ScorerError('scorer.entry_point: scorer.kind = "python" needs the name of one')
    if name not in points.names:
        known = ", ".join(sorted(points.names)) or "none is"
        raise ScorerError(
            f"scorer.entry_point: no {name!r} is installed in the group {GROUP} (installed: {known})"
        )
    return points[name]


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ScorerError(f"the scorer {name!r} returned {value!r}, and a score is a number in [0, 1]")
    return number
