"""How many kinds `assess` finds in texts whose kinds people have named: `python -m benchmarks.assess_kinds` (needs SMALLFIRST_DATA)."""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

from smallfirst.classify.embedders import open_embedder
from smallfirst.planning.assess.judging.share import covering
from smallfirst.planning.assess.judging.width import width_of

_ROWS = 2000
_SETS = {"banking77": "banking77/train.jsonl", "clinc150": "clinc150/train.jsonl"}
_INTENTS = (None, 10)  # all of them, and the first ten


def main() -> int:
    """Prints, for each set, how many named intents and how many found kinds cover nine rows in ten."""
    data = os.environ.get("SMALLFIRST_DATA")
    if not data:
        sys.stderr.write("set SMALLFIRST_DATA to the folder with banking77 and clinc150\n")
        return 2
    embedder = open_embedder("wordllama")
    print("set, intents, rows, intents for 90 %, kinds for 90 %, of a kind seen once")
    for name, path in _SETS.items():
        rows = [json.loads(line) for line in (Path(data) / path).read_bytes().splitlines()]
        for most in _INTENTS:
            chosen = set(sorted({row["label"] for row in rows})[:most])
            some = [row for row in rows if row["label"] in chosen]
            random.Random(0).shuffle(some)
            some = some[:_ROWS]
            texts = [row["input"] for row in some]
            width = width_of(texts, embedder.embed(texts), repeat_share=0.0)
            named = covering(list(Counter(row["label"] for row in some).values()), 0.9)
            unseen = width.unseen.value if width.unseen else 0.0
            print(f"{name}, {len(chosen)}, {len(some)}, {named}, {width.kinds_90}, {unseen:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
