"""A verdict: what the gate found when it compared a candidate with what is live. It lies beside the release, never in it.

    STATE/verdicts/<candidate's id>/<verdict's id>.json      one verdict; its name is the SHA-256 of its canonical JSON without the signature
    STATE/verdicts/<candidate's id>/<verdict's id>.lapsed    why its evidence no longer counts, where it does not
    STATE/verdicts/<candidate's id>/<verdict's id>.approved  who approved it, and when

The gate writes them and the gateway reads them; neither knows the other.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from smallfirst.releases.policy import canonical

Finding = Literal["pass", "fail", "not-enough-evidence"]
Against = Literal["live", "frontier"]
INTENTS = "intents"
"""The "slice" of a comparison of intent classifiers; slices of answers are "field=value"."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Comparison(_Strict, frozen=True, kw_only=True):
    """A candidate's policy beside another on the same examples: a task, or one slice of it.

    `loss` is the mean of score(other) − score(candidate); `low` and `high` its cluster-robust 95 % interval, for reports; `bound` its
    one-sided upper bound at confidence 1 − `alpha`, from which the finding follows. Of classifiers (slice `INTENTS`) a score is the share of
    the examples that are not taken for another task; with the frontier alone nothing is taken for any.
    """

    against: Against
    finding: Finding
    examples: int
    groups: int
    score: float  # the candidate's mean
    other_score: float
    loss: float
    low: float
    high: float
    bound: float
    margin: float
    alpha: float
    slice: str = ""  # "channel=email"; empty: the whole task; `INTENTS`: which task its calls are taken for
    examples_needed: int | None = (
        None  # in all, for a pass to be expected; None where none would do, or none are needed
    )


class Budget(_Strict, frozen=True, kw_only=True):
    """A limit on something other than quality: "cost", "latency_p95", "cache_error". `value` is what was seen and `bound` what it does not
    exceed, at 95 %; None where it cannot be said, as of a price that is unknown.
    """

    of: str
    finding: Finding
    value: float | None
    bound: float | None
    limit: float


class Alert(_Strict, frozen=True, kw_only=True):
    """A slice that nobody declared and that looks worse, after Holm's correction. It stops nothing."""

    slice: str
    examples: int
    loss: float
    p: float


class Disagreement(_Strict, frozen=True, kw_only=True):
    """How often small models' answers were not the frontier's, on the held-out examples that a small model answered: the mean of
    1 − score(candidate's answer, with the frontier's as reference), and what it does not exceed, each bound at its own level of error.

    A canary's answers have no gold reference, but the frontier can be asked; this says what to expect then.
    """

    mean: float
    bounds: tuple[tuple[float, float], ...]  # (level, upper bound), levels falling
    examples: int  # that a small model answered


class TaskVerdict(_Strict, frozen=True, kw_only=True):
    """What was found for one task. `read` counts how often its held-out part was read for a verdict, this time included."""

    task: str
    finding: Finding
    policy: str  # hashes of the policies that were compared
    live_policy: str
    rule: str  # hash of the rule by which: `rule_hash`
    unchanged: bool = (
        False  # the candidate's policy is the live one: nothing to compare but what takes calls for it
    )
    dataset: str = ""
    scorer: str = ""
    read: int = 0
    comparisons: tuple[Comparison, ...] = ()
    budgets: tuple[Budget, ...] = ()
    alerts: tuple[Alert, ...] = ()
    disagreement: Disagreement | None = None  # None: no small model answered, or no frontier was asked
    note: str = ""


class Fingerprint(_Strict, frozen=True, kw_only=True):
    """What a model was when it was compared: the names under which its provider answered, and its answers to the probe set, hashed."""

    upstream_models: tuple[str, ...] = ()
    system_fingerprints: tuple[str, ...] = ()
    probes: str = ""


class Verdict(_Strict, frozen=True, kw_only=True):
    """The finding for a whole release: that of its worst task."""

    candidate: str
    comparator: str  # the release that was live: an id, or "baseline"
    finding: Finding
    tasks: tuple[TaskVerdict, ...]
    at_ms: int
    by: str
    version: str  # of smallfirst
    fingerprints: dict[str, Fingerprint] = {}  # by model
    simulated: tuple[str, ...] = ()  # models that only pretend
    note: str = ""
    format: int = 1
    signature: str = (
        ""  # HMAC-SHA256 of the canonical JSON without it, in hex, where the configuration names a key
    )

    @property
    def signed_bytes(self) -> bytes:
        """What is hashed for its name, and signed."""
        return canonical(msgspec.structs.replace(self, signature=""))

    @property
    def id(self) -> str:
        return hashlib.sha256(self.signed_bytes).hexdigest()


def rule_hash(rule: Any) -> str:
    """The name of a rule: every number by which a verdict was reached."""
    return hashlib.sha256(canonical(rule)).hexdigest()
