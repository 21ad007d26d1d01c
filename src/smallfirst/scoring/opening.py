"""From `[tasks.NAME.scorer]` to a scorer."""

from __future__ import annotations

from typing import Any

from smallfirst.classify.embedder import Embedder
from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import Contract, JsonContract, LabelContract, TextContract, read_labels
from smallfirst.errors import ConfigError, ScorerError
from smallfirst.scoring.json_fields import JsonScorer, read_json
from smallfirst.scoring.judge import Ask, JudgeScorer
from smallfirst.scoring.label import LabelScorer
from smallfirst.scoring.scorer import Scorer

_FITS = {"label": LabelContract, "json": JsonContract, "rouge-l": TextContract, "chrf": TextContract}


def open_scorer(
    spec: Spec, contract: Contract, *, ask: Ask | None = None, embedder: Embedder | None = None
) -> Scorer:
    """The scorer that a task or a policy names.

    `ask` puts a question to `spec.model`, for a judge; without it a judge can be named but cannot score. `embedder` is opened by its name
    where it is not given, but for those behind an endpoint (`model:NAME`). Raises `ScorerError` where the scorer does not fit the contract,
    or something is missing that it needs.
    """
    kind = named_kind(spec, contract)
    fits = _FITS.get(kind)
    if fits is not None and not isinstance(contract, fits):
        raise ScorerError(
            f"scorer.kind: {kind!r} scores {_named(fits)} contracts, and this one is {_named(type(contract))}"
        )
    if isinstance(contract, LabelContract) and kind == "label":
        return LabelScorer(contract, normalise=spec.normalise)
    if isinstance(contract, JsonContract) and kind == "json":
        return JsonScorer(contract, compare=spec.compare, weights=spec.weights, tolerance=spec.tolerance)
    return _open_text(kind, spec, ask=ask, embedder=embedder)


def named_kind(spec: Spec, contract: Contract) -> str:
    """The scorer's kind; "auto" is what fits the contract."""
    if spec.kind != "auto":
        return spec.kind
    if isinstance(contract, LabelContract):
        return "label"
    return "json" if isinstance(contract, JsonContract) else "rouge-l"


def reference_of(text: str, contract: Contract) -> Any:
    """A reference made of an answer's text, such as the frontier's: a label or labels, a JSON value, or a list of one text.

    Raises `ScorerError` where a `json` contract's text is not JSON, or null.
    """
    if isinstance(contract, LabelContract):
        return text.strip() if contract.pick in ("one", "ordinal") else read_labels(text)
    return read_json(text) if isinstance(contract, JsonContract) else [text]


def _open_text(kind: str, spec: Spec, *, ask: Ask | None, embedder: Embedder | None) -> Scorer:
    match kind:
        case "rouge-l" | "chrf":
            from smallfirst.scoring.text import ChrfScorer, RougeLScorer

            return RougeLScorer() if kind == "rouge-l" else ChrfScorer()
        case "embedding":
            from smallfirst.scoring.similarity import SimilarityScorer

            return SimilarityScorer(embedder or _embedder(spec.embedder))
        case "regex":
            from smallfirst.scoring.pattern import PatternScorer

            return PatternScorer(spec.pattern, normalise=spec.normalise)
        case "numeric":
            from smallfirst.scoring.numeric import NumericScorer

            return NumericScorer(tolerance=spec.tolerance)
        case "python":
            from smallfirst.scoring.python import PythonScorer

            return PythonScorer(spec.entry_point)
        case "judge":
            return JudgeScorer(spec, ask)
        case _:
            raise AssertionError(f"the schema allows no kind {kind!r}")


def _embedder(name: str) -> Embedder:
    from smallfirst.classify.embedders import open_embedder

    try:
        return open_embedder(name)
    except ConfigError as error:
        raise ScorerError(f"scorer.embedder: {error}") from error


def _named(contract: type[Contract]) -> str:
    return contract.__struct_config__.tag  # pyright: ignore[reportReturnType] (every contract's tag is a string)
