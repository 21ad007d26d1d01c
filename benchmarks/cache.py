"""What the cache is worth, and whether its bound holds: `python -m benchmarks.cache`.

*streams*: every stream of `benchmarks.cache_streams` through our cache, exact-only, fixed cosines and vCache's rule, as `smallfirst cache eval` does.
*seeds*: whether wrong hits stayed within δ in 20 runs, in orders of chance, drifting, and intent by intent. *pairs*: how often a text is given the
answer to one that differs from it in a negation, a number, a name, a direction or an action. *lookups*: what a look-up costs at 100,000
entries, and what an entry takes. `--quick` takes three streams and three seeds. The development data are found by SMALLFIRST_DATA. What
concerns keys is in `benchmarks.cache_keys`, what concerns the bound alone in `benchmarks.cache_bound`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two replays at a time: threads would get in each other's way

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cache_pairs import pairs
from benchmarks.cache_streams import DATA, STREAMS, file_name
from smallfirst import limits
from smallfirst.cache.semantic.index import Index
from smallfirst.classify.embedders import open_embedder
from smallfirst.evals.cache.decision import Figures
from smallfirst.evals.cache.entries import entry_of
from smallfirst.evals.cache.evaluation import METHODS, Wanted, in_hindsight, replayed
from smallfirst.evals.cache.keeper import Keeper
from smallfirst.evals.cache.picture import draw_cache
from smallfirst.evals.cache.replay import Ours
from smallfirst.evals.cache.stream import StreamRow, allowed

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
PICTURED = ("banking77", "clinc150 + oos")
CHANCE, IN_TIME = (
    ("banking77", "clinc150 + oos"),
    ("banking77, drifting", "banking77, by class", "clinc150 + oos, by class"),
)
QUICK = ("banking77, 3,000", "banking77, warm", "banking77, drifting")
DELTAS = (0.01, 0.02, 0.05)
ENTRIES = 100_000


class Job(msgspec.Struct, frozen=True):
    """One stream, in the order of one seed."""

    stream: str
    seed: int
    methods: tuple[str, ...] = METHODS
    embedder: str = "wordllama"
    deltas: tuple[float, ...] = DELTAS


def quiet(step: str, done: int, total: int) -> None:
    """Nobody watches."""


def found(job: Job) -> list[Figures]:
    """What every method was worth on the stream."""
    rows = STREAMS[job.stream](job.seed)
    wanted = Wanted(methods=job.methods, deltas=job.deltas, seed=job.seed)
    return [one.figures for one in replayed(rows, wanted, open_embedder(job.embedder), quiet)]


def all_found(jobs: Sequence[Job], workers: int, what: str) -> Iterator[tuple[Job, list[Figures]]]:
    with ProcessPoolExecutor(workers) as pool:
        done = zip(jobs, pool.map(found, jobs), strict=True)
        yield from track(done, what, total=len(jobs), console=Console(stderr=True))


def streams_table(options: argparse.Namespace, out: Console) -> list[dict[str, Any]]:
    """Streams × methods, one seed."""
    table = Table(
        "stream", "allows", "", "hits", "wrong", "95 %", "checked", "saved", "from", title="Streams"
    )
    names = QUICK if options.quick else tuple(STREAMS)
    told = []
    for job, figures in all_found(
        [Job(name, 0, embedder=options.embedder) for name in names], options.jobs, "streams"
    ):
        told.append({"stream": job.stream, "figures": msgspec.to_builtins(figures)})
        most = f"{allowed(STREAMS[job.stream](job.seed)).seen:.1%}"
        for at, one in enumerate(_shown(figures)):
            table.add_row(*((job.stream, most) if not at else ("", "")), *_cells(one))
        table.add_section()
        if job.stream in PICTURED and not options.quick:
            draw_cache(PICTURES / f"cache-{file_name(job.stream)}.svg", figures, title=job.stream)
    out.print(table)
    return told


def seeds_table(options: argparse.Namespace, out: Console) -> list[dict[str, Any]]:
    """Whether δ was kept, seed by seed."""
    seeds = 3 if options.quick else options.seeds
    names = QUICK[-1:] if options.quick else (*CHANCE, *IN_TIME)
    jobs = [Job(name, seed, ("ours",), options.embedder) for name in names for seed in range(seeds)]
    by: dict[tuple[str, float], list[Figures]] = {}
    for job, figures in all_found(jobs, options.jobs, "seeds"):
        for one in figures:
            by.setdefault((job.stream, one.delta or 0.0), []).append(one)
    table = Table(
        "stream", "δ", "kept", "hits", "wrong, mean", "wrong, worst", "checked", title=f"{seeds} seeds"
    )
    told = []
    for (stream, delta), runs in by.items():
        kept = sum(bool(one.kept) for one in runs)
        hits, wrong, worst, checked = (
            [one.hit_rate for one in runs], [one.wrong_rate for one in runs], max(one.wrong_rate for one in runs),
            [one.checks_rate for one in runs],
        )  # fmt: skip
        table.add_row(
            stream, f"{delta:g}", f"{kept} of {len(runs)}", f"{np.mean(hits):.1%}", f"{np.mean(wrong):.2%}", f"{worst:.2%}",
            f"{np.mean(checked):.1%}",
        )  # fmt: skip
        told.append({"stream": stream, "delta": delta, "kept": kept, "seeds": len(runs), "worst": worst})
    out.print(table)
    return told


def pairs_table(options: argparse.Namespace, out: Console) -> list[dict[str, Any]]:
    """How often a changed text is answered by what it was made of, after a stream of the set was learned from and at the threshold then in force.

    *alone*: the original is all that is stored. *among others*: with the stream's entries, and any entry of the original's answer counts.
    """
    table = Table(
        "texts",
        "change",
        "pairs",
        "alone",
        "among others",
        title=f"Adversarial pairs accepted, at δ = {DELTAS[-1]:g}",
    )
    told = []
    for name in ("banking77", "clinc150 + oos"):
        rows = STREAMS[name](0)[: 1500 if options.quick else 6000]
        for kind, each in _pairs_of(rows, options.embedder).items():
            alone, among = (float(np.mean([one[side] for one in each])) for side in (0, 1))
            table.add_row(name, kind, f"{len(each):,}", f"{alone:.2%}", f"{among:.2%}")
            told.append({"texts": name, "kind": kind, "pairs": len(each), "alone": alone, "among": among})
    out.print(table)
    return told


def _pairs_of(rows: Sequence[StreamRow], name: str) -> dict[str, list[tuple[bool, bool]]]:
    """By kind of change, of each pair: whether it was accepted alone, and among the others."""
    embedder = open_embedder(name)
    vectors = embedder.embed([row.text for row in rows])
    keeper = Keeper(rows, vectors, delta=DELTAS[-1])
    for _ in Ours(rows, vectors, delta=DELTAS[-1], keeper=keeper).replay():
        pass
    threshold = keeper.standing.threshold or 0.9
    index = Index(embedder.dimensions)
    for row, answer in keeper.answers.items():
        index.add(entry_of(row, vectors[row], question=rows[row].text, group=answer))
    answers = {row.answer_class: keeper.answers[at] for at, row in enumerate(rows) if at in keeper.answers}
    places = {row.text: at for at, row in enumerate(rows)}
    made = list(pairs([row.text for row in rows[:3000]], seed=1))
    found: dict[str, list[tuple[bool, bool]]] = {}
    for one, vector in zip(made, embedder.embed([one.changed for one in made]), strict=True):
        at = places[one.text]
        answer = answers.get(rows[at].answer_class, at + 1)
        original = entry_of(at, vectors[at], question=one.text, group=answer)
        single = Index(embedder.dimensions)
        single.add(original)
        index.add(original)
        sides = []
        for each in (single, index):
            candidates = each.nearest(vector, limits.CACHE_CANDIDATES, 0)
            told = keeper.guard.judge(one.changed, vector, candidates)
            hit = told is not None and not told.refused and told.probability >= threshold
            sides.append(told is not None and hit and told.candidate.answer == answer)
        found.setdefault(one.kind, []).append((sides[0], sides[1]))
    return found


def lookups_table(options: argparse.Namespace, out: Console) -> dict[str, Any]:
    """The index and the guard at 100,000 entries of one partition: CPU time of a look-up, and memory."""
    entries = ENTRIES // 10 if options.quick else ENTRIES
    rows = STREAMS["clinc150 + oos"](0)
    texts = [row.text for row in rows]
    vectors = open_embedder(options.embedder).embed(texts)
    chance = np.random.default_rng(0)
    before = _resident()
    index = Index(vectors.shape[1])
    for at in track(range(entries), "filling", console=Console(stderr=True)):
        near = vectors[at % len(texts)] + 0.05 * chance.standard_normal(vectors.shape[1]).astype(np.float32)
        near /= np.linalg.norm(near)
        index.add(entry_of(at, near, question=f"{texts[at % len(texts)]} {at}", answer=str(at % 150)))
    if index.worn:
        index.take(index.building()())
    per_entry = (_resident() - before) / entries
    spent = _spent_us(index, rows, vectors)
    table = Table(
        "", "median, µs", "p99, µs", title=f"One look-up at {entries:,} entries, CPU without the embedding"
    )
    for name, each in spent.items():
        table.add_row(name, f"{np.median(each):,.0f}", f"{np.quantile(each, 0.99):,.0f}")
    out.print(table)
    out.print(f"memory of an entry in the index: {per_entry:,.0f} bytes", highlight=False)
    return {name: float(np.median(each)) for name, each in spent.items()} | {"entry_bytes": per_entry}


def _spent_us(index: Index, rows: Sequence[StreamRow], vectors: np.ndarray) -> dict[str, list[float]]:
    """Of 2,000 look-ups by a guard as it is after a stream, so that all of it is there to be timed."""
    keeper = Keeper(rows[:3000], vectors[:3000], delta=DELTAS[0])
    for _ in Ours(rows[:3000], vectors[:3000], delta=DELTAS[0], keeper=keeper).replay():
        pass
    spent: dict[str, list[float]] = {"neighbours": [], "judgement": [], "both": []}
    for at in np.random.default_rng(1).integers(0, len(rows), 2000).tolist():
        began_ns = time.thread_time_ns()
        candidates = index.nearest(vectors[at], limits.CACHE_CANDIDATES, 0)
        found_ns = time.thread_time_ns()
        keeper.guard.judge(rows[at].text, vectors[at], candidates)
        ended_ns = time.thread_time_ns()
        spent["neighbours"].append((found_ns - began_ns) / 1000)
        spent["judgement"].append((ended_ns - found_ns) / 1000)
        spent["both"].append((ended_ns - began_ns) / 1000)
    return spent


def _shown(figures: Sequence[Figures]) -> Iterable[Figures]:
    """Ours, the others, and of the fixed cosines those that were best in hindsight."""
    best = {id(one) for delta in (0.005, *DELTAS) if (one := in_hindsight(figures, delta)) is not None}
    shown = [one for one in figures if one.method != "fixed" or id(one) in best]
    return sorted(shown, key=lambda one: METHODS.index(one.method))


def _cells(one: Figures) -> tuple[str, ...]:
    setting = (
        f"δ {one.delta:g}"
        if one.delta is not None
        else ""
        if one.threshold is None
        else f"{one.threshold:.2f}"
    )
    return (
        f"{one.method} {setting}", f"{one.hit_rate:.1%}", f"{one.wrong_rate:.2%}", f"{one.wrong_rate_low:.2%}–{one.wrong_rate_high:.2%}",
        f"{one.checks_rate:.1%}", f"{one.net_saved_rate:.1%}", str(one.opened_at or "–"),
    )  # fmt: skip


def _resident() -> int:
    """Bytes of memory of this process, as the kernel counts them."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="three streams, three seeds, 10,000 entries, no pictures"
    )
    parser.add_argument("--only", choices=("streams", "seeds", "pairs", "lookups"), action="append")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--embedder", default="wordllama")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"the development data are not in {DATA}; SMALLFIRST_DATA names another place")
    out, told = Console(stderr=options.json, width=140), {}
    parts = {"streams": streams_table, "seeds": seeds_table, "pairs": pairs_table, "lookups": lookups_table}
    for name, part in parts.items():
        if not options.only or name in options.only:
            told[name] = part(options, out)
    if options.json:
        json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
