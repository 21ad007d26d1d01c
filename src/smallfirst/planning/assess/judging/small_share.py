"""How much of a feature a small model could take, as far as recorded answers can say it.

What is measured is agreement with those answers, not that either is right. For labels a head is fitted to the sample, and each call is judged by it
as if it had not been in the sample (leave one out, exactly); its surest answers are kept while those that disagree are at most `margin` of all calls.
For JSON and text nothing is trained here: what is said of them is rough, and marked so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from smallfirst.classify.embedder import bounded
from smallfirst.errors import ConfigError
from smallfirst.planning.assess.judging.json_shape import leaves, read_value, values_by_path
from smallfirst.planning.assess.judging.output import Output
from smallfirst.planning.assess.judging.width import different
from smallfirst.planning.assess.observed import Observed

LEAST_ROWS = 200
_LEAST_OF_LABEL = 2
_MOST_CHARS = 1_200_000  # of the texts that a head is fitted to
_RESAMPLES = 1000
# The bootstrap holds the head that was fitted for the only one, so that its 95 percent interval held the share on fresh texts in 36 of 41 trials;
# this one is wide enough (docs/assess.md).
_ENDS = (0.005, 0.995)
_REPEATED = 0.6  # MinHash's likeness from which two inputs count as one
_FEW_VALUES = 50
_COMMON_VALUE = 3  # times a value is seen, and a model can know it
_SAME = 0.9  # the F-measure of common words from which two texts say the same

Known = Literal["measured", "rough", "unknown"]


class SmallShare(msgspec.Struct, frozen=True, kw_only=True):
    """`low` to `high` of the calls. `measured`: a 95 % interval around `middle`, by the bootstrap; `rough`: a range, without a confidence.
    `agreement` is that of all calls with their recorded answers, were the small model to answer every one.
    """

    known: Known
    told: str
    rows: int = 0
    low: float | None = None
    middle: float | None = None
    high: float | None = None
    agreement: float | None = None
    margin: float = 0.0


def small_share_of(
    calls: Sequence[Observed],
    inputs: Sequence[str],
    vectors: np.ndarray,
    output: Output,
    *,
    margin: float,
    seed: int,
) -> SmallShare:
    """`inputs` and `vectors` are those of the calls. Never raises for what is in them."""
    rows = _rows(calls, inputs)
    if output.form == "none":
        return SmallShare(
            known="unknown", told="no answers are recorded: keep bodies, then ask again", margin=margin
        )
    if len(rows) < LEAST_ROWS:
        return SmallShare(
            known="unknown",
            told=f"different inputs with an answer: {len(rows):,}, and {LEAST_ROWS} are needed",
            rows=len(rows),
            margin=margin,
        )
    if output.form == "label" and output.pick in ("one", "ordinal"):
        return _labels(rows, calls, inputs, output, margin=margin, seed=seed)
    if output.form == "json" and output.closed:
        return _fields(rows, calls, inputs, vectors, margin)
    return _texts(rows, calls, vectors, margin)


def _rows(calls: Sequence[Observed], inputs: Sequence[str]) -> list[int]:
    """One call for each different input: a head that has seen nearly the same would seem to know more than it does, and repeats are the cache's."""
    answered = [
        at
        for at, (call, text) in enumerate(zip(calls, inputs, strict=True))
        if call.answer.strip() and text.strip() and not call.failed and not call.calls_tools
    ]
    return [answered[at] for at in different([inputs[at] for at in answered], least=_REPEATED)]


def _labels(
    rows: list[int],
    calls: Sequence[Observed],
    inputs: Sequence[str],
    output: Output,
    *,
    margin: float,
    seed: int,
) -> SmallShare:
    rows = _within(rows, inputs, seed)
    known = {label for label, _ in output.labels}
    labels = {at: calls[at].answer.strip() for at in rows}
    counts = Counter(labels.values())
    told = [at for at in rows if labels[at] in known and counts[labels[at]] >= _LEAST_OF_LABEL]
    try:
        right, sure = _unseen([(inputs[at], labels[at]) for at in told], seed)
    except (ConfigError, np.linalg.LinAlgError) as error:
        why = f"no head could be fitted: {error}"
        return SmallShare(known="unknown", told=why, rows=len(rows), margin=margin)
    rest = len(rows) - len(told)  # labels of no set, or seen once: they stay with the frontier
    wrong, sure = np.append(~right, np.zeros(rest, bool)), np.append(sure, np.full(rest, -1.0))
    middle = kept_share(sure, wrong, margin)
    random = np.random.default_rng(seed)
    draws = [random.integers(0, len(rows), len(rows)) for _ in range(_RESAMPLES)]
    low, high = np.quantile([kept_share(sure[draw], wrong[draw], margin) for draw in draws], _ENDS)
    return SmallShare(
        known="measured",
        told=f"a label head over wordllama, fitted to {len(rows):,} different inputs of the sample, with at most {margin:.1%} of all calls answered "
        "otherwise: agreement with the recorded answers, not correctness",
        rows=len(rows),
        low=float(low),
        middle=middle,
        high=float(high),
        agreement=float(right.sum() / len(rows)),
        margin=margin,
    )


