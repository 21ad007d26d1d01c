"""Examples put to arms: each question asked once, each answer kept as it comes, whatever happens to the process.

Knows no dataset, no configuration file and no command line: who calls has loaded the examples and opened the models
(`answering.offline.open_bench`), and says where the answers go.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

import smallfirst
from smallfirst.answering.check import compile_check
from smallfirst.answering.offline import Bench
from smallfirst.contracts import Contract
from smallfirst.datasets.example import Example
from smallfirst.errors import (
    BadRequest,
    BudgetExceeded,
    EvalError,
    ScorerError,
    UpstreamRefused,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from smallfirst.evals.arm import Arm, check_names
from smallfirst.evals.books import Books, Settle, spent_nusd
from smallfirst.evals.judging import judging
from smallfirst.evals.question import Told, ask, at_most_nusd, request_of
from smallfirst.evals.store import Answered, Appender, ArmTold, Manifest, RunStore, examples_hash
from smallfirst.evals.till import Till, TillPurse
from smallfirst.ledger.call_id import new_call_id
from smallfirst.models.model import Model
from smallfirst.scoring.scorer import Scorer
from smallfirst.wire.incoming import Incoming

_AT_ONCE = {
    "embedded": 2,
    "head": 1,
}  # its server's slots, this process: more would only wait, and be timed waiting
_MOST_FAILURES = 10  # of an arm in a row
_POLL_S = 0.05
_NOT_THIS_TEXT = (400, 413, 422)  # refused for what the text is
_NOT_EVER = (401, 403, 404)  # refused for what the configuration is

Progress = Callable[[int, int, int], None]
"""Told the answers that are there, how many there will be, and what was spent in this session in nano-dollars."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared: every example is put to every arm. Raises `EvalError` at `run` where names are not unique."""

    task: str
    contract: Contract
    scorer: Scorer
    arms: Sequence[Arm]
    examples: Sequence[Example]

    def manifest(self, pretend: frozenset[str] = frozenset(), **beside: Any) -> Manifest:
        """How the run describes itself. `pretend`: models that are simulated; `beside`: dataset, split, by, note, margin, reference, slices."""
        arms = tuple(
            ArmTold(
                name=arm.name,
                policy=arm.policy.answers_hash,
                models=arm.models,
                release=arm.release,
                baseline=arm.baseline,
                simulated=tuple(name for name in arm.models if name in pretend),
            )
            for arm in self.arms
        )
        told = Manifest(
            task=self.task,
            arms=arms,
            scorer=self.scorer.id,
            examples=examples_hash(self.examples),
            count=len(self.examples),
            at_ms=int(time.time() * 1000),
            version=smallfirst.__version__,
            contract=msgspec.to_builtins(self.contract),
        )
        return msgspec.structs.replace(told, **beside)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`concurrency`: how many questions a model is put at once, where it does not say less. `max_nusd` caps what the run spends in all,
    earlier sessions included. `patience_s`: how long a model that is not there is waited for. `stop` is asked before each question.
    """

    concurrency: int = 8
    max_nusd: int | None = None
    patience_s: float = 30.0
    stop: Callable[[], bool] = lambda: False


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a run. `stopped` says why it is not whole: "interrupted", "money", "failures"; empty where it is."""

    manifest: Manifest
    examples: tuple[str, ...]  # ids, in their order
    answers: Mapping[tuple[str, str], Answered]
    stopped: str = ""

    def of(self, arm: str) -> list[Answered | None]:
        """The arm's answers in the examples' order; None where there is none yet."""
        return [self.answers.get((arm, example)) for example in self.examples]

    @property
    def missing(self) -> int:
        """Answers that are not there, were given by nobody, or have no score yet."""
        found = (self.answers.get((arm.name, name)) for arm in self.manifest.arms for name in self.examples)
        return sum(answer is None or not answer.settled for answer in found)


def read_run(store: RunStore, examples: Sequence[Example]) -> Run:
    """A run as it lies on the disk."""
    return Run(
        manifest=store.manifest(), examples=tuple(example.id for example in examples), answers=store.read()
    )


