"""How a model is asked for examples, and how its answer is read: a JSON array, or nothing.

Real examples stand in the prompt as JSON strings, so that what users wrote is data to whoever reads it. They are of one tenant, and redacted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.contracts import Contract, JsonContract, LabelContract
from smallfirst.datasets.example import Example, Lineage

SOURCE = "synthetic"
_FENCE = "```"


class Pair(msgspec.Struct, frozen=True):
    """A message and its right value."""

    message: str
    value: Any


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One request for `count` examples of `label` ("" where the contract has none). `seeds`: real examples of `tenant`; `asked`: their
    questions.
    """

    id: str
    label: str
    tenant: str
    count: int
    seeds: tuple[Example, ...]
    asked: tuple[str, ...]

    @property
    def calls(self) -> tuple[str, ...]:
        """The ledger's calls that are shown."""
        return tuple(sorted({call for seed in self.seeds for call in seed.lineage.calls}))


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The task that is written for."""

    name: str
    contract: Contract
    description: str = ""
    instructions: str = ""


def answer_contract(contract: Contract) -> JsonContract:
    """What the model's answer must be; an engine of one's own is held to it."""
    if isinstance(contract, LabelContract):
        item: dict[str, Any] = {"type": "string", "minLength": 1}
    else:
        item = {
            "type": "object",
            "properties": {"message": {"type": "string", "minLength": 1}, "value": {}},
            "required": ["message", "value"],
            "additionalProperties": False,
        }
    return JsonContract(schema={"type": "array", "items": item, "minItems": 1})


def question_of(batch: Batch, subject: Subject) -> Example:
    """The request, as an example whose answer is to be read by `read_written`."""
    lines = _of_label(batch, subject) if batch.label else _of_value(batch, subject)
    content = "\n".join(
        [
            *lines,
            "",
            "Write as these users do, each message about another matter and in other words: vary the length, the tone and the order.",
            "Repeat none of the messages above. Invent no names, addresses or numbers of real persons.",
            "Placeholders such as <EMAIL_1> stand for what was taken out: where a message needs one, write one.",
            f"Answer with a JSON array of {batch.count} {'strings' if batch.label else 'objects'} and nothing else.",
        ]
    )
    return Example(
        id=batch.id,
        messages=[{"role": "user", "content": content}],
        tenant=batch.tenant,
        lineage=Lineage(source=SOURCE, after=batch.calls),
    )


def read_written(text: str, contract: Contract) -> list[Pair] | None:
    """The messages of an answer, each with its value (None for labels); None where the answer is not the array that was asked for."""
    kind: Any = list[str] if isinstance(contract, LabelContract) else list[Pair]
    try:
        found = msgspec.json.decode(_unfenced(text).encode("utf-8", "surrogatepass"), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return [Pair(one, None) if isinstance(one, str) else one for one in found]


def _of_label(batch: Batch, subject: Subject) -> list[str]:
    assert isinstance(subject.contract, LabelContract)
    others = [label for label in subject.contract.labels if label != batch.label]
    return [
        f'Write {batch.count} new user messages that have the label {_json(batch.label)} of the task "{subject.name}".',
        *_about(subject),
        f"The other labels are {', '.join(map(_json, others))}: a message that could as well have one of those does not count.",
        "",
        "Messages of users that have the label:",
        *(_json(text) for text in batch.asked),
    ]


def _of_value(batch: Batch, subject: Subject) -> list[str]:
    assert isinstance(subject.contract, JsonContract)
    return [
        f'Write {batch.count} new user messages for the task "{subject.name}", each with the value that is right for it.',
        *_about(subject),
        f"A value is valid against this JSON Schema: {_json(subject.contract.schema)}",
        "Whatever a value says must stand in its message.",
        "",
        'Messages of users, each with its value, as {"message", "value"}:',
        *(
            _json({"message": text, "value": seed.fields})
            for text, seed in zip(batch.asked, batch.seeds, strict=True)
        ),
    ]


def _about(subject: Subject) -> list[str]:
    told = [subject.description and f"The task: {subject.description}"]
    told.append(
        subject.instructions
        and f"What a model is told to do with such a message: {_json(subject.instructions)}"
    )
    return [line for line in told if line]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _unfenced(text: str) -> str:
    """The text without a code fence around all of it, which some models cannot be kept from."""
    text = text.strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE) and len(text) > 2 * len(_FENCE):
        first, _, rest = text.partition("\n")
        if first in (_FENCE, _FENCE + "json"):
            return rest.removesuffix(_FENCE).strip()
    return text


def instead_of(seed: Example, asked: str, text: str, *, after: str = "") -> list[dict[str, Any]]:
    """A real example's messages with another question in them: the same system prompt, the same frame around the question.

    `asked` is the seed's own question; it stands behind the last mark `after`.
    """
    messages = []
    for message in seed.messages:
        content = message.get("content")
        if message.get("role") == "user" and isinstance(content, str):
            start = content.rfind(after) + len(after) if after and after in content else 0
            at = content.find(asked, start) if asked else -1
            framed = text if at < 0 else content[:at] + text + content[at + len(asked) :]
            messages.append(message | {"content": framed})
        else:
            messages.append(message)
    return messages


def is_plain(example: Example) -> bool:
    """Whether an example is one question in words, so that another can stand in its place."""
    turns = [message for message in example.messages if message.get("role") not in ("system", "developer")]
    return (
        len(turns) == 1
        and turns[0].get("role") == "user"
        and isinstance(turns[0].get("content"), str)
        and not example.tools
    )
