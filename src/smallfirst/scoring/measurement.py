"""What was measured of a judge: people's scores beside its own, for the same answers.

    STATE/judges/<64 hex digits>.json     one measurement; its name is the SHA-256 of the file

Without texts: ids and scores alone. The gate takes a judge's word only with a measurement of exactly its scorer, and corrects it by these
pairs (`correction.py`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smallfirst.errors import ScorerError

_NAME = re.compile(r"[0-9a-f]{64}")


class Pair(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer, scored by both, in [0, 1]. `example` names what was asked, `model` who answered it."""

    example: str
    human: float
    judge: float
    model: str = ""
    group: str = ""


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scorer` is the judge's `Scorer.id`: another prompt, rubric or model needs another measurement."""

    task: str
    scorer: str
    model: str  # who judged, as the configuration calls it
    pairs: tuple[Pair, ...]
    at_ms: int
    position_bias: float | None = None  # of comparisons: the share of contradictions
    unreadable: int = 0  # answers of which the judge gave no verdict
    cost_nusd: int | None = None  # None: a price is unknown
    source: str = ""  # where people's scores are from
    format: int = 1

    def scores(self, model: str | None = None) -> tuple[list[float], list[float]]:
        """People's scores and the judge's, of all answers or of one model's."""
        pairs = [pair for pair in self.pairs if model in (None, pair.model)]
        return [pair.human for pair in pairs], [pair.judge for pair in pairs]

    def differences(self, one: str, other: str) -> tuple[list[float], list[float]]:
        """score(one) − score(other) by people and by the judge, of the examples that both models answered."""
        others = {pair.example: pair for pair in self.pairs if pair.model == other}
        paired = [
            (pair, others[pair.example])
            for pair in self.pairs
            if pair.model == one and pair.example in others
        ]
        return [a.human - b.human for a, b in paired], [a.judge - b.judge for a, b in paired]


class Measured(msgspec.Struct, frozen=True):
    """A measurement and its name."""

    id: str
    measurement: Measurement


class Measurements:
    """The measurements of one state directory."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "judges"

    def save(self, measurement: Measurement) -> str:
        """Its name. The file is written whole or not at all, and readable by its owner alone."""
        data = msgspec.json.format(msgspec.json.encode(measurement), indent=1)
        name = hashlib.sha256(data).hexdigest()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self.folder / f".{name}.{os.getpid()}"
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.folder / f"{name}.json")
        except BaseException:  # a full disk, Ctrl-C: nothing half is left behind
            partial.unlink(missing_ok=True)
            raise
        return name

    def find(self, prefix: str) -> Measured:
        """The one whose name begins so. Raises `ScorerError` where there is none, or more than one, or it was altered."""
        names = self._names()
        found = [name for name in names if name.startswith(prefix)]
        if len(found) != 1:
            known = ", ".join(name[:12] for name in names) or "none; `smallfirst judge measure` makes one"
            what = "no measurement begins" if not found else f"{len(found)} measurements begin"
            raise ScorerError(f"{what} with {prefix[:64]!r} (known: {known})")
        return self._read(found[0])

    def newest(self, task: str, scorer: str | None = None) -> Measured | None:
        """What was measured last for a task, of the scorer with that id; None where nothing was."""
        return next(
            (one for one in self.list(task) if scorer in (None, one.measurement.scorer)),
            None,
        )

    def list(self, task: str | None = None) -> list[Measured]:
        """The measurements of a task, or all, newest first. Raises `ScorerError` where one cannot be read."""
        read = [self._read(name) for name in self._names()]
        wanted = [one for one in read if task in (None, one.measurement.task)]
        return sorted(wanted, key=lambda one: (one.measurement.at_ms, one.id), reverse=True)

    def _names(self) -> Sequence[str]:
        if not self.folder.is_dir():
            return []
        return sorted(path.stem for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem))

    def _read(self, name: str) -> Measured:
        path = self.folder / f"{name}.json"
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != name:
                raise ScorerError(f"{path} is not what its name says: it was altered; measure again")
            return Measured(name, msgspec.json.decode(data, type=Measurement))
        except (OSError, msgspec.DecodeError) as error:
            raise ScorerError(f"{path} cannot be read: {error}") from error
