"""Whether a server answers as the trainer's model did: the same prompts to the token, the same answers, about as surely.

The answers at temperature 0 of two engines differ in what was nearly a tie; a tune that was lost, or that is over other weights, differs in most.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from smallfirst.answering.constrain import constraint
from smallfirst.contracts import Contract, JsonContract
from smallfirst.datasets.example import Example
from smallfirst.datasets.store import Datasets
from smallfirst.errors import DatasetError, DeployError
from smallfirst.gate.deploy.server import Answered, Server
from smallfirst.models.adapters.adapter import Form, Probe
from smallfirst.models.adapters.store import Adapter
from smallfirst.training.lora.asked import messages_of

Progress = Callable[[str, int, int], None]
SAME_SHARE = 0.99  # of the answers; fewer than a hundred may have one that differs, from `_FEW` on
LOGPROB_MEAN = 0.25  # nats a token: the mean difference that is borne
_FEW = 20
_AT_ONCE = 2  # as many as the embedded server generates at once
_SHOWN = 5
_SHOWN_CHARS = 60


class Question(msgspec.Struct, frozen=True):
    """A probe, and what it asks: the fields of a chat request, without a model's name."""

    probe: Probe
    fields: dict[str, Any]


class Told(msgspec.Struct, frozen=True):
    """What a server said to a probe. `rendered`: whether it made the same prompt of it; None where it does not tell."""

    probe: Probe
    answered: Answered
    same: bool
    rendered: bool | None


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said to all of them."""

    told: tuple[Told, ...]

    @property
    def probes(self) -> int:
        return len(self.told)

    @property
    def same(self) -> int:
        """How many answers were the trainer's."""
        return sum(one.same for one in self.told)

    @property
    def rendered(self) -> int | None:
        """How many prompts were the trainer's to the token; None where the server does not tell."""
        known = [one.rendered for one in self.told if one.rendered is not None]
        return sum(known) if len(known) == self.probes else None

    @property
    def logprob_mean(self) -> float | None:
        """The mean absolute difference of log-probabilities, in nats a token, over the answers that were the same; None where none is told."""
        apart = [
            abs(one.answered.logprob - one.probe.logprob) / max(one.answered.tokens, 1)
            for one in self.told
            if one.same and one.answered.logprob is not None
        ]
        return sum(apart) / len(apart) if apart else None


def questions_of(adapter: Adapter, state_datasets: Datasets, contract: Contract) -> list[Question]:
    """What the adapter's probes ask, as its rung would be asked. Raises `DeployError` where there is none, or where its dataset is gone."""
    probes, dataset = adapter.probes(), adapter.manifest.dataset
    if not probes:
        raise DeployError(
            f"adapter {adapter.id[:12]} has no probes, so that nothing can tell whether a server serves it: train it again"
        )
    wanted = {probe.id for probe in probes}
    try:
        examples = {
            example.id: example
            for example in state_datasets.open(dataset).examples("calibration")
            if example.id in wanted
        }
    except DatasetError as error:
        raise DeployError(
            f"its probes are calibration examples of dataset {dataset[:12]}, which cannot be read ({error}): train it again on one that is here"
        ) from error
    missing = wanted - examples.keys()
    if missing:
        raise DeployError(
            f"probe {min(missing)!r} is no calibration example of dataset {dataset[:12]}: train it again"
        )
    return [Question(probe, _fields(examples[probe.id], adapter, contract)) for probe in probes]


async def probe(
    server: Server, name: str, questions: Sequence[Question], contract: Contract, progress: Progress
) -> Probed:
    """Asks all of them, the server's `name` for the adapter as the model. Raises `DeployError` where it does not answer."""
    done = 0
    room = asyncio.Semaphore(_AT_ONCE)
    constrained = constraint(contract, server.engine)

    async def ask(question: Question) -> Told:
        nonlocal done
        async with room:
            body = question.fields | constrained | {"model": name}
            rendered = await server.prompt_sha256(body) if question.probe.prompt_sha256 else None
            answered = await server.answer(body, constrained=bool(constrained))
        done += 1
        progress("comparing its answers", done, len(questions))
        return Told(
            question.probe,
            answered,
            same_answer(question.probe.answer, answered.text, contract),
            None if rendered is None else rendered == question.probe.prompt_sha256,
        )

    progress("comparing its answers", 0, len(questions))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(question)) for question in questions]
    except* DeployError as failed:
        raise failed.exceptions[0] from None
    return Probed(told=tuple(task.result() for task in tasks))


def same_answer(expected: str, got: str, contract: Contract) -> bool:
    """Whether two answers are the same: JSON as values, all else to the character."""
    if expected == got or not isinstance(contract, JsonContract):
        return expected == got
    try:
        return msgspec.json.decode(expected) == msgspec.json.decode(got)
    except msgspec.DecodeError:
        return False


def refusal(probed: Probed, form: Form) -> str:
    """Why a server that answered so does not serve this adapter; empty if it does."""
    allowed = max(math.floor(probed.probes * (1 - SAME_SHARE)), 1 if probed.probes >= _FEW else 0)
    if probed.rendered is not None and probed.rendered < probed.probes:
        what = (
            f"{probed.probes - probed.rendered} of {probed.probes} prompts are rendered otherwise than in training: "
            "its chat template or its tokenizer is another"
        )
    elif probed.probes - probed.same > allowed:
        what = f"{probed.same} of {probed.probes} answers are those of the trainer's model, and at most {allowed} may differ"
    elif probed.logprob_mean is not None and probed.logprob_mean > LOGPROB_MEAN:
        what = (
            f"its log-probabilities are {probed.logprob_mean:.2f} nats a token from the trainer's on average, and {LOGPROB_MEAN} are borne: "
            "it is served in too coarse numbers, or over other weights"
        )
    else:
        return ""
    return "\n".join([what, *_table(probed), *_causes(probed, form)])


def _fields(example: Example, adapter: Adapter, contract: Contract) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "messages": messages_of(example, adapter.manifest.asked),
        "temperature": 0,
        "max_tokens": answer_tokens(adapter),
        "logprobs": True,
    }
    return fields | ({"tools": example.tools} if example.tools else {})


def answer_tokens(adapter: Adapter) -> int:
    """How many tokens the trainer's model was given for an answer."""
    return int(adapter.manifest.settings.get("answer_tokens", 256))


def _table(probed: Probed) -> list[str]:
    """The first that differ, a line each."""
    differ = [one for one in probed.told if not one.same][:_SHOWN]
    if not differ:
        return []
    rows = [("probe", "trainer's", "server's")]
    rows += [(one.probe.id, _short(one.probe.answer), _short(one.answered.text)) for one in differ]
    widths = [max(len(row[at]) for row in rows) for at in (0, 1)]
    return [f"  {row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows]


def _causes(probed: Probed, form: Form) -> list[str]:
    if probed.rendered is not None and probed.rendered < probed.probes:
        return [
            "the server's template is set with vLLM's --chat-template; that of a GGUF is in the file: serve the base that it was trained on"
        ]
    if form == "q4_1":
        return [
            "a merge that is written back as Q4_1 rounds the tune away: deploy it as `--form lora`, or as `--form q8_0`"
        ]
    return [
        "likely: the server's base has other weights than the adapter's (another model, another quantisation), or it leaves the adapter out"
    ]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
