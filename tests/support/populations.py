"""Made-up traffic whose true loss is known: a pool of calls with outcomes, from which examples are drawn with replacement.

A call is of one of some kinds, which its words betray; each model is right on a kind with its own probability, and says how sure it is with some
sense. The pool is the population: a policy's true loss is its mean over the pool, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.classify.embedders import open_embedder
from smallfirst.routing.learned_router import LearnedRouter
from smallfirst.routing.second_look import looks_of
from smallfirst.routing.thresholds import Thresholds
from smallfirst.training.learned_source import LearnedSource
from smallfirst.training.looks import seen_by
from smallfirst.training.outcomes import Example, Outcome, OutcomeRow, prompt_of
from smallfirst.training.source import Read, read_examples
from smallfirst.training.table import play

KINDS = 24
_SYLLABLES = ("ka", "lo", "mi", "tu", "re", "so", "ni", "pa", "ve", "du", "za", "go")


class Population(msgspec.Struct, frozen=True):
    """A pool of outcome rows and the ladder that they are of, read once."""

    rows: tuple[OutcomeRow, ...]
    read: Read
    ladder: tuple[str, ...]


def population(*, rungs: int, graded: bool, size: int = 4000, seed: int = 0) -> Population:
    """`rungs` models, the last one the best on average but not on every kind; scores 0 or 1, or graded."""
    rng = np.random.default_rng(seed)
    words = [["".join(rng.choice(_SYLLABLES, 3)) for _ in range(6)] for _ in range(KINDS)]
    easy = rng.beta(2, 1, KINDS)
    ability = np.stack(
        [
            np.clip(easy * (0.55 + 0.4 * rung / (rungs - 1)) + rng.normal(0, 0.08, KINDS), 0.02, 0.98)
            for rung in range(rungs - 1)
        ]
        + [np.clip(0.82 + 0.15 * easy + rng.normal(0, 0.04, KINDS), 0.02, 0.99)],
        axis=1,
    )
    ladder = tuple(f"model-{rung}" for rung in range(rungs))
    rows = tuple(
        _row(at, int(rng.integers(KINDS)), words, ability, ladder, graded, rng) for at in range(size)
    )
    examples = [Example(row=row, prompt=prompt_of(row), line=at + 1) for at, row in enumerate(rows)]
    read = read_examples(examples, ladder, LearnedSource(open_embedder("wordllama")), lambda *_: None)
    return Population(rows, read, ladder)


def _row(
    at: int,
    kind: int,
    words: Sequence[Sequence[str]],
    ability: np.ndarray,
    ladder: Sequence[str],
    graded: bool,
    rng: np.random.Generator,
) -> OutcomeRow:
    said = [*rng.choice(words[kind], 6), *rng.choice(words[int(rng.integers(KINDS))], 2), f"n{at}"]
    outcomes = {}
    for rung, name in enumerate(ladder):
        right = ability[kind, rung]
        score = float(rng.beta(4 * right, 4 * (1 - right))) if graded else float(rng.random() < right)
        sure = 1 / (1 + np.exp(-(2.5 * (score - 0.5) + rng.normal(0.5, 1.0))))
        cost = 0.001 * 10.0 ** (rung - len(ladder) + 1)
        outcomes[name] = Outcome(
            score=round(score, 4), confidence=round(float(sure), 4), cost_usd=cost, output_chars=10
        )
    return OutcomeRow(id=f"p{at}", input=" ".join(said), outcomes=outcomes)


def write_draw(path: Path, found: Population, *, examples: int, seed: int) -> None:
    """A sample of the pool with replacement, as an outcome file."""
    chosen = np.random.default_rng(seed).integers(len(found.rows), size=examples)
    lines = [msgspec.to_builtins(found.rows[at]) for at in chosen]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def true_loss(found: Population, router: LearnedRouter, thresholds: Thresholds) -> tuple[float, float]:
    """The policy's loss over the whole pool, and the share that stays small."""
    seen = seen_by(router, found.read, looks_of(router.artifact.arrays, len(found.ladder)))
    played = play(thresholds, seen, found.read.worth)
    return float(played.loss.mean()), float((played.rung < len(found.ladder) - 1).mean())