async def run(
    work: Work,
    bench: Bench,
    *,
    store: RunStore,
    options: Options | None = None,
    settle: Settle | None = None,
    progress: Progress = lambda *_: None,
) -> Run:
    """Asks what the store has no answer to. Begins the store's run where the caller has not.

    `settle` writes answered calls to the ledger (`Notes.settle`). Raises `EvalError` where an arm cannot be asked, two arms or examples
    have one name, or a cap is set and a price unknown; `StateError` where the ledger cannot be written. What was answered is kept.
    """
    check_names(work.arms)
    _check_examples(work.examples)
    store.begin(work.manifest(bench.simulated))
    answers = store.read()
    with store.appending() as file:
        session = _Session(work, bench, answers, file, options or Options(), settle, progress)
        await session.work()
    found = Run(
        manifest=store.manifest(),
        examples=tuple(example.id for example in work.examples),
        answers=answers,
        stopped=session.stopped,
    )
    if not found.missing:
        store.finish()
    elif not found.stopped:
        found = msgspec.structs.replace(found, stopped="failures")
    return found


class _Session:
    """One process's work on a run."""

    def __init__(
        self,
        work: Work,
        bench: Bench,
        answers: dict[tuple[str, str], Answered],
        file: Appender,
        options: Options,
        settle: Settle | None,
        progress: Progress,
    ) -> None:
        self.stopped = ""
        self._work, self._bench, self._options = work, bench, options
        self._answers, self._file, self._progress = answers, file, progress
        self._books = Books(work.task, settle, answers.values(), {arm.name: arm for arm in work.arms})
        self._till = Till(options.max_nusd, spent_nusd=spent_nusd(answers.values()))
        self._before_nusd = self._till.spent_nusd
        self._check = compile_check(work.contract)
        self._places: dict[str, asyncio.Semaphore] = {}
        self._failures: dict[str, int] = {}

    async def work(self) -> None:
        """All arms side by side: what is compared was asked in the same minutes."""
        self._tell()
        try:
            async with asyncio.TaskGroup() as group:
                for arm in self._work.arms:
                    waiting = iter([example for example in self._work.examples if self._open(arm, example)])
                    for _ in range(min(map(self._room, self._models(arm)))):
                        group.create_task(self._put_all(arm, waiting))
        except ExceptionGroup as errors:  # the first ends the others
            raise errors.exceptions[0] from None
        finally:
            await self._books.close()

    def _open(self, arm: Arm, example: Example) -> bool:
        known = self._answers.get((arm.name, example.id))
        return known is None or not known.settled

    async def _put_all(self, arm: Arm, waiting: Iterator[Example]) -> None:
        for example in waiting:  # shared: each takes the next one
            if self._stops():
                return
            await self._put(arm, example)
            self._tell()

    def _stops(self) -> bool:
        if not self.stopped and self._options.stop():
            self.stopped = "interrupted"
        return bool(self.stopped)

    async def _put(self, arm: Arm, example: Example) -> None:
        known = self._answers.get((arm.name, example.id))
        if known is None or known.failed_by == "outside":
            known = await self._ask(arm, example)
            if known is None:
                return
        if not known.error:
            known = await self._score(known, example)
        self._keep(known)
        await self._books.note(known)
        self._count(arm, known)

    async def _ask(self, arm: Arm, example: Example) -> Answered | None:
        """The answer, not scored; None where there is no money left for it."""
        answerer = self._bench.answerer
        incoming = _request(arm, example, self._work.contract, self._bench)
        at_most = at_most_nusd(incoming, arm, answerer, TillPurse(self._till))
        if at_most is None and self._options.max_nusd is not None:
            raise EvalError(
                f"what {arm.name} may cost is unknown: a model of it has no price, so a cap cannot be kept"
            )
        aside = at_most or 0
        async with self._place(arm):
            if self._stops():  # while it waited
                return None
            if not await self._till.admit(aside):
                self.stopped = "money"
                return None
            purse = TillPurse(self._till, aside)
            at_ms = int(time.time() * 1000)
            call = new_call_id(at_ms)
            try:
                told = await ask(
                    incoming,
                    arm,
                    answerer=answerer,
                    router=self._bench.router(arm.policy),
                    check=self._check,
                    purse=purse,
                    finder=answerer.finder(example.tenant, leave_out=example.id),
                )
            except BudgetExceeded:
                self.stopped = "money"
                await self._books.lost(arm, example, call, at_ms, purse.attempts)
                return None
            except BaseException:
                self._books.lost_now(arm, example, call, at_ms, purse.attempts)
                raise
            finally:
                await self._till.close(aside)
        return _answered(told, arm, example, call=call, at_ms=at_ms, purse=purse)

    async def _score(self, answer: Answered, example: Example) -> Answered:
        """The answer with its score; without one, and the reason, where the scorer fails: it is scored when the run goes on."""
        with judging(self._till) as spent:
            try:
                score = await self._work.scorer.score(
                    answer.output, example.reference, messages=example.messages
                )
            except (ScorerError, BudgetExceeded) as error:
                if spent.broke:
                    self.stopped = "money"
                await self._books.beside(spent.attempts, {"by": "judge", "of": answer.call})
                return msgspec.structs.replace(answer, score=None, note=str(error))
        await self._books.beside(spent.attempts, {"by": "judge", "of": answer.call})
        return msgspec.structs.replace(
            answer,
            score=score.value,
            parts=dict(score.parts),
            note=score.note,
            judge_nusd=spent.cost_nusd,
        )

    def _keep(self, answer: Answered) -> None:
        self._file.add(answer)
        self._answers[answer.arm, answer.example] = answer

    def _count(self, arm: Arm, answer: Answered) -> None:
        """Gives an arm up that does nothing but fail."""
        if not answer.error and answer.score is not None:
            self._failures[arm.name] = 0
            return
        if self.stopped:
            return
        status = answer.attempts[-1].http_status if answer.error and answer.attempts else 0
        if status in _NOT_EVER:
            raise EvalError(f"{answer.model} refuses to answer ({status}): {answer.error}")
        self._failures[arm.name] = self._failures.get(arm.name, 0) + 1
        if self._failures[arm.name] >= _MOST_FAILURES:
            raise EvalError(
                f"{arm.name} has failed {_MOST_FAILURES} times in a row, the last time: {answer.error or answer.note}"
            )

    @contextlib.asynccontextmanager
    async def _place(self, arm: Arm) -> AsyncIterator[None]:
        """A place at each model that the arm may ask: one that is full, or down, would be passed over, which is not what is measured."""
        async with contextlib.AsyncExitStack() as stack:
            models = sorted(
                self._models(arm), key=lambda model: model.name
            )  # in one order: nobody waits in a circle
            for model in models:
                place = self._places.setdefault(model.name, asyncio.Semaphore(self._room(model)))
                await stack.enter_async_context(place)
            for model in models:
                await self._there(model)
            yield

    async def _there(self, model: Model) -> None:
        """Waits until one of the model's endpoints may be asked. Raises `EvalError` where none is for longer than there is patience."""
        patient_until_s = time.monotonic() + self._options.patience_s
        while not model.endpoints.usable:
            if time.monotonic() > patient_until_s:
                raise EvalError(
                    f"{model.name} cannot be asked: no endpoint is ready, or each has failed again and again; "
                    "what was answered is kept"
                )
            await asyncio.sleep(_POLL_S)

    def _models(self, arm: Arm) -> list[Model]:
        return [self._bench.answerer.catalogue.get(name) for name in arm.models]

    def _room(self, model: Model) -> int:
        most = min(self._options.concurrency, _AT_ONCE.get(model.kind, self._options.concurrency))
        return max(1, min(most, model.concurrency or most))

    def _tell(self) -> None:
        there = sum(answer.settled for answer in self._answers.values())
        total = len(self._work.arms) * len(self._work.examples)
        self._progress(there, total, self._till.spent_nusd - self._before_nusd)


