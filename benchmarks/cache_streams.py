"""Streams of requests for the cache, made of the development data: `python -m benchmarks.cache_streams FOLDER` writes each as JSON Lines.

A request's answer class is its label. Where texts have no label that another text shares (out-of-scope rows, open-ended searches), each has a class
of its own: no answer given before is right for it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from smallfirst.evals.cache.stream import StreamRow, allowed, write_stream

DATA = Path(os.environ.get("SMALLFIRST_DATA", "../shared/data"))
OUT_OF_SCOPE = (
    1200  # wanted beside clinc150; the development data have 200, the others are made of other sets
)
_SEARCHES = ("RateBook", "SearchCreativeWork", "SearchScreeningEvent")
_ZIPF = 1.0
_SESSION = 4  # requests that come close together

Rows = list[StreamRow]


def banking77(seed: int) -> Rows:
    """10,003 requests in an order of chance, cold."""
    return _shuffled(_labelled("banking77/train.jsonl"), seed)


def banking77_short(seed: int) -> Rows:
    """3,000 requests, cold."""
    return banking77(seed)[:3000]


def banking77_warm(seed: int) -> Rows:
    """3,000 requests after 7,003 others were answered."""
    rows = banking77(seed)
    return [*_warm(rows[3000:]), *rows[:3000]]


def banking77_by_class(seed: int) -> Rows:
    """In the order of the file: one intent after the other, so that what comes next was never seen."""
    return _labelled("banking77/train.jsonl")


def banking77_drifting(seed: int) -> Rows:
    """Intents come and go: each has its high tide at a time of its own."""
    rows, chance = _labelled("banking77/train.jsonl"), np.random.default_rng([seed, 2])
    tides = {label: chance.random() for label in sorted({row.answer_class for row in rows}, key=str)}
    at = [tides[row.answer_class] + 0.15 * chance.standard_normal() for row in rows]
    return [rows[place] for place in np.argsort(at, kind="stable")]


def banking77_sessions(seed: int) -> Rows:
    """Paraphrases come close together: four requests of an intent in a row, the sessions in an order of chance."""
    rows, sessions = _shuffled(_labelled("banking77/train.jsonl"), seed), []
    for label in sorted({str(row.answer_class) for row in rows}):
        own = [row for row in rows if row.answer_class == label]
        sessions += [own[begin : begin + _SESSION] for begin in range(0, len(own), _SESSION)]
    order = np.random.default_rng([seed, 3]).permutation(len(sessions))
    return [row for place in order for row in sessions[place]]


def banking77_zipf(seed: int) -> Rows:
    """10,000 requests drawn from the texts with Zipf's frequencies: few come often, in the very same words."""
    rows, chance = banking77(seed), np.random.default_rng([seed, 4])
    weights = 1.0 / np.arange(1, len(rows) + 1) ** _ZIPF
    drawn = chance.choice(len(rows), 10_000, p=weights / weights.sum())
    return [_renamed(rows[place], f"zipf-{number}") for number, place in enumerate(drawn)]


def clinc150(seed: int) -> Rows:
    """15,000 requests of 150 intents with 1,200 out of scope among them, cold."""
    return _shuffled([*_labelled("clinc150/train.jsonl"), *out_of_scope(seed)], seed)


def clinc150_warm(seed: int) -> Rows:
    """4,500 requests and 1,200 out of scope, after 10,500 others were answered."""
    rows = _shuffled(_labelled("clinc150/train.jsonl"), seed)
    return [*_warm(rows[4500:]), *_shuffled([*rows[:4500], *out_of_scope(seed)], seed)]


def clinc150_withheld(seed: int) -> Rows:
    """As cold, but what is out of scope are 1,200 rows of 20 withheld intents: near to each other, and never right for each other."""
    rows = _labelled("clinc150/train.jsonl")
    labels = sorted({str(row.answer_class) for row in rows})
    withheld = set(np.random.default_rng([seed, 6]).permutation(labels)[:20].tolist())
    outside = _shuffled([row for row in rows if row.answer_class in withheld], seed)[:OUT_OF_SCOPE]
    inside = [row for row in rows if row.answer_class not in withheld]
    return _shuffled([*inside, *_alone(outside)], seed)


