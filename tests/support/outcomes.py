"""Outcomes of two models on the support tickets: the small one knows bills, fails on bugs, and is right on half of the rest."""

from __future__ import annotations

from support.tickets import tickets

from smallfirst.classify.artifact import unpack
from smallfirst.classify.embedders import open_embedder
from smallfirst.routing.learned_router import LearnedRouter, router_from
from smallfirst.training.bound import Goal
from smallfirst.training.learned_source import LearnedSource
from smallfirst.training.outcomes import Example, Outcome, OutcomeRow, prompt_of
from smallfirst.training.router_fit import Fit, Wanted, fit_router

LADDER = ("small", "frontier")
RIGHT = {"billing": 1.0, "bug": 0.0}


def outcomes(*, costs: bool = True, intents: bool = True) -> list[Example]:
    """63 examples."""
    found = []
    for at, ticket in enumerate(tickets()):
        score = RIGHT.get(ticket.label or "", float(at % 2))
        cost = 0.0001 if costs else None
        row = OutcomeRow(
            id=ticket.id,
            input=ticket.text,
            intent=ticket.label if intents else None,
            outcomes={
                "small": Outcome(score=score, cost_usd=cost, output_chars=8),
                "frontier": Outcome(score=1.0, cost_usd=0.001 if costs else None, output_chars=8),
            },
        )
        found.append(Example(row=row, prompt=prompt_of(row), line=at + 1))
    return found


def fit(
    examples: list[Example],
    *,
    margin: float = 0.3,
    ladder: tuple[str, ...] = LADDER,
    task: str = "triage",
    asked_as: tuple[str, ...] = (),
) -> Fit:
    """A router by the default embedder."""
    wanted = Wanted(task=task, ladder=ladder, goal=Goal(margin=margin), asked_as=asked_as)
    return fit_router(examples, wanted, LearnedSource(open_embedder("wordllama")), lambda *_: None)


def router_of(found: Fit) -> LearnedRouter:
    """As it serves."""
    return router_from(unpack(found.data), open_embedder("wordllama"))
