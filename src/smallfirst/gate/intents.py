"""Which classifiers a gate compares: the candidate's, that takes calls which name no task for one, and the live release's."""

from __future__ import annotations

from pathlib import Path

import msgspec

from smallfirst.classify import artifact
from smallfirst.releases import Release, Releases, weights_path
from smallfirst.releases.bundle import WEIGHTS
from smallfirst.routing.intent import read_fitted_intents


class Intents(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's classifier beside the live one; `live` is None where nothing takes calls, so that all of them go to the frontier."""

    candidate: str  # hashes
    live: str | None
    tasks: frozenset[str]  # that either knows
    candidate_path: Path
    live_path: Path | None

    @property
    def compared(self) -> tuple[str, str]:
        """Part of the name of a comparison."""
        return self.candidate, self.live or ""

    @property
    def caution(self) -> str:
        """What a verdict says of them beside what it found. Classifiers are fitted on files, of which no texts are kept."""
        beside = "no classifier" if self.live is None else f"classifier {self.live[:12]}"
        return (
            f"calls that name no task are taken by classifier {self.candidate[:12]}, beside {beside}; it was fitted on a file: "
            "whether it has seen held-out examples cannot be said"
        )


def intents_of(
    state: Path, name: str, release: Release, live: tuple[str, Release] | None, *, proven: bool
) -> Intents | None:
    """What is to be compared of a candidate `name`; None where nothing is: it has no classifier, so takes no call for a wrong task, or it has the
    live one and that is `proven`. A live one that is not proven is compared with none, as if it were new.

    Raises `ReleaseError` where a release does not carry its classifier.
    """
    mine = release.intents
    theirs = None if live is None else live[1].intents
    if mine is None or (mine == theirs and proven):
        return None
    candidate_path, live_path = _path(state, name, mine), None
    known = set(_tasks(candidate_path))
    if live is not None and theirs is not None and theirs != mine:
        live_path = _path(state, live[0], theirs)
        known.update(_tasks(live_path))
    return Intents(
        candidate=mine,
        live=None if live_path is None else theirs,
        tasks=frozenset(known),
        candidate_path=candidate_path,
        live_path=live_path,
    )


def _path(state: Path, release: str, sha256: str) -> Path:
    return weights_path(Releases(state).folder / release / WEIGHTS, sha256)


def _tasks(path: Path) -> tuple[str, ...]:
    return read_fitted_intents(artifact.read(path)).tasks