def clinc150_by_class(seed: int) -> Rows:
    """In the order of the file, 1,200 out of scope spread among them."""
    rows, chance = _labelled("clinc150/train.jsonl"), np.random.default_rng([seed, 7])
    outside = out_of_scope(seed)
    at = [*np.arange(len(rows)), *(chance.random(len(outside)) * len(rows))]
    both = [*rows, *outside]
    return [both[place] for place in np.argsort(at, kind="stable")]


def searches(seed: int) -> Rows:
    """Open-ended: searches for books, films and screenings, the same answer only where every field of the search is the same."""
    rows = []
    for name in _SEARCHES:
        for row in _read(f"snips/train-{name}.jsonl"):
            told = json.dumps([name, row["fields"]], sort_keys=True).casefold()
            rows.append(StreamRow(id=row["id"], text=row["input"], answer_class=told))
    return _shuffled(rows, seed)


def summaries(seed: int) -> Rows:
    """Open-ended: abstracts to be summed up. No answer is ever right for another."""
    files = ("scitldr/train.jsonl", "scitldr/dev.jsonl")
    rows = [
        StreamRow(id=row["id"], text=row["input"], answer_class=row["id"])
        for file in files
        for row in _read(file)
    ]
    return _shuffled(rows, seed)


def out_of_scope(seed: int) -> Rows:
    """1,200 rows with a class of their own: clinc150's 200, and rows of banking77 and of searches, half each."""
    own = [*_read("clinc150/oos_train.jsonl"), *_read("clinc150/oos_val.jsonl")]
    rows = [StreamRow(id=row["id"], text=row["input"], answer_class="") for row in own]
    missing = OUT_OF_SCOPE - len(rows)
    rows += _shuffled(_labelled("banking77/train.jsonl"), seed + 1)[: missing // 2]
    rows += searches(seed + 1)[: missing - missing // 2]
    return _alone(rows)


STREAMS: dict[str, Callable[[int], Rows]] = {
    "banking77": banking77,
    "banking77, 3,000": banking77_short,
    "banking77, warm": banking77_warm,
    "banking77, by class": banking77_by_class,
    "banking77, drifting": banking77_drifting,
    "banking77, sessions": banking77_sessions,
    "banking77, Zipf": banking77_zipf,
    "clinc150 + oos": clinc150,
    "clinc150 + oos, warm": clinc150_warm,
    "clinc150, withheld": clinc150_withheld,
    "clinc150 + oos, by class": clinc150_by_class,
    "searches": searches,
    "summaries": summaries,
}


def file_name(name: str) -> str:
    return name.replace(",", "").replace(" + ", "-").replace(" ", "-").casefold()


def _read(file: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / file).read_text("utf-8").splitlines()]


def _labelled(file: str) -> Rows:
    return [StreamRow(id=row["id"], text=row["input"], answer_class=row["label"]) for row in _read(file)]


def _shuffled(rows: Sequence[StreamRow], seed: int) -> Rows:
    return [rows[place] for place in np.random.default_rng([seed, 1]).permutation(len(rows))]


def _warm(rows: Iterable[StreamRow]) -> Rows:
    return [StreamRow(id=row.id, text=row.text, answer_class=row.answer_class, warm=True) for row in rows]


def _alone(rows: Iterable[StreamRow]) -> Rows:
    return [StreamRow(id=row.id, text=row.text, answer_class=f"alone: {row.id}") for row in rows]


def _renamed(row: StreamRow, id_: str) -> StreamRow:
    return StreamRow(id=id_, text=row.text, answer_class=row.answer_class)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"the development data are not in {DATA}; SMALLFIRST_DATA names another place")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, make in STREAMS.items():
        rows = make(options.seed)
        told = allowed(rows)
        path = options.folder / f"{file_name(name)}.jsonl"
        write_stream(path, [row for row in rows if not row.warm])
        if told.warm:
            write_stream(path.with_suffix(".warm.jsonl"), [row for row in rows if row.warm])
        print(
            f"{path.name}: {told.rows:,} requests, {told.seen:.1%} whose answer was given before, {told.repeats:.1%} repeat a text"
        )


if __name__ == "__main__":
    main()
