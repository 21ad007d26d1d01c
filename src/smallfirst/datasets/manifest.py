"""What a dataset says of itself: content, from which its name is made, and beside it when and by whom it was made."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from smallfirst.datasets.example import BY_PEOPLE, Split
from smallfirst.datasets.redaction import Redaction
from smallfirst.releases.policy import canonical

FORMAT = 1
Ratios = tuple[float, float, float]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How examples were put apart. The same examples by the same rule, from the same parent, give the same parts, in whatever order they came."""

    ratios: Ratios = (0.6, 0.2, 0.2)  # train, calibration, held-out
    heldout_rows: int | None = None  # instead of the third ratio
    seed: int = 0
    by_time: bool = False  # the newest are held out, the next newest are calibration
    group_by: Literal["conversation", "tenant"] = "conversation"
    near: float = 0.6  # from this likeness on two texts are of one group
    same: float = 0.9  # and from this on they are one example, unless their references differ
    deduplicate: bool = True


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Characters of what was asked, without system prompts. `histogram`: from quarters of a doubling (`round(4 log2)`) to examples."""

    p50: int = 0
    p95: int = 0
    longest: int = 0
    histogram: dict[str, int] = {}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part's file and what is in it, as sums: they may be known of the held-out part too."""

    sha256: str
    bytes: int
    rows: int
    groups: int
    labels: dict[str, int] = {}
    slices: dict[str, dict[str, int]] = {}
    references_by: dict[str, int] = {}  # "gold", "correction", "model:NAME", "synthetic:NAME"
    tenants: int = 0
    synthetic: int = 0
    simulated: int = 0  # whose reference is the output of a simulated provider
    lengths: Lengths = Lengths()

    @property
    def verified(self) -> int:
        """Examples whose reference a person gave; a model gave the others'."""
        return sum(count for by, count in self.references_by.items() if by in BY_PEOPLE)


class Duplicates(msgspec.Struct, frozen=True, kw_only=True):
    """What was found twice. Of exact ones and of near ones that agree, one is kept."""

    exact_removed: int = 0
    near_removed: int = 0
    near_kept: int = 0  # examples that share a group with another because their texts are alike
    contradicting: int = 0  # groups of the same text with different references
    largest_group: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a dataset. `seal` is that of the first version whose held-out part this one continues: reads are counted by it."""

    task: str
    contract: Literal["label", "json", "text"]
    rule: Rule
    parts: dict[Split, Part]
    members_sha256: str
    seal: str
    sources: dict[str, int]  # "ledger" or a file's name, to the rows read from it
    redaction: Redaction = Redaction()
    redacted: dict[str, int] = {}  # by kind, how many different values
    duplicates: Duplicates = Duplicates()
    skipped: dict[str, int] = {}  # why rows were not used
    dropped: int = 0  # examples that fit in no part: see `split.py`
    taken_over: int = 0  # examples that the parent was taught by larger models: see `taught.py`
    parent: str = ""
    format: int = FORMAT

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(canonical(self)).hexdigest()

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts.values())


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """When and by whom: not part of the name."""

    at_ms: int
    by: str
    version: str
    note: str = ""
