"""Which task a call is, or none of them: the classifier that a release carries, as the gateway asks it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.classify import artifact
from smallfirst.classify.artifact import Artifact
from smallfirst.classify.embedder import Embedder, bounded
from smallfirst.classify.encoding import vectors
from smallfirst.classify.task_intents import Found, TaskIntents
from smallfirst.errors import ReleaseError
from smallfirst.routing.judgement import Near
from smallfirst.routing.reading import read_prompt
from smallfirst.wire.turns import Conversation

FORMAT = 1
_TOLD = 3  # tasks and examples that are named


class FittedIntents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An intent classifier's identity: the tasks it knows, in its order, and the ids of the examples whose vectors it keeps."""

    tasks: tuple[str, ...]
    embedder: str
    embedder_sha256: str
    examples: tuple[str, ...]
    format: int = FORMAT
    sha256: str = ""  # filled in when it is read: a file cannot hold its own hash


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What a call was taken for. `task` is empty where it is none of them.

    `probability` is the likeliest task's, `in_scope` that the call is any of the tasks, of which at least `least` is needed. `nearest` names the
    likeliest tasks with their probabilities, `near` the nearest examples.
    """

    task: str
    probability: float
    in_scope: float
    least: float
    nearest: dict[str, float]
    near: tuple[Near, ...] = ()

    def record(self) -> dict[str, object]:
        """As the ledger keeps it."""
        return {
            "probability": self.probability,
            "in_scope": self.in_scope,
            "least": self.least,
            "nearest": self.nearest,
        }


class IntentClassifier:
    """Takes calls for tasks. `find` may be asked on an event loop: slow embedders are not run there."""

    def __init__(self, fitted: FittedIntents, intents: TaskIntents, embedder: Embedder) -> None:
        self.fitted = fitted
        self.sha256 = fitted.sha256
        self._intents = intents
        self._embedder = embedder
        self._systems: OrderedDict[str, np.ndarray] = OrderedDict()

    async def find(self, conversation: Conversation) -> Intent:
        """The task of a call. Raises `TimeoutError`, and whatever its embedder's libraries do."""
        if self._embedder.slow:
            found = asyncio.to_thread(self.find_now, conversation)
            return await asyncio.wait_for(found, limits.INTENT_TIMEOUT_S)
        return self.find_now(conversation)

    def find_now(self, conversation: Conversation, *, near: bool = False) -> Intent:
        """The same, at once; with the nearest examples where they are wanted."""
        question = vectors(self._embedder, [read_prompt(conversation)])
        system = conversation.system.strip()
        found = self._intents.find(question, self._system(system) if system else None)
        return self._intent(found, self._near(question[0]) if near else ())

    def _intent(self, found: Found, near: tuple[Near, ...]) -> Intent:
        tasks, taken = self.fitted.tasks, int(found.taken[0])
        probabilities = found.tasks[0]
        order = np.argsort(-probabilities, kind="stable")[:_TOLD]
        return Intent(
            task=tasks[taken] if taken >= 0 else "",
            probability=round(float(probabilities[order[0]]), 6),
            in_scope=round(float(found.in_scope[0]), 6),
            least=round(found.least, 6),
            nearest={tasks[at]: round(float(probabilities[at]), 6) for at in order},
            near=near,
        )

    def _near(self, question: np.ndarray) -> tuple[Near, ...]:
        cosines = self._intents.kept @ question
        order = np.argsort(-cosines, kind="stable")[:_TOLD]
        return tuple(Near(self.fitted.examples[at], round(float(cosines[at]), 4)) for at in order)

    def _system(self, text: str) -> np.ndarray:
        """The vector of a system prompt. Applications send the same one again and again, so the last ones are kept."""
        text = bounded(text)
        found = self._systems.get(text)
        if found is None:
            found = self._embedder.embed([text])
            self._systems[text] = found
            if len(self._systems) > limits.MAX_SYSTEM_PROMPTS:
                self._systems.popitem(last=False)
        return found


def load_intents(path: Path, embedders: Callable[[str], Embedder]) -> IntentClassifier:
    """The classifier of an artifact; `embedders` finds its embedder by name.

    Raises `ReleaseError` where it is another thing, or was fitted with other weights of its embedder.
    """
    found = artifact.read(path)
    fitted = read_fitted_intents(found)
    embedder = embedders(fitted.embedder)
    if embedder.sha256 != fitted.embedder_sha256:
        raise ReleaseError(
            f"intent classifier {found.sha256[:12]} was fitted with embedder {fitted.embedder} {fitted.embedder_sha256[:12]}, and here it is "
            f"{embedder.sha256[:12]}: fit it again, or install the version of the embedder that it knew"
        )
    return IntentClassifier(fitted, TaskIntents.from_arrays(found.arrays), embedder)


def read_fitted_intents(found: Artifact) -> FittedIntents:
    """The header of an intent classifier's artifact. Raises `ReleaseError` where it is another thing."""
    if found.kind != "intents":
        raise ReleaseError(f"{found.sha256[:12]} is a {found.kind}, not an intent classifier")
    try:
        fitted = msgspec.convert(found.header, FittedIntents)
    except msgspec.ValidationError as error:
        raise ReleaseError(
            f"intent classifier {found.sha256[:12]} was fitted by another version of smallfirst: {error}"
        ) from error
    return msgspec.structs.replace(fitted, sha256=found.sha256)
