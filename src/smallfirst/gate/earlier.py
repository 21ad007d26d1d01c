"""Answers to calibration examples that an evaluation has just paid for: the gate need not ask the same policy the same again.

Only of calibration, whose answers aim and foresee; what a verdict rests on is asked side by side, in the same minutes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smallfirst.datasets.example import Example
from smallfirst.evals.store import Answered, Runs, RunStore
from smallfirst.gate.subject import Subject

FRESH_MS = 24 * 3600 * 1000
"""Older answers may be another model's by now."""

Answers = dict[tuple[str, str], Answered]


def earlier_answers(state: Path, subject: Subject, examples: Sequence[Example]) -> Answers:
    """By the gate's arm and the example: what finished evaluations have of the same policy, dataset and scorer, not older than a day."""
    wanted = {example.id for example in examples}
    since_ms = int(time.time() * 1000) - FRESH_MS
    found: Answers = {}
    if subject.again:  # its evidence has lapsed: what was answered before may be another model's
        return found
    for store in Runs(state).list():
        told = store.manifest()
        same = (told.task, told.dataset, told.split) == (subject.task, subject.dataset.id, "calibration")
        if not same or told.scorer != subject.scorer.id or told.at_ms < since_ms or not store.finished:
            continue
        names = {
            mine.name: arm.name
            for mine in subject.arms
            for arm in told.arms
            if arm.policy == mine.policy.answers_hash
        }
        answers = store.read() if names else {}
        for mine, theirs in names.items():
            for example in wanted:
                answer = answers.get((theirs, example))
                if answer is not None and answer.settled:
                    found.setdefault((mine, example), msgspec.structs.replace(answer, arm=mine))
    return found


def take_over(store: RunStore, earlier: Answers) -> int:
    """Adds them to the gate's run where it has none of its own; what those in it have cost, which is not the gate's to pay."""
    there = store.read()
    missing = [answer for key, answer in earlier.items() if key not in there]
    if missing:
        with store.appending() as file:
            for answer in missing:
                file.add(answer)
    kept = [answer for key, answer in earlier.items() if key not in there or there[key].call == answer.call]
    return sum((answer.cost_nusd or 0) + (answer.judge_nusd or 0) for answer in kept)
