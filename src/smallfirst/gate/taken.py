"""What intent classifiers make of a task's examples, to what was found. No model is asked, and the same comes out every time.

A loss is 1 where an example is taken for another task than its own: a wrong contract answers it. Taken rightly, or for none of the tasks, it
loses nothing: its task's policy is judged by itself, and what is none of them is the frontier's. So a score is 0 or 1, without a classifier always 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from smallfirst.classify.embedder import Embedder
from smallfirst.datasets.example import Example
from smallfirst.evals.session import Home
from smallfirst.gate.answers import Evidence, rows_of
from smallfirst.gate.intents import Intents
from smallfirst.gate.judging import Answers, Rule, judge
from smallfirst.gate.plan import SCREEN_ALPHA, Prospect, prospects
from smallfirst.models.embeddings_http import embedder_of
from smallfirst.releases.verdict import INTENTS, Against, Comparison
from smallfirst.routing.intent import IntentClassifier, load_intents
from smallfirst.statistics.noninferiority import Sample, sample_of
from smallfirst.wire.incoming import Incoming


class Taking:
    """One task's examples, as the classifiers take them. Used once: `plan`, then `judge`; `calibrated` has then what calibration showed.

    Raises `ReleaseError` where a classifier or its embedder is not what it was, `ConfigError` where its embedder cannot be had.
    """

    def __init__(self, intents: Intents, task: str, home: Home) -> None:
        def embedders(name: str) -> Embedder:
            return embedder_of(name, home.config, home.environ)

        self.calibrated: tuple[Comparison, ...] = ()
        self._task = task
        self._mine = load_intents(intents.candidate_path, embedders)
        self._theirs = load_intents(intents.live_path, embedders) if intents.live_path is not None else None
        self._expected: dict[Against, Sample] = {}

    async def plan(self, examples: Sequence[Example], rule: Rule, *, heldout: int) -> tuple[Prospect, ...]:
        """What calibration examples lead to expect on so many held-out ones."""
        rows, evidence = rows_of(examples), await self._evidence(examples)
        losses: dict[Against, list[float]] = {each: evidence.losses(each) for each in evidence.others}
        self._expected.update((against, sample_of(each, rows.groups)) for against, each in losses.items())
        screen = msgspec.structs.replace(rule, alpha=SCREEN_ALPHA)
        self.calibrated = _judged(examples, evidence, screen, {})
        found = prospects(rows, losses, _plain(rule), heldout=heldout, slice_rows={})
        return tuple(msgspec.structs.replace(one, slice=INTENTS) for one in found)

    async def judge(self, examples: Sequence[Example], rule: Rule) -> tuple[Comparison, ...]:
        """The comparisons on held-out examples: with the live classifier where there is one, and with none, as chains of small steps count."""
        return _judged(examples, await self._evidence(examples), rule, self._expected)

    async def _evidence(self, examples: Sequence[Example]) -> Evidence:
        asked = [_incoming(one) for one in examples]
        others: dict[Against, Answers] = {}
        if self._theirs is not None:
            others["live"] = await asyncio.to_thread(self._answers, self._theirs, asked)
        others["frontier"] = _answers([1.0] * len(asked))
        return Evidence(candidate=await asyncio.to_thread(self._answers, self._mine, asked), others=others)

    def _answers(self, classifier: IntentClassifier, asked: Sequence[Incoming]) -> Answers:
        taken = [classifier.find_now(one.conversation).task for one in asked]
        return _answers([float(task in ("", self._task)) for task in taken])


def _judged(
    examples: Sequence[Example], evidence: Evidence, rule: Rule, expected: dict[Against, Sample]
) -> tuple[Comparison, ...]:
    said = judge(rows_of(examples), evidence.candidate, evidence.others, _plain(rule), expected=expected)
    return tuple(msgspec.structs.replace(one, slice=INTENTS) for one in said.comparisons)


def _plain(rule: Rule) -> Rule:
    """The whole task at its margin: slices and budgets are of answers."""
    return msgspec.structs.replace(rule, slices=(), cost_ratio_max=None, latency_ratio_max=None)


def _answers(scores: Sequence[float]) -> Answers:
    return Answers(scores=scores, costs=[None] * len(scores), latencies=[0.0] * len(scores))


def _incoming(example: Example) -> Incoming:
    """The example as a caller sends it who does not say which task it is."""
    body = {"model": "auto", "messages": example.messages}
    return Incoming("chat", msgspec.json.encode(body | ({"tools": example.tools} if example.tools else {})))
