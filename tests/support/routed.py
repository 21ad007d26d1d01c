"""Routers for gateways under test: fitted in a second on invented outcomes, then given to any task, with any thresholds."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smallfirst.classify.artifact import pack, unpack
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.store import Artifacts, Described
from smallfirst.routing.thresholds import Thresholds
from smallfirst.training.bound import Goal
from smallfirst.training.learned_source import LearnedSource
from smallfirst.training.outcomes import Example, Outcome, OutcomeRow, prompt_of
from smallfirst.training.router_fit import Fit, Wanted, fit_router

_ASKED = (
    "Please send me the invoice of", "Where do I find the receipt for", "Can you refund the payment of", "I was charged twice in",
    "The bill is wrong for", "How do I change the card that pays for",
)  # fmt: skip
_WHEN = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December", "last year",
    "our second shop", "the whole team", "order seventeen", "the new plan",
)  # fmt: skip
_PROVE = (
    "Prove with induction that the theorem holds for", "Derive the closed form of the integral over", "Find a counterexample to the lemma about",
    "Compute the eigenvalues and the determinant of", "Explain why the algorithm terminates on", "Show that the series diverges for",
)  # fmt: skip
_WHAT = (
    "every finite group", "all prime numbers", "a compact manifold", "the Hilbert space", "random matrices", "convex polytopes", "sparse graphs",
    "the Riemann sphere", "Markov chains", "a noetherian ring", "elliptic curves", "the heat equation", "binary trees", "p-adic numbers",
    "Lie algebras", "a Cantor set", "regular languages",
)  # fmt: skip
EASY = [f"{asked} {when}." for asked, when in itertools.product(_ASKED, _WHEN)]
HARD = [f"{prove} {what}." for prove, what in itertools.product(_PROVE, _WHAT)]
EASY_CALL = "Please send me the invoice of July, and where do I find the receipt?"
HARD_CALL = "Prove that the theorem on the determinant of random matrices holds for sparse graphs."
UNLIKE_CALL = "zxqv kjw plomb qqrt vvex wub zzyx frobnak"


def outcomes(ladder: Sequence[str], *, seed: int = 1, ids: Sequence[str] = ()) -> list[Example]:
    """204 examples: easy ones that the small models get right nine times in ten, hard ones that they get wrong as often.

    A right answer is a sure one, and the rungs of a ladder of three say the same where they are right. `ids` names the first of them.
    """
    draw = random.Random(seed)
    found = []
    texts = [text for pair in zip(EASY, HARD, strict=True) for text in pair]
    for at, text in enumerate(texts):
        told: dict[str, Outcome] = {ladder[-1]: Outcome(score=1.0, cost_usd=0.001, answer="right")}
        for rung, name in enumerate(ladder[:-1]):
            right = draw.random() < (0.9 if text in EASY else 0.1)
            told[name] = Outcome(
                score=float(right),
                cost_usd=0.00001 * (rung + 1),
                output_chars=10,
                confidence=draw.uniform(0.85, 0.99) if right else draw.uniform(0.3, 0.7),
                answer="right" if right else f"wrong {rung}",
            )
        row = OutcomeRow(id=ids[at] if at < len(ids) else f"r-{at}", input=text, outcomes=told)
        found.append(Example(row=row, prompt=prompt_of(row), line=at + 1))
    return found


def fit(ladder: Sequence[str], *, looks: bool = True, margin: float = 0.2, ids: Sequence[str] = ()) -> Fit:
    """A router by the default embedder, for a task `any`."""
    wanted = Wanted(task="any", ladder=tuple(ladder), goal=Goal(margin=margin), looks=looks)
    return fit_router(
        outcomes(ladder, ids=ids), wanted, LearnedSource(open_embedder("wordllama")), lambda *_: None
    )


def give(state: Path, found: Fit, task: str, ladder: Sequence[str], **changes: object) -> str:
    """Keeps a fitted router as the newest of a task and its ladder, its header changed, and returns its hash."""
    artifact = unpack(found.data)
    changes = {"task": task, "ladder": tuple(ladder), "heads": ("",) * len(ladder), "sha256": "", **changes}
    header = msgspec.structs.replace(found.fitted, **changes)
    data = pack("router", msgspec.to_builtins(header), artifact.arrays)
    return Artifacts(state).save(data, Described(at_ms=int(time.time() * 1000), kind="router", task=task))


def thresholds(ask: Sequence[float], accept: Sequence[float]) -> Thresholds:
    return Thresholds(tuple(ask), tuple(accept))
