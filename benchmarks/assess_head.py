"""How often the share of calls that `assess` says a label head takes is the share that it then takes: `python -m benchmarks.assess_head`.

Each trial draws 600 questions of 30 intents of clinc150, asks `assess`, fits the same head to them, and looks how many of all others it takes
within the margin. Needs SMALLFIRST_DATA; 20 s of one core.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from pathlib import Path

import numpy as np

from smallfirst.classify import artifact
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.label_head import head_from
from smallfirst.planning.assess.judging.output import output_of
from smallfirst.planning.assess.judging.small_share import kept_share, small_share_of
from smallfirst.planning.assess.observed import Observed
from smallfirst.training.label_head import fit_head
from smallfirst.training.labels import LabelRow

_TRIALS, _ROWS, _EVERY, _INTENTS, _MARGIN = 24, 600, 4, 30, 0.02
Row = tuple[str, str]


def main() -> int:
    """Prints each trial's interval beside the share of fresh questions, and how many held."""
    data = os.environ.get("SMALLFIRST_DATA")
    if not data:
        sys.stderr.write("set SMALLFIRST_DATA to the folder with clinc150\n")
        return 2
    told = [json.loads(line) for line in (Path(data) / "clinc150/train.jsonl").read_bytes().splitlines()]
    chosen = sorted({row["label"] for row in told})[::_EVERY][:_INTENTS]
    rows = [(row["input"], row["label"]) for row in told if row["label"] in chosen]
    held = 0
    for seed in range(_TRIALS):
        random.Random(seed).shuffle(rows)
        low, middle, high, share = trial(rows[:_ROWS], rows[_ROWS:], seed)
        held += low <= share <= high
        print(f"{middle:.1%} ({low:.1%} to {high:.1%}); of fresh questions {share:.1%}")
    print(f"held in {held} of {_TRIALS}")
    return 0


def trial(seen: list[Row], fresh: list[Row], seed: int) -> tuple[float, float, float, float]:
    """The interval from the seen rows, its middle, and the share of the fresh ones."""
    embedder = open_embedder("wordllama")
    texts = [text for text, _ in seen]
    calls = [Observed(messages=[{"role": "user", "content": text}], answer=label) for text, label in seen]
    vectors = embedder.embed(texts)
    found = small_share_of(calls, texts, vectors, output_of(calls), margin=_MARGIN, seed=seed)
    examples = [
        LabelRow(text=text, id=str(at), line=at, label=label) for at, (text, label) in enumerate(seen)
    ]
    data = fit_head(examples, [embedder], task="assess", seed=seed, progress=lambda *_: None).data
    head = head_from(artifact.unpack(data, name=hashlib.sha256(data).hexdigest()), [embedder])
    answers = head.answer_all([text for text, _ in fresh], lambda *_: None)
    sure = np.array([answer.confidence for answer in answers])
    wrong = np.array([answer.label != label for answer, (_, label) in zip(answers, fresh, strict=True)])
    return found.low or 0.0, found.middle or 0.0, found.high or 0.0, kept_share(sure, wrong, _MARGIN)


if __name__ == "__main__":
    sys.exit(main())
