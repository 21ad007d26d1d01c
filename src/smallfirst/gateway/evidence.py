"""Whether what answers is still what was compared: each attempt's model beside the fingerprints in the verdict that proves its release.

A model that answers under another name, or with another `system_fingerprint`, lapses the evidence: the tasks that ask it go to their frontier with
the next call, and the verdict's `.lapsed` file says so from then on. Nothing but another verdict brings them back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from smallfirst.errors import LedgerUnavailable
from smallfirst.gateway.channel import Channel
from smallfirst.gateway.running import Running
from smallfirst.ledger.records import Attempt, Call, Event
from smallfirst.releases import Verdicts
from smallfirst.releases.verdict import Fingerprint

_log = logging.getLogger(__name__)


class _Finding(msgspec.Struct, frozen=True):
    release: str
    verdict: str
    model: str
    reason: str


class Evidence:
    """Looks at every settled call. What it finds takes effect at once, and is written by `keep`, off the call's path.

    `note` is told of each finding once.
    """

    def __init__(self, state: Path, note: Callable[[str, dict[str, object]], None]) -> None:
        self._verdicts = Verdicts(state)
        self._note = note
        self._found: list[_Finding] = []
        self._stamps: dict[tuple[str, str], int] = {}

    def look(self, running: Running, call: Call) -> None:
        """Whether the attempts of a call were answered by what was compared."""
        if call.task:
            for channel in running.channels:
                if channel.serving.proof is not None and channel.serving.id == call.release:
                    for attempt in call.attempts:
                        self._look(running, channel, attempt)

    def _look(self, running: Running, channel: Channel, attempt: Attempt) -> None:
        proof = channel.serving.proof
        known = proof.verdict.fingerprints.get(attempt.model) if proof else None
        if proof is None or known is None:
            return
        reason = changed(known, attempt, fingerprints=running.config.gate.system_fingerprints)
        if reason and running.lapse(channel.serving.id, attempt.model, f"model {attempt.model!r} {reason}"):
            told = f"model {attempt.model!r} {reason}"
            self._found.append(_Finding(channel.serving.id, proof.id, attempt.model, told))

    def keep(self, running: Running) -> None:
        """Writes what was found, and takes up what others have written: the controller's probes lapse verdicts too. Raises `OSError`."""
        while self._found:
            found = self._found[0]
            if self._verdicts.lapse(found.release, found.verdict, model=found.model, reason=found.reason):
                self._tell(found)
            self._found.pop(0)
        for channel in running.channels:
            proof = channel.serving.proof
            if proof is None:
                continue
            stamp = self._verdicts.lapse_stamp(channel.serving.id, proof.id)
            if stamp == self._stamps.get((channel.serving.id, proof.id), 0):
                continue
            self._stamps[channel.serving.id, proof.id] = stamp
            for model, lapse in self._verdicts.lapsed(channel.serving.id, proof.id).items():
                if running.lapse(channel.serving.id, model, lapse.reason):
                    self._tell(_Finding(channel.serving.id, proof.id, model, lapse.reason))

    def _tell(self, found: _Finding) -> None:
        _log.error(
            "the evidence for release %s has lapsed: %s. The tasks that ask it go to the frontier until `smallfirst gate` has judged again",
            found.release[:12],
            found.reason,
        )
        self._note("lapsed", msgspec.to_builtins(found))


def changed(known: Fingerprint, attempt: Attempt, *, fingerprints: bool = True) -> str:
    """How an answer's model differs from what was compared; empty where it does not, or where nothing was said."""
    name, print_ = attempt.upstream_model, attempt.system_fingerprint
    if name and known.upstream_models and name not in known.upstream_models:
        return f"answers as {name!r}, and was compared as {_list(known.upstream_models)}"
    if fingerprints and print_ and known.system_fingerprints and print_ not in known.system_fingerprints:
        return f"answers with system_fingerprint {print_!r}, and was compared with {_list(known.system_fingerprints)}"
    return ""


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names[:4]) + (", …" if len(names) > 4 else "")


def noted(
    append: Callable[[Event], object], at_ms: Callable[[], int]
) -> Callable[[str, dict[str, object]], None]:
    """Notes events in a journal; where it cannot take them, the log has them already."""

    def note(kind: str, detail: dict[str, object]) -> None:
        try:
            append(Event(at_ms=at_ms(), kind=kind, detail=detail))
        except LedgerUnavailable as error:
            _log.warning("event %s was not noted: %s", kind, error)

    return note
