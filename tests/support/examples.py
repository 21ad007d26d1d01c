"""Indexes of examples made in a few lines, for tests that need one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smallfirst.classify.embedder import Embedder
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.examples import KIND, Header, Row, pack_index, rows_path, salt
from smallfirst.classify.store import Artifacts, Described
from smallfirst.contracts import Contract, LabelContract
from smallfirst.datasets.example import Example, Lineage
from smallfirst.training.retrieval import Wanted, make_index

LABELS = LabelContract(labels=("billing", "bug", "how-to"))
SAID = {
    "billing": ("I was charged twice on my invoice", "Please refund my payment", "Wrong VAT on the bill"),
    "bug": ("The app crashes with an error", "The page stays blank", "Export fails with exception 500"),
    "how-to": ("How do I invite a colleague", "Where can I change my password", "How can I add a filter"),
}


def example(name: str, text: str, label: str = "bug", *, call: str = "", **fields: Any) -> Example:
    return Example(
        id=name,
        messages=[{"role": "user", "content": text}],
        label=label,
        lineage=Lineage(source="ledger" if call else "test.jsonl", call=call),
        **fields,
    )


def nine(**fields: Any) -> list[Example]:
    """Nine examples of three labels: "billing-0" to "how-to-2"."""
    return [
        example(f"{label}-{at}", text, label, **fields)
        for label, texts in SAID.items()
        for at, text in enumerate(texts)
    ]


def save(
    state: Path,
    examples: Sequence[Example],
    *,
    task: str = "triage",
    contract: Contract = LABELS,
    embedder: Embedder | None = None,
    at_ms: int = 1,
) -> str:
    """The hash of the index of these examples, which is then the newest of the task."""
    wanted = Wanted(task=task, contract=contract, dataset="d" * 64)
    made = make_index(examples, wanted, embedder or open_embedder("wordllama"), progress=lambda *_: None)
    return Artifacts(state).save(made.data, Described(at_ms=at_ms, kind=KIND, task=task), rows=made.rows)


class Letters:
    """An embedder of one's own, in no time: a text is how often each of 26 letters stands in it."""

    name = "letters"
    sha256 = "1e" * 32
    dimensions = 26
    slow = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        counts = np.array([[text.lower().count(chr(97 + at)) for at in range(26)] for text in texts])
        lengths = np.linalg.norm(counts, axis=1, keepdims=True)
        return (counts / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def write_index(folder: Path, rows: Sequence[Row], embedder: Embedder) -> Path:
    """An index of these rows, whatever they are; its file."""
    header = Header(
        task="triage",
        dataset="d" * 64,
        contract_sha256="",
        embedder=embedder.name,
        embedder_sha256=embedder.sha256,
        dimensions=embedder.dimensions,
        examples=len(rows),
    )
    data, packed = pack_index(header, rows)
    sha256 = Artifacts(folder).save(data, Described(at_ms=1, kind=KIND, task="triage"), rows=packed)
    path = Artifacts(folder).path(sha256)
    assert rows_path(path).is_file()
    return path


def row(name: str, text: str, embedder: Embedder, **fields: Any) -> Row:
    vector = embedder.embed([text])[0].astype(np.float16).tobytes()
    told: dict[str, Any] = {"answer": "bug"} | fields
    return Row(salt=salt(), id=name, question=text, vector=vector, **told)