def _request(arm: Arm, example: Example, contract: Contract, bench: Bench) -> Incoming:
    try:
        return request_of(example, arm, contract, bench.answerer)
    except BadRequest as error:
        raise EvalError(f"example {example.id}: {error.message}") from error


def _answered(told: Told, arm: Arm, example: Example, *, call: str, at_ms: int, purse: TillPurse) -> Answered:
    error = told.error
    failed_by = ""
    if error is not None:
        failed_by = _failed_by(error)
    return Answered(
        arm=arm.name,
        example=example.id,
        call=call,
        at_ms=at_ms,
        output=told.output,
        error="" if error is None else error.message,
        failed_by=failed_by,
        score=None if error is None else 0.0,
        unmet=told.unmet,
        model=told.model,
        rung=told.rung,
        rungs=len(arm.policy.ladder),
        latency_ms=told.latency_ms,
        ttft_ms=told.ttft_ms,
        cost_nusd=purse.cost_nusd,
        tool_calls=told.tool_calls,
        confidence=told.confidence,
        truncated=told.truncated,
        refused=told.refused,
        decision=told.decision,
        attempts=tuple(purse.attempts),
    )


def _failed_by(error: Exception) -> str:
    """Whose failure it is: the model's own counts as its answer, others are asked again."""
    if isinstance(error, UpstreamRefused):
        return "model" if error.status in _NOT_THIS_TEXT else "outside"
    return "outside" if isinstance(error, (UpstreamUnreachable, UpstreamUnavailable)) else "model"


def _check_examples(examples: Sequence[Example]) -> None:
    if not examples:
        raise EvalError("there are no examples to evaluate on")
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise EvalError(f"two examples are called {example.id!r}: each needs an id of its own")
        seen.add(example.id)
