"""The gate's questions: put through the evaluation's runner, kept under STATE/gates, and paid from one purse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from smallfirst.answering.offline import Bench
from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.books import Books, spent_nusd
from smallfirst.evals.runner import Options, Run, Work, run
from smallfirst.evals.store import RunStore
from smallfirst.evals.till import Till
from smallfirst.gate.earlier import earlier_answers, take_over
from smallfirst.gate.probes import Paying, probe
from smallfirst.gate.subject import Subject
from smallfirst.ledger import Notes
from smallfirst.releases import RungPolicy

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
        self._state, self._folder = state, state / "gates"
        self._notes, self._told = notes, told
        self._limits = limits
        self._spent: dict[str, int] = {}

    async def answers(self, subject: Subject, examples: Sequence[Example], *, part: str, name: str) -> Run:
        """Every arm's answer to every example, asked now or kept from before; of calibration, taken over from evaluations too.

        Raises `EvalError` where some are missing in the end.
        """
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
        paid = 0
        if part == "calibration":
            paid = take_over(store, earlier_answers(self._state, subject, examples))
        found = await run(
            work,
            self.bench,
            store=store,
            options=Options(
                concurrency=self._limits.concurrency,
                max_nusd=self._cap(store.name, paid),
                stop=self._limits.stop,
            ),
            settle=self._notes.settle,
            progress=lambda done, total, spent: self._told(
                f"{subject.task}, {_STEPS[part]}", done, total, spent
            ),
        )
        self._spent[store.name] = spent_nusd(found.answers.values()) - paid
        if found.missing:
            why = _WHY.get(found.stopped, "somebody did not answer")
            raise EvalError(
                f"task {subject.task!r}: {found.missing} answers are missing ({why}); those that came are kept, and the same command goes on"
            )
        return found

    async def probed(self, subject: Subject, rung: RungPolicy, probes: Sequence[Example]) -> str:
        """As `probes.probe`, paid from the same purse."""
        till = Till(self._cap("probes"), spent_nusd=self._spent.get("probes", 0))
        paying = Paying(till, Books(subject.task, self._notes.settle, (), {}))
        try:
            return await probe(subject.candidate.policy, rung, probes, self.bench, paying)
        finally:
            self._spent["probes"] = till.spent_nusd

    def _cap(self, name: str, paid: int = 0) -> int | None:
        """What this run may have cost in the end: what is left, and what was `paid` for its answers before."""
        if self._limits.max_nusd is None:
            return None
        others = sum(spent for run, spent in self._spent.items() if run != name)
        return max(0, self._limits.max_nusd - others) + paid
