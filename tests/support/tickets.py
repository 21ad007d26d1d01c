"""Support tickets of three kinds in a few words each: enough to train a label head in a tenth of a second."""

from __future__ import annotations

import itertools

from smallfirst.classify.embedders import open_embedder
from smallfirst.training.label_head import HeadFit, fit_head
from smallfirst.training.labels import LabelRow

SAID = {
    "billing": ["I was charged twice on my invoice", "Please refund my payment", "Wrong VAT on the bill"],
    "bug": ["The app crashes with an error", "The page stays blank", "Export fails with exception 500"],
    "how-to": ["How do I invite a colleague", "Where can I change my password", "How can I add a filter"],
}
WHERE = ["last month", "since Monday", "for my team", "on the phone", "again", "in the EU", "for Zanzibar"]
ELSEWHERE = ["The weather is lovely", "Sing me a song", "Who won the match", "My cat likes tuna"]


def tickets(*, elsewhere: bool = False) -> list[LabelRow]:
    """63 of the three labels; `elsewhere` adds 28 that have none."""
    said = SAID | ({"oos": ELSEWHERE} if elsewhere else {})
    pairs = [
        (f"{s} {where}", label) for label, some in said.items() for s, where in itertools.product(some, WHERE)
    ]
    return [
        LabelRow(text=t, label=label, id=f"t-{at}", line=at) for at, (t, label) in enumerate(pairs, start=1)
    ]


def trained(rows: list[LabelRow], *, seed: int = 0) -> HeadFit:
    """A head by the default embedder."""
    return fit_head(rows, [open_embedder("wordllama")], task="triage", seed=seed, progress=lambda *_: None)
