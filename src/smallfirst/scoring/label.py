"""Labels: one, several, ranked or ordinal, as the contract says."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

from smallfirst.contracts import LabelContract, read_labels
from smallfirst.errors import ScorerError
from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.label_figures import (
    LabelFigures,
    cohens_kappa,
    confusion,
    mean_f1,
    per_label,
)
from smallfirst.scoring.scorer import Score

_VERSION = 1
NO_LABEL = "(no label)"
"""What stands in figures for an answer that is none of the labels."""


def normalised(text: str) -> str:
    """A text without what case, blank space, punctuation and Unicode's compatible forms add; what is nothing but punctuation stays."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(char).startswith("P") else char for char in folded)
    return " ".join(kept.split()) or " ".join(folded.split())


class LabelScorer:
    """Implements `Scorer` for `label` contracts.

    `one`: 1 where the label is the reference. `ordinal`: 1 − distance / (labels − 1). `several`: F1 of the two sets. `ranked`: the share of
    pairs that stand in the right order, which is Kendall's tau on [0, 1]; a pair of which the answer does not rank both is wrong, and labels
    that the reference does not rank belong below those it does.
    """

    def __init__(self, contract: LabelContract, *, normalise: bool = False) -> None:
        self._contract = contract
        self._normalise = normalise
        self._known: dict[str, str] = {}
        for label in contract.labels:
            key = self._key(label)
            if self._known.setdefault(key, label) != label:
                raise ScorerError(
                    f"scorer.normalise: the labels {self._known[key]!r} and {label!r} are the same without case, space and punctuation"
                )
        self._place = {label: at for at, label in enumerate(contract.labels)}
        options = {"pick": contract.pick, "labels": contract.labels, "normalise": normalise}
        self.id = scorer_id("label", _VERSION, options)

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """`reference`: a label for `one` and `ordinal`, else a list of labels. Raises `ScorerError` for another."""
        pick = self._contract.pick
        if pick in ("one", "ordinal"):
            truth, given = self._one(reference), self._said(output)
            return self._ordinal(given, truth) if pick == "ordinal" else _exact(given, truth)
        truths, givens = self._several(reference), self._all_said(output)
        return self._ranked(givens, truths) if pick == "ranked" else _set_score(set(givens), set(truths))

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        """Figures of all rows together; those of single labels are named `precision/LABEL`, `recall/LABEL`, `f1/LABEL`."""
        if not outputs:
            return {}
        if self._contract.pick in ("one", "ordinal"):
            return self._single_summary(outputs, references)
        givens = [self._all_said(output) for output in outputs]
        truths = [self._several(reference) for reference in references]
        if self._contract.pick == "ranked":
            scores = [self._ranked(given, truth) for given, truth in zip(givens, truths, strict=True)]
            return {
                name: sum(score.parts[name] for score in scores) / len(scores)
                for name in ("exact", "top1", "tau")
            }
        shown = [
            {self._shown(label, truth) for label in given}
            for given, truth in zip(givens, truths, strict=True)
        ]
        figures = per_label([set(truth) for truth in truths], shown)
        hits = sum(len(set(given) & set(truth)) for given, truth in zip(givens, truths, strict=True))
        all_of = sum(len(set(given)) + len(set(truth)) for given, truth in zip(givens, truths, strict=True))
        same = [set(given) == set(truth) for given, truth in zip(givens, truths, strict=True)]
        return {
            "exact": sum(same) / len(same),
            "micro_f1": 2 * hits / all_of if all_of else 1.0,
            "macro_f1": _or_one(mean_f1(figures)),
            **_named(figures),
        }

    def confusion(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, dict[str, int]]:
        """Reference → answer → rows, for `one` and `ordinal`; empty for others."""
        if self._contract.pick not in ("one", "ordinal"):
            return {}
        return confusion(*self._columns(outputs, references))

    def _single_summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        truths, givens = self._columns(outputs, references)
        figures = per_label([{truth} for truth in truths], [{given} for given in givens])
        right = sum(truth == given for truth, given in zip(truths, givens, strict=True))
        found = {"accuracy": right / len(truths), "macro_f1": _or_one(mean_f1(figures))}
        kappa = cohens_kappa(truths, givens)
        if kappa is not None:
            found["kappa"] = kappa
        if self._contract.pick == "ordinal":
            weighted = cohens_kappa(truths, givens, order=self._contract.labels)
            if weighted is not None:
                found["weighted_kappa"] = weighted
        return found | _named(figures)

    def _columns(self, outputs: Sequence[str], references: Sequence[Any]) -> tuple[list[str], list[str]]:
        truths = [self._one(reference) for reference in references]
        return truths, [
            self._shown(self._said(output), (truth,)) for output, truth in zip(outputs, truths, strict=True)
        ]

    def _shown(self, given: str, truths: Collection[str]) -> str:
        return given if given in self._place or given in truths else NO_LABEL

    def _key(self, text: str) -> str:
        return normalised(text) if self._normalise else text.strip()

    def _said(self, text: str) -> str:
        """The label that a text is; empty where it is none, but for a reference's own label that the contract does not have."""
        key = self._key(text)
        return self._known.get(key, key)

    def _all_said(self, text: str) -> list[str]:
        return list(dict.fromkeys(self._said(label) for label in read_labels(text)))

    def _one(self, reference: Any) -> str:
        if not isinstance(reference, str):
            raise ScorerError(f"the reference is {_kind(reference)}, and this contract's is one label")
        label = self._said(reference)
        if self._contract.pick == "ordinal" and label not in self._place:
            raise ScorerError(f"the reference {reference[:60]!r} has no place on the scale of labels")
        return label

    def _several(self, reference: Any) -> list[str]:
        if isinstance(reference, str) or not isinstance(reference, Sequence):
            raise ScorerError(f"the reference is {_kind(reference)}, and this contract's is a list of labels")
        if not all(isinstance(label, str) for label in reference):
            raise ScorerError("the reference is a list of other things than labels")
        return list(dict.fromkeys(self._said(label) for label in reference))

    def _ordinal(self, given: str, truth: str) -> Score:
        if given not in self._place:
            return Score(0.0, {"exact": 0.0}, "none of the labels")
        distance = abs(self._place[given] - self._place[truth])
        farthest = max(len(self._place) - 1, 1)
        note = f"{distance} apart" if distance else ""
        return Score(
            1 - distance / farthest, {"exact": float(not distance), "distance": float(distance)}, note
        )

    def _ranked(self, givens: Sequence[str], truths: Sequence[str]) -> Score:
        if not truths:
            raise ScorerError("the reference ranks no label")
        at = {label: place for place, label in enumerate(givens)}
        below = [label for label in self._contract.labels if label not in truths]
        pairs = [*combinations(truths, 2), *((label, other) for label in truths for other in below)]
        right = sum(a in at and b in at and at[a] < at[b] for a, b in pairs)
        top1 = float(bool(givens) and givens[0] == truths[0])
        value = right / len(pairs) if pairs else top1
        parts = {"exact": float(value == 1), "top1": top1, "tau": 2 * value - 1}
        return Score(value, parts, "" if value == 1 else f"{right} of {len(pairs)} pairs in order")


def _exact(given: str, truth: str) -> Score:
    return Score(1.0) if given == truth else Score(0.0, note="another label")


def _set_score(givens: set[str], truths: set[str]) -> Score:
    if not givens and not truths:
        return Score(1.0, {"exact": 1.0, "precision": 1.0, "recall": 1.0})
    hits = len(givens & truths)
    parts = {
        "exact": float(givens == truths),
        "precision": hits / len(givens) if givens else 0.0,
        "recall": hits / len(truths) if truths else 0.0,
    }
    wrong = f"{len(truths) - hits} missing, {len(givens) - hits} too many"
    return Score(2 * hits / (len(givens) + len(truths)), parts, "" if givens == truths else wrong)


def _named(figures: Mapping[str, LabelFigures]) -> dict[str, float]:
    return {
        f"{name}/{label}": getattr(found, name)
        for label, found in figures.items()
        if label != NO_LABEL
        for name in ("precision", "recall", "f1")
    }


def _or_one(value: float | None) -> float:
    return 1.0 if value is None else value  # no labels at all, and none given: all of them are right


def _kind(value: Any) -> str:
    return "none" if value is None else f"a {type(value).__name__}"
