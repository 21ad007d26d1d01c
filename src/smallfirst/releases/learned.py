"""What has been learned in a state directory and may go into a release: heads, routers and examples, by task or by hash, and intent classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from smallfirst.classify import artifact
from smallfirst.classify.examples import KIND, Header, read_header
from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config, Rung
from smallfirst.errors import ReleaseError
from smallfirst.releases.adapters import AdapterPolicy, adapter_policy
from smallfirst.routing.fitted import Fitted, read_fitted
from smallfirst.routing.intent import FittedIntents, read_fitted_intents


class Learned(Protocol):
    """Where a release finds what was learned."""

    def head(self, name: str) -> str:
        """The hash of the head of this hash, or of the newest that was trained for the task of this name. Raises `ReleaseError`."""
        ...

    def router(self, task: str, wanted: str) -> Fitted | None:
        """The task's router: the "newest" where there is one, the one of this hash, or "none". Raises `ReleaseError`."""
        ...

    def intents(self, wanted: str) -> FittedIntents | None:
        """The intent classifier, named in the same way. Raises `ReleaseError`."""
        ...

    def adapter(self, task: str, rung: Rung, config: Config) -> AdapterPolicy:
        """The adapter of a rung whose model has one, deployed and fit for what it is asked. Raises `ReleaseError`."""
        ...

    def examples(self, task: str, wanted: str) -> tuple[str, Header]:
        """The hash of the task's index of examples, the "newest" or the one of this hash, and what it says of itself. Raises `ReleaseError`."""
        ...


class LearnedHere:
    """In the artifacts of a state directory."""

    def __init__(self, state: Path) -> None:
        self._artifacts = Artifacts(state)
        self._state = state

    def head(self, name: str) -> str:
        newest = self._artifacts.newest("head", name)
        if newest is None and not all(digit in "0123456789abcdef" for digit in name):
            raise ReleaseError(
                f"no head was trained for {name!r}: `smallfirst train {name} --method head` trains one"
            )
        if newest is None:
            newest = self._artifacts.find(name)
            found = artifact.read(self._artifacts.path(newest))
            if found.kind != "head":
                raise ReleaseError(f"{newest[:12]} is a {found.kind}, not a head")
        return newest

    def router(self, task: str, wanted: str) -> Fitted | None:
        if wanted == "none":
            return None
        sha256 = (
            self._artifacts.newest("router", task) if wanted == "newest" else self._artifacts.find(wanted)
        )
        if sha256 is None:
            return None
        fitted = read_fitted(artifact.read(self._artifacts.path(sha256)))
        if fitted.task != task:
            raise ReleaseError(f"router {sha256[:12]} was fitted for task {fitted.task!r}, not {task!r}")
        return fitted

    def adapter(self, task: str, rung: Rung, config: Config) -> AdapterPolicy:
        return adapter_policy(self._state, task, rung, config)

    def intents(self, wanted: str) -> FittedIntents | None:
        if wanted == "none":
            return None
        sha256 = self._artifacts.newest("intents", "") if wanted == "newest" else self._artifacts.find(wanted)
        return read_fitted_intents(artifact.read(self._artifacts.path(sha256))) if sha256 else None

    def examples(self, task: str, wanted: str) -> tuple[str, Header]:
        sha256 = self._artifacts.newest(KIND, task) if wanted == "newest" else self._artifacts.find(wanted)
        if sha256 is None:
            raise ReleaseError(
                f"no index of examples was made for {task!r}: `smallfirst train {task} --method retrieval` makes one"
            )
        header = read_header(artifact.read(self._artifacts.path(sha256)))
        if header.task != task:
            raise ReleaseError(f"index {sha256[:12]} is of examples of task {header.task!r}, not {task!r}")
        return sha256, header


class _Nothing:
    """Where nothing counts as learned: the baseline."""

    def head(self, name: str) -> str:
        raise ReleaseError(
            f"{name!r} is a label head; the baseline sends calls to a frontier model, which `frontier` names"
        )

    def router(self, task: str, wanted: str) -> Fitted | None:
        return None

    def adapter(self, task: str, rung: Rung, config: Config) -> AdapterPolicy:
        raise ReleaseError(
            f"{rung.model!r} has an adapter; the baseline sends calls to a frontier model, which `frontier` names"
        )

    def intents(self, wanted: str) -> FittedIntents | None:
        return None

    def examples(self, task: str, wanted: str) -> tuple[str, Header]:
        raise ReleaseError(f"{task!r}: the baseline shows no examples")


NOTHING_LEARNED = _Nothing()
