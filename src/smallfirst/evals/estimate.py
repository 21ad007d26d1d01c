"""What a run will cost, before anything is asked: from prices, the sizes of its prompts, and what earlier answers were like."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.chat import Usage
from smallfirst.config.schema import Config
from smallfirst.datasets.example import Example
from smallfirst.evals.arm import Arm
from smallfirst.evals.judging import ANSWER_TOKENS, JudgeAsk
from smallfirst.evals.runner import Work
from smallfirst.evals.store import Answered
from smallfirst.ledger import Ledger, store
from smallfirst.pricing import Price, PriceBook

_BYTES_PER_TOKEN = 4
_LEAST_OUTPUT_TOKENS = 8
_JUDGE_PROMPT_BYTES = 1500  # of its instructions

History = Callable[[str, str], int | None]
"""From a task and a model to the tokens of a usual answer; None where there was none: `Queries.output_tokens_quantile` at ½."""


class ArmEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """`calls` are those that are still to be made. `usd` is what is expected, `at_most_usd` what cannot be passed but by answers without a
    limit of their own; both None where a price is unknown. `pretend`: nobody is paid, its models are simulated."""

    arm: str
    calls: int
    usd: float | None
    at_most_usd: float | None
    pretend: bool


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """All arms together, the judge among them."""

    arms: tuple[ArmEstimate, ...]

    @property
    def calls(self) -> int:
        return sum(one.calls for one in self.arms)

    @property
    def usd(self) -> float | None:
        return _sum([one.usd for one in self.arms])

    @property
    def at_most_usd(self) -> float | None:
        return _sum([one.at_most_usd for one in self.arms])

    @property
    def real_usd(self) -> float | None:
        """What is expected to be paid to somebody; None where that is unknown."""
        return _sum([one.usd for one in self.arms if not one.pretend])


def estimate(
    work: Work,
    config: Config,
    *,
    answers: Mapping[tuple[str, str], Answered],
    judge: JudgeAsk | None = None,
    history: History = lambda task, model: None,
) -> Estimate:
    """What is still to be asked, and what it costs: each rung of a ladder once, since who will climb is not known before."""
    book, today = PriceBook(config), datetime.datetime.now(datetime.UTC).date()
    found = []
    judged = 0
    for arm in work.arms:
        open_ = [example for example in work.examples if _unasked(answers.get((arm.name, example.id)))]
        judged += sum(_unscored(answers.get((arm.name, example.id))) for example in work.examples)
        found.append(_arm(arm, open_, config, lambda name: _price(book, config, name, today), history))
    if judge is not None and judged:
        found.append(_judge(judge, work, judged, config, _price(book, config, judge.model, today)))
    return Estimate(arms=tuple(found))


def _arm(
    arm: Arm,
    examples: Sequence[Example],
    config: Config,
    price: Callable[[str], Price | None],
    history: History,
) -> ArmEstimate:
    expected: list[float | None] = []
    most: list[float | None] = []
    for rung in arm.policy.ladder:
        known = price(rung.model)
        told = len((rung.instructions or arm.policy.instructions or "").encode())
        usual = history(arm.policy.task, rung.model)
        for example in examples:
            size = len(msgspec.json.encode(example.messages)) + told
            output = usual or _reference_tokens(example)
            if rung.max_tokens is not None:
                output = min(output, rung.max_tokens)
            usage = Usage(input_tokens=size // _BYTES_PER_TOKEN + 1, output_tokens=output)
            cap = rung.max_tokens or limits.DEFAULT_RESERVED_OUTPUT_TOKENS
            expected.append(known.cost_nusd(usage) / 1e9 if known else None)
            most.append(known.worst_case_nusd(size, cap) / 1e9 if known else None)
    return ArmEstimate(
        arm=arm.name,
        calls=len(examples),
        usd=_sum(expected),
        at_most_usd=_sum(most),
        pretend=all(_simulated(config, name) for name in arm.models),
    )


def _judge(judge: JudgeAsk, work: Work, count: int, config: Config, price: Price | None) -> ArmEstimate:
    size = sum(
        2 * len(msgspec.json.encode((example.messages, example.reference))) for example in work.examples
    )
    size = size // len(work.examples) + _JUDGE_PROMPT_BYTES
    usage = Usage(input_tokens=size // _BYTES_PER_TOKEN, output_tokens=100)
    return ArmEstimate(
        arm=f"judge {judge.model}",
        calls=count,
        usd=price.cost_nusd(usage) / 1e9 * count if price else None,
        at_most_usd=price.worst_case_nusd(size, ANSWER_TOKENS) / 1e9 * count if price else None,
        pretend=_simulated(config, judge.model),
    )


def _price(book: PriceBook, config: Config, name: str, today: datetime.date) -> Price | None:
    return book.at(name, config.models[name].provider, today)


def _simulated(config: Config, name: str) -> bool:
    return config.providers[config.models[name].provider].simulated


def _unasked(answer: Answered | None) -> bool:
    return answer is None or answer.failed_by == "outside"


def _unscored(answer: Answered | None) -> bool:
    return answer is None or not answer.settled


def _reference_tokens(example: Example) -> int:
    """An answer is about as long as the right one."""
    reference = example.reference
    texts = example.references
    size = max(map(len, texts)) if texts else len(msgspec.json.encode(reference))
    return max(_LEAST_OUTPUT_TOKENS, size // _BYTES_PER_TOKEN + 1)


def _sum(parts: Sequence[float | None]) -> float | None:
    return None if None in parts else sum(part or 0.0 for part in parts)


def history(config: Config, state: Path) -> History:
    """What the ledger knows of usual answers, for all tasks and models of a configuration."""
    if not (state / store.FILE).exists():
        return lambda task, model: None
    with Ledger.read(state) as view:
        known = {
            (task, model): view.queries.output_tokens_quantile(task, model, 0.5)
            for task in config.tasks
            for model in config.models
        }
    return lambda task, model: known.get((task, model))
