"""The label heads that this process has loaded, by hash, by task and by what the configuration calls them.

Loaded at start and on reload, of the artifacts that a configured model names, and with a release that carries them. Never for a call.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config
from smallfirst.errors import SmallfirstError
from smallfirst.models.label_head import Head

_log = logging.getLogger(__name__)
_PREFIX = re.compile(r"[0-9a-f]{12,64}")
_KIND = "head"

Load = Callable[[Path], Head]
"""Reads a head's artifact. Raises `ReleaseError` where it was altered or is something else, `ConfigError` where its embedder is missing."""


class Heads:
    """Heads by name. A task's own name stands for the head that was trained last for it, as of the last `refresh`."""

    def __init__(self, artifacts: Artifacts, load: Load) -> None:
        self._artifacts = artifacts
        self._load = load
        self._added: dict[str, Head] = {}  # by hash
        self._named: dict[str, Head] = {}  # by what a configured model asks for
        self._known: dict[str, Head] = {}

    def get(self, name: str) -> Head | None:
        """The loaded head of that hash, task or configured `id`."""
        return self._known.get(name)

    def add(self, head: Head) -> None:
        """Keeps a head that a release carries, under its hash; under its task's name too where none was trained here."""
        self._added[head.sha256] = head
        self._index()

    def refresh(self, config: Config) -> None:
        """Loads what the configured models name now. One that cannot be loaded is logged, and its model's calls climb."""
        named: dict[str, Head] = {}
        loaded = dict(self._known)
        for model, wanted in wanted_heads(config).items():
            try:
                head = self._find(wanted, loaded)
            except SmallfirstError as error:
                _log.error("models.%s: %s. Its calls climb", model, error)
                continue
            if head is None:
                _log.info(
                    "models.%s: no label head for %r; `smallfirst train` makes one. Its calls climb until then",
                    model,
                    wanted,
                )
                continue
            named[wanted] = loaded[head.sha256] = head
        self._named = named
        self._index()

    @property
    def loaded(self) -> int:
        """How many different heads there are."""
        return len({head.sha256 for head in self._known.values()})

    def _find(self, wanted: str, loaded: dict[str, Head]) -> Head | None:
        sha256 = trained(self._artifacts, wanted)
        if sha256 is None:
            return self._added.get(wanted) or self._of_task(wanted)
        return loaded.get(sha256) or self._load(self._artifacts.path(sha256))

    def _of_task(self, task: str) -> Head | None:
        return next((head for head in list(self._added.values()) if head.task == task), None)

    def _index(self) -> None:
        known: dict[str, Head] = {}
        for head in list(self._added.values()):  # a release may be loaded beside it, in a thread
            known[head.task] = known[head.sha256] = head
        for name, head in self._named.items():
            known[name] = known[head.sha256] = head
        self._known = known


def wanted_heads(config: Config) -> dict[str, str]:
    """What each model that is a label head asks for: a pinned hash, else its `id`, else its own name."""
    return {
        name: model.weights_sha256 or model.id or name
        for name, model in config.models.items()
        if config.providers[model.provider].kind == "head"
    }


def trained(artifacts: Artifacts, wanted: str) -> str | None:
    """The hash of the head that `wanted` names: the newest of that task, else the one whose hash begins so; None where there is none.

    Raises `ReleaseError` where several begin so, or a description cannot be read.
    """
    if newest := artifacts.newest(_KIND, wanted):
        return newest
    if not _PREFIX.fullmatch(wanted):
        return None
    if not any(listed.sha256.startswith(wanted) for listed in artifacts.list(_KIND)):
        return None
    return artifacts.find(wanted)
