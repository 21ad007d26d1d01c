"""The gate's questions: put through the evaluation's runner, kept under STATE/gates, and paid from one purse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from smallfirst.answering.offline import Bench
from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.books import spent_nusd
from smallfirst.evals.runner import Options, Run, Work, run
from smallfirst.evals.store import RunStore
from smallfirst.gate.subject import Subject
from smallfirst.ledger import Notes

Told = Callable[[str, int, int, int], None]
"""Told the step, the answers that are there, how many there will be, and what was spent in it in nano-dollars."""

_WHY = {"money": "its money is spent, see --max-usd", "interrupted": "stopped"}
_STEPS = {"calibration": "calibration", "heldout": "held out"}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`max_nusd` caps what all runs of a gate spend, earlier sessions of them included. `stop` is asked before each question."""

    concurrency: int = 8
    max_nusd: int | None = None
    stop: Callable[[], bool] = lambda: False


class Asking:
    """Asks the arms of one gate's subjects."""

    def __init__(self, state: Path, bench: Bench, notes: Notes, *, limits: Limits, told: Told) -> None:
        self.bench = bench
        self._folder = state / "gates"
        self._notes, self._told = notes, told
        self._limits = limits
        self._spent: dict[str, int] = {}

    async def answers(self, subject: Subject, examples: Sequence[Example], *, part: str, name: str) -> Run:
        """Every arm's answer to every example, asked now or kept from before. Raises `EvalError` where some are missing in the end."""
        work = Work(
            task=subject.task,
            contract=subject.candidate.policy.contract,
            scorer=subject.scorer,
            arms=subject.arms,
            examples=examples,
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = RunStore(self._folder / f"{part}-{name[:24]}")
        # Without the examples: what is held out is shown to nobody.
        store.begin(
            work.manifest(self.bench.simulated, dataset=subject.dataset.id, split=part, margin=subject.margin)
        )
        found = await run(
            work,
            self.bench,
            store=store,
            options=Options(
                concurrency=self._limits.concurrency,
                max_nusd=self._cap(store.name),
                stop=self._limits.stop,
            ),
            settle=self._notes.settle,
            progress=lambda done, total, spent: self._told(
                f"{subject.task}, {_STEPS[part]}", done, total, spent
            ),
        )
        self._spent[store.name] = spent_nusd(found.answers.values())
        if found.missing:
            why = _WHY.get(found.stopped, "somebody did not answer")
            raise EvalError(
                f"task {subject.task!r}: {found.missing} answers are missing ({why}); those that came are kept, and the same command goes on"
            )
        return found

    def _cap(self, name: str) -> int | None:
        if self._limits.max_nusd is None:
            return None
        return max(0, self._limits.max_nusd - sum(spent for run, spent in self._spent.items() if run != name))
