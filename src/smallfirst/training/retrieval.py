"""An index of examples, made of a dataset's train part: what `retrieve` shows a model of."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.answering.check import compile_check
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.encoding import vectors
from smallfirst.classify.examples import Header, Row, pack_index, salt
from smallfirst.classify.prompt import Prompt
from smallfirst.contracts import Contract, LabelContract
from smallfirst.datasets.erased import is_forgotten
from smallfirst.datasets.example import Example
from smallfirst.datasets.export import answer_of
from smallfirst.errors import BadRequest, ConfigError
from smallfirst.releases.policy import canonical
from smallfirst.routing.reading import read_prompt
from smallfirst.wire import openai_chat
from smallfirst.wire.turns import Conversation, read_conversation

Progress = Callable[[str, int, int], None]
_BATCH = 64
_LOOKED_AT = 500  # examples whose neighbours are looked at, to say how alike neighbours are


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What an index is to be of. `erased`: the SHA-256 of the ids of calls that were forgotten; no example of them is taken."""

    task: str
    contract: Contract
    dataset: str
    question_after: str = ""
    question_before: str = ""
    erased: frozenset[bytes] = frozenset()
    seed: int = 0


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """An index's two files, and what there is to say of it."""

    data: bytes
    rows: bytes
    report: dict[str, Any]


class _Taken(msgspec.Struct, frozen=True):
    example: Example
    said: str  # the user's message
    prompt: Prompt
    answer: str


def make_index(
    examples: Iterable[Example], wanted: Wanted, embedder: Embedder, *, progress: Progress
) -> Index:
    """The index of these examples: of those that are one question, and whose reference keeps the contract.

    Past `MAX_EXAMPLES` or `MAX_EXAMPLES_BYTES` some are drawn. Raises `ConfigError` where none is left.
    """
    left_out: Counter[str] = Counter()
    taken = _bounded(_taken(examples, wanted, left_out), wanted.seed, left_out)
    if not taken:
        why = "; ".join(f"{count:,} {what}" for what, count in left_out.most_common())
        raise ConfigError(
            f"the train part of dataset {wanted.dataset[:12]} has no example that can be shown ({why or 'it is empty'}): "
            f"`smallfirst dataset import` or `smallfirst dataset build` makes one that has"
        )
    made = _embedded(taken, embedder, progress)
    rows = [_row(one, vector) for one, vector in zip(taken, made, strict=True)]
    header = Header(
        task=wanted.task,
        dataset=wanted.dataset,
        contract_sha256=hashlib.sha256(canonical(wanted.contract)).hexdigest(),
        embedder=embedder.name,
        embedder_sha256=embedder.sha256,
        dimensions=embedder.dimensions,
        examples=len(rows),
        synthetic=sum(row.synthetic for row in rows),
        question_after=wanted.question_after,
        question_before=wanted.question_before,
    )
    data, packed = pack_index(header, rows)
    alike = _alike(taken, made, wanted) if isinstance(wanted.contract, LabelContract) else None
    return Index(data=data, rows=packed, report=_report(header, rows, left_out, alike))


def _taken(examples: Iterable[Example], wanted: Wanted, left_out: Counter[str]) -> list[_Taken]:
    check = compile_check(wanted.contract)
    found: list[_Taken] = []
    for example in examples:
        one = _shown(example, wanted)
        why = one if isinstance(one, str) else ""
        if is_forgotten(example.lineage.calls, wanted.erased):
            why = "of calls that were erased"
        elif not isinstance(one, str) and check(one.answer):
            why = "whose reference does not keep the contract"
        if why:
            left_out[why] += 1
        elif not isinstance(one, str):
            found.append(one)
    return found


def _shown(example: Example, wanted: Wanted) -> _Taken | str:
    """The example as it is shown, or why it cannot be."""
    try:
        conversation = _conversation(example)
    except BadRequest as error:
        raise ConfigError(f"example {example.id}: {error.message}") from error
    turns = conversation.turns
    if len(turns) != 1 or turns[0].role != "user":
        return "of more than one turn"
    if conversation.images or example.tools:
        return "with images or tools"
    said = turns[0].text
    prompt = read_prompt(conversation, after=wanted.question_after, before=wanted.question_before)
    if not prompt.question.strip():
        return "without a text"
    return _Taken(example, said, prompt, answer_of(example).strip())


def _conversation(example: Example) -> Conversation:
    body = {"model": "any", "messages": example.messages}
    return read_conversation(openai_chat.decode(msgspec.json.encode(body)))


def _bounded(taken: list[_Taken], seed: int, left_out: Counter[str]) -> list[_Taken]:
    """As many as an index may hold, drawn by their ids."""
    drawn = sorted(taken, key=lambda one: hashlib.sha256(f"{seed}\x00{one.example.id}".encode()).digest())
    kept: list[_Taken] = []
    size = 0
    for one in drawn[: limits.MAX_EXAMPLES]:
        size += len(one.said.encode()) + len(one.answer.encode())
        if size > limits.MAX_EXAMPLES_BYTES:
            break
        kept.append(one)
    if len(kept) < len(taken):
        left_out["more than an index holds"] += len(taken) - len(kept)
    return sorted(kept, key=lambda one: one.example.id)


def _embedded(taken: Sequence[_Taken], embedder: Embedder, progress: Progress) -> np.ndarray:
    """[n, dimensions]."""
    parts: list[np.ndarray] = []
    for at in range(0, len(taken), _BATCH):
        parts.append(vectors(embedder, [one.prompt for one in taken[at : at + _BATCH]]))
        progress("embedding", min(at + _BATCH, len(taken)), len(taken))
    return np.concatenate(parts)


def _row(one: _Taken, vector: np.ndarray) -> Row:
    example = one.example
    return Row(
        salt=salt(),
        id=example.id,
        question=one.said,
        answer=one.answer,
        vector=vector.astype(np.float16).tobytes(),
        tenant=example.tenant,
        group=example.group,
        call=example.lineage.call,
        at_ms=example.at_ms,
        synthetic=example.synthetic,
        after=example.lineage.after,
    )


def _alike(taken: Sequence[_Taken], made: np.ndarray, wanted: Wanted) -> float | None:
    """How often the nearest other example, of another group and the same tenant or nobody's, has the same answer."""
    draw = random.Random(wanted.seed)  # noqa: S311 (a sample, not a secret)
    looked = draw.sample(range(len(taken)), min(_LOOKED_AT, len(taken)))
    found: list[bool] = []
    for at in looked:
        own = taken[at].example
        cosines = made @ made[at]
        for other in np.argsort(-cosines, kind="stable"):
            one = taken[int(other)].example
            if (
                one.id == own.id
                or (own.group and one.group == own.group)
                or one.tenant not in (own.tenant, "")
            ):
                continue
            found.append(taken[int(other)].answer == taken[at].answer)
            break
    return sum(found) / len(found) if found else None


def _report(
    header: Header, rows: Sequence[Row], left_out: Counter[str], alike: float | None
) -> dict[str, Any]:
    return {
        "dataset": header.dataset,
        "examples": header.examples,
        "synthetic": header.synthetic,
        "tenants": len({row.tenant for row in rows if row.tenant}),
        "everybodys": sum(not row.tenant for row in rows),
        "embedder": header.embedder,
        "memory_bytes": 4 * header.examples * header.dimensions
        + sum(len(row.question.encode()) + len(row.answer.encode()) for row in rows),
        "left_out": dict(left_out),
        "nearest_same_answer": None if alike is None else round(alike, 4),
    }
