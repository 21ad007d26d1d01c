"""An example while a dataset is being made: its text lies in a file aside, and this is what has to be known of all of them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.datasets.example import BY_PEOPLE, SPLITS, Example, Lineage, Split
from smallfirst.datasets.members import key_of, safe_id
from smallfirst.datasets.row import Row
from smallfirst.releases.policy import canonical
from smallfirst.routing.reading import read_prompt
from smallfirst.wire import openai_chat
from smallfirst.wire.turns import read_conversation


class Held(msgspec.Struct, kw_only=True, gc=False):
    """`allowed`: the parts in which the example may stand; `pinned`: where it stood in the parent; `given`: where its file wants it."""

    id: str
    offset: int
    size: int
    text: str  # hash of what was asked
    reference: str  # hash of the reference
    keys: tuple[str, ...]  # hashes of what it belongs to
    strata: tuple[str, ...]  # its labels
    calls: tuple[str, ...]
    source: str
    at_ms: int
    by_person: bool
    synthetic: bool
    taught: bool
    allowed: frozenset[Split]
    given: Split | None = None
    pinned: Split | None = None

    @property
    def own(self) -> bool:
        """Whether it is what the task was really asked, as its sources have it: of such examples the parts have their shares."""
        return not (self.synthetic or self.taught)


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Between which the user's own question stands in the task's prompt."""

    after: str = ""
    before: str = ""


class Reading(Marks, frozen=True, kw_only=True):
    """How rows become examples. `reference` reads a reference or an answer by the contract; `forbidden` are providers on whose outputs
    nothing is trained, `simulated` those that only pretend.
    """

    reference: Callable[[Any], dict[str, Any]]
    forbidden: frozenset[str] = frozenset()
    simulated: frozenset[str] = frozenset()
    by_tenant: bool = False


class Shelf:
    """Examples in a file aside, in the order in which they came; a context manager that leaves nothing behind."""

    def __init__(self, folder: Path, reading: Reading) -> None:
        self._reading = reading
        self._path = folder / f".{os.getpid()}.shelf"
        self._file = self._path.open("wb+")
        self._path.chmod(0o600)
        self._end = 0
        self.held: list[Held] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def put(self, row: Row) -> None:
        """Takes a redacted row. Raises `reference.NoReferenceError` where it has no right answer to the task, `BadRequest` for messages."""
        example = self._example(row)
        data = msgspec.json.encode(example) + b"\n"
        self._file.seek(self._end)
        self._file.write(data)
        keys = belongings(row, example, by_tenant=self._reading.by_tenant)
        reference = key_of(canonical([example.reference]).decode())
        text_key = text_key_of(example, self._reading)
        self.held.append(
            Held(
                id=safe_id(row.id) if row.id else key_of(text_key + reference)[:16],
                offset=self._end,
                size=len(data),
                text=text_key,
                reference=reference,
                keys=keys,
                strata=_strata(example),
                calls=example.lineage.calls,
                source=row.source,
                at_ms=row.at_ms,
                by_person=example.lineage.reference_by in BY_PEOPLE,
                synthetic=example.synthetic,
                taught=example.lineage.taught,
                allowed=_allowed(example),
                given=row.split,
            )
        )
        self._end += len(data)

    def get(self, one: Held) -> Example:
        self._file.seek(one.offset)
        return msgspec.json.decode(self._file.read(one.size), type=Example)

    def texts(self, which: Sequence[Held]) -> Iterator[str]:
        """What was asked, for likeness: the turns, without system prompts."""
        for one in which:
            yield self.asked(self.get(one))

    def asked(self, example: Example) -> str:
        return asked_of(example, self._reading)

    def _example(self, row: Row) -> Example:
        reading = self._reading
        by_person = row.reference_by in BY_PEOPLE
        forbidden = not (by_person and not row.provider) and row.provider in reading.forbidden
        given = row.answer if row.reference is msgspec.UNSET else row.reference
        return Example(
            id="",
            messages=row.messages,
            tools=row.tools,
            tenant=row.tenant,
            at_ms=row.at_ms,
            trainable=row.trainable and not forbidden,
            synthetic=row.synthetic,
            slices=row.slices,
            lineage=Lineage(
                source=row.source,
                call=row.call,
                after=row.after,
                line=row.line,
                reference_by=f"synthetic:{row.source}" if row.synthetic and by_person else row.reference_by,
                provider=row.provider,
                simulated=row.simulated or (not by_person and row.provider in reading.simulated),
                taught=row.taught,
            ),
            **reading.reference(given),
        )


def asked_of(example: Example, marks: Marks) -> str:
    """What was asked: the user's own question where there is one turn, else all turns; without system prompts."""
    body = {"model": "any", "messages": example.messages}
    conversation = read_conversation(openai_chat.decode(msgspec.json.encode(body)))
    if len(conversation.turns) == 1:
        return read_prompt(conversation, after=marks.after, before=marks.before).question.strip()
    return "\n".join(f"{turn.role}: {turn.text}" for turn in conversation.turns).strip()


def text_key_of(example: Example, marks: Marks) -> str:
    """By what the same question is known again, however it is spaced and capitalised."""
    text = asked_of(example, marks) or canonical(example.messages).decode()
    return key_of(" ".join(text.casefold().split()))


def belongings(row: Row, example: Example, *, by_tenant: bool) -> tuple[str, ...]:
    """The hashes of what a row belongs to: rows that share one never straddle splits."""
    keys = [*row.keys, f"begins:{row.tenant}:{_beginning(example)}"]
    keys += [f"tenant:{row.tenant}"] if by_tenant and row.tenant else []
    return tuple(key_of(key) for key in keys)


def _beginning(example: Example) -> str:
    """How a conversation begins: later turns of it have that in common, where nobody has named it."""
    told: list[Any] = []
    for message in example.messages:
        told.append([message.get("role"), message.get("content")])
        if message.get("role") == "user":
            break
    return canonical(told).decode()


def _strata(example: Example) -> tuple[str, ...]:
    label = example.label
    return () if label is None else (label,) if isinstance(label, str) else tuple(label)


def _allowed(example: Example) -> frozenset[Split]:
    """Synthetic and taught examples prove nothing and set no threshold, what may not be trained on stands elsewhere, and a text without a label
    has none to be judged by.
    """
    allowed = set(SPLITS)
    if not example.trainable:
        allowed -= {"train"}
    if example.synthetic or example.lineage.taught or example.label == OUT_OF_SCOPE:
        allowed &= {"train"}
    return frozenset(allowed)
