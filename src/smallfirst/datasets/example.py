"""One example: what was asked, what a right answer is, and where both came from. A line of a dataset's files."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Split = Literal["train", "calibration", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "calibration", "heldout")
BY_PEOPLE = ("gold", "correction")
"""The references that a person, or a file that a person answers for, gave: what is measured on them is accuracy."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an example came from, so that it can be erased with its source and left out where its terms forbid.

    `after`: the ledger's calls that a model was shown when it wrote this. `taught`: a larger model gave it to the dataset (`dataset distil`,
    `dataset synthesise`); no other source has it, so the dataset's next versions take it over (`taught.py`).
    `reference_by` is "gold" (a file said so), "correction" (an outcome said so), "model:NAME" (that model's answer is the reference) or
    "synthetic:NAME" (that model wrote the question for the reference; of an imported one, the file).
    """

    source: str  # "ledger", or the name of the file
    call: str = ""  # the ledger's id of the call
    after: tuple[str, ...] = ()
    line: int = 0  # of the file
    reference_by: str = "gold"
    provider: str = ""  # whose output the reference is; empty where a person gave it
    simulated: bool = False  # that provider only pretends to be one
    taught: bool = False

    @property
    def calls(self) -> tuple[str, ...]:
        """Every call of the ledger that it was made from: where one of them is erased, so is this."""
        return (self.call, *self.after) if self.call else self.after


class Example(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`messages` are OpenAI's, as they were sent. One of `label`, `fields` and `references` says what a right answer is, by the task's contract."""

    id: str
    messages: list[dict[str, Any]]
    label: str | list[str] | None = None  # contract `label`; a list for several or ranked ones
    fields: Any = None  # contract `json`: the whole value
    references: list[str] | None = None  # contract `text`: texts of which each is right
    tools: list[dict[str, Any]] | None = None
    group: str = ""  # what must not straddle splits: a conversation, a user, near-duplicates
    tenant: str = ""
    at_ms: int = 0
    trainable: bool = True  # consent, and the terms of the provider whose output the reference is
    synthetic: bool = False  # in train alone
    slices: dict[str, str] = {}  # fields by which results are told apart: intent, language, channel …
    lineage: Lineage = Lineage(source="")

    @property
    def reference(self) -> Any:
        """What a scorer compares with: a label or labels, a JSON value, or a list of texts."""
        return (
            self.label
            if self.label is not None
            else self.references
            if self.references is not None
            else self.fields
        )