def _unseen(rows: Sequence[tuple[str, str]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether a head that is fitted to the others gives each text its label, and how sure it is. Raises `ConfigError` where none can be fitted."""
    from smallfirst.classify.embedders import open_embedder
    from smallfirst.training.label_head import fit_head
    from smallfirst.training.labels import LabelRow

    examples = [
        LabelRow(text=bounded(text), id=str(at), line=at, label=label)
        for at, (text, label) in enumerate(rows)
    ]
    embedders = [open_embedder("wordllama")]
    fitted = fit_head(examples, embedders, task="assess", seed=seed, progress=lambda *_: None)
    pairs = zip(fitted.label, fitted.rows, strict=True)
    return np.array([fitted.labels[label] == row.label for label, row in pairs]), fitted.sure


def _within(rows: list[int], inputs: Sequence[str], seed: int) -> list[int]:
    """As many of the rows, drawn, as a head is fitted to in seconds: fewer where texts are long."""
    drawn: list[int] = np.random.default_rng(seed).permutation(len(rows)).tolist()
    sizes = np.cumsum([len(bounded(inputs[rows[at]])) for at in drawn])
    kept = max(LEAST_ROWS, int(np.searchsorted(sizes, _MOST_CHARS)))
    return [rows[at] for at in sorted(drawn[:kept])]


def kept_share(sure: np.ndarray, wrong: np.ndarray, margin: float) -> float:
    """The largest share of calls, surest first, of which those that disagree are at most `margin` of all."""
    order = np.argsort(-sure, kind="stable")
    within = np.cumsum(wrong[order]) <= margin * len(sure)
    within &= sure[order] >= 0
    return float(within.sum() / len(sure))  # the running sum only grows, so that these are the first


def _fields(
    rows: list[int], calls: Sequence[Observed], inputs: Sequence[str], vectors: np.ndarray, margin: float
) -> SmallShare:
    """From: calls whose nearest neighbour has the same fields. To: calls whose every field stands in the input, or is one of few values."""
    values = [read_value(calls[at].answer)[0] for at in rows]
    kept = [(at, value) for at, value in zip(rows, values, strict=True) if value is not None]
    by_path = values_by_path([value for _, value in kept])
    reachable = 0
    for at, value in kept:
        text = inputs[at].casefold()
        reachable += all(_reachable(str(leaf), text, by_path[path]) for path, leaf in leaves(value))
    near = _nearest(vectors[[at for at, _ in kept]])
    same = sum(value == kept[other][1] for (_, value), other in zip(kept, near, strict=True))
    low, high = sorted((same / len(rows), reachable / len(rows)))
    return SmallShare(
        known="rough",
        told=f"{reachable / len(rows):.0%} of the answers have only fields that stand in their input or are one of few values, "
        f"{same / len(rows):.0%} are those of the nearest other input; how many a model gets right, `smallfirst train --method lora` measures",
        rows=len(rows),
        low=low,
        high=high,
        margin=margin,
    )


def _reachable(leaf: str, text: str, seen: Counter[str]) -> bool:
    return leaf.casefold() in text or (len(seen) <= _FEW_VALUES and seen[leaf] >= _COMMON_VALUE)


def _texts(rows: list[int], calls: Sequence[Observed], vectors: np.ndarray, margin: float) -> SmallShare:
    """Nothing but how often the nearest other input has nearly the same answer: of a model that writes, that says little."""
    near = _nearest(vectors[rows])
    words = [Counter(calls[at].answer.casefold().split()) for at in rows]
    alike = sum(_overlap(words[at], words[other]) >= _SAME for at, other in enumerate(near))
    return SmallShare(
        known="unknown",
        told="of answers like these only a trained model can tell: `smallfirst train --method lora`, then `smallfirst eval run`; "
        f"{alike / len(rows):.1%} of the sample has nearly the same words in its answer as the input most like it has",
        rows=len(rows),
        margin=margin,
    )


def _overlap(one: Counter[str], other: Counter[str]) -> float:
    """The F-measure of the words that two texts have in common."""
    return 2 * (one & other).total() / max(1, one.total() + other.total())


def _nearest(vectors: np.ndarray) -> list[int]:
    """The row most like each, itself apart."""
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    return likeness.argmax(axis=1).tolist()
