"""Small parts for tests of semantic look-ups: entries, a guard that believes in similarity, an embedder of written-out vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.embedding import Embedding
from smallfirst.cache.semantic.look_up import Asking
from smallfirst.cache.semantic.seen import Candidate, Judgement
from smallfirst.cache.semantic.standing import Standing, Standings
from smallfirst.config.schema import SemanticCache

NOW_MS = 1_800_000_000_000
RULE = SemanticCache(delta=0.05)
PARTITION = b"p" * 32


def unit(vector: Sequence[float] | np.ndarray) -> np.ndarray:
    found = np.asarray(vector, np.float32)
    return found / np.linalg.norm(found)


def an_entry(**fields: Any) -> Entry:
    """An entry of tenant acme's triage; `vector` may be given as numbers, `id` also makes its key."""
    vector = fields.pop("vector", None)
    number = fields.get("id", 0)
    told = {
        "key": number.to_bytes(32, "big"),
        "tenant": "acme",
        "task": "triage",
        "policy": "policy",
        "release": "release",
        "call": f"call-{number}",
        "model": "small",
        "rung": 0,
        "dialect": "openai",
        "answer": b"{}",
        "text": "billing",
        "cost_nusd": 1000,
        "at_ms": NOW_MS,
        "expires_ms": NOW_MS + 3_600_000,
        "partition": PARTITION,
        "question": f"question {number}",
        "vector": b"" if vector is None else unit(vector).astype(np.float16).tobytes(),
    }
    return msgspec.structs.replace(Entry(**(told | fields)))


def an_asking(question: str, **fields: Any) -> Asking:
    told = {
        "tenant": "acme",
        "task": "triage",
        "policy": "policy",
        "partition": PARTITION,
        "question": question,
        "rule": RULE,
        "call": "call-0",
        "key": b"k" * 32,
    }
    return Asking(**(told | fields))


class Believing:
    """A guard whose probability is the similarity, and which refuses what says so."""

    def __init__(self, sha256: str = "") -> None:
        self.sha256 = sha256

    def judge(self, text: str, vector: np.ndarray, candidates: Sequence[Candidate]) -> Judgement | None:
        if not candidates:
            return None
        best = max(candidates, key=lambda one: one.similarity)
        refused = "refused" if "refuse" in text else ""
        probability = 0.0 if refused else max(0.0, best.similarity)
        return Judgement(
            candidate=best, probability=probability, features=(best.similarity,), refused=refused
        )


class Written:
    """An embedder whose vectors are written out by text."""

    name = "wordllama"
    sha256 = "written"
    slow = False

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self._vectors = vectors
        self.dimensions = len(next(iter(vectors.values())))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([unit(self._vectors[text]) for text in texts])


async def embedding_of(vectors: Mapping[str, Sequence[float]]) -> Embedding:
    """Loaded."""
    made = Embedding(lambda _name: Written(vectors))
    made.get("wordllama")
    made._thread.submit(lambda: None).result()
    return made


def standings(threshold: float | None, **fields: Any) -> Standings:
    told = {
        "task": "triage",
        "policy": "policy",
        "lease_until_ms": NOW_MS + 10_000,
        "room": 1000,
        "check": 0.5,
        "guard": "g",
    }
    told = Standing(threshold=threshold, **(told | fields))
    return Standings(policies={"policy": told})
