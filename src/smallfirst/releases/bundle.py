"""A release: an immutable folder of policies, named by the hash of what is in it.

    STATE/releases/<64 hex digits>/release.json      the policies: this file's SHA-256 is the name
    STATE/releases/<64 hex digits>/weights/          routers, heads and indexes, each named by its own hash, which the policies name
    STATE/releases/<64 hex digits>/built.json        when, by whom, with what: not part of the name

One flipped byte in `release.json` or in the weights and the release is refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

import smallfirst
from smallfirst.classify import artifact
from smallfirst.classify.artifact import SUFFIX
from smallfirst.classify.examples import KIND, ROWS, read_rows, rows_path
from smallfirst.classify.store import Artifacts
from smallfirst.config.finding import nearest_or_all
from smallfirst.config.schema import Config
from smallfirst.durable import settle, write_whole
from smallfirst.errors import ReleaseError
from smallfirst.releases.learned import NOTHING_LEARNED, Learned
from smallfirst.releases.policy import Policy, baseline_policy, canonical, policy_from_task
from smallfirst.user import user_name

BASELINE = "baseline"
WEIGHTS = "weights"
_FORMAT = 1


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policies of all tasks, as they are served together."""

    policies: dict[str, Policy]
    intents: str | None = None  # the hash of the classifier that takes calls for tasks
    format: int = _FORMAT

    @property
    def weights(self) -> list[str]:
        """The hashes of the routers, heads and the intent classifier that it must carry."""
        found = {sha256 for policy in self.policies.values() for sha256 in policy.weights}
        return sorted(found | ({self.intents} if self.intents else set()))

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(canonical(self)).hexdigest()


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """Where a release came from."""

    at_ms: int
    by: str
    version: str
    note: str = ""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    built: Built
    tasks: tuple[str, ...]


def release_from_config(
    config: Config,
    learned: Learned = NOTHING_LEARNED,
    *,
    only: Collection[str] = (),
    live: Release | None = None,
) -> Release:
    """The candidate that `[tasks.*]` describes, with the heads and routers that were learned for them.

    `only`: these tasks change, and all others, and which calls are taken for them, stay as they are in `live` (None: as in the baseline).
    """
    if not config.tasks:
        raise ReleaseError("there is no [tasks.NAME] in the configuration, so there is nothing to release")
    for name in only:
        if name not in config.tasks:
            raise ReleaseError(f"task {name!r} is not configured{nearest_or_all(name, list(config.tasks))}")
    changed = {name: policy_from_task(name, config, learned) for name in sorted(only or config.tasks)}
    if not only:
        return Release(policies=changed, intents=_intents(config, learned))
    before = live if live is not None else baseline(config)
    policies = baseline(config).policies | before.policies | changed
    return Release(policies={name: policies[name] for name in sorted(policies)}, intents=before.intents)


def _intents(config: Config, learned: Learned) -> str | None:
    """The hash of the intent classifier. Raises `ReleaseError` where it knows a task that there is no policy for."""
    fitted = learned.intents(config.routing.intents)
    if fitted is None:
        return None
    strange = [name for name in fitted.tasks if name not in config.tasks]
    if strange:
        raise ReleaseError(
            f"routing.intents: classifier {fitted.sha256[:12]} knows task {strange[0]!r}, which is no longer configured; "
            '`smallfirst router intents` fits another, routing.intents = "none" does without'
        )
    return fitted.sha256


def baseline(config: Config) -> Release:
    """Everything to the frontier model: needs no proof, because it is what the user had before."""
    return Release(policies={name: baseline_policy(name, config) for name in sorted(config.tasks)})


def _check(path: Path) -> None:
    """Raises `ReleaseError` where weights, or the examples of an index, are missing or altered."""
    found = artifact.read(path)
    if found.kind == KIND:
        read_rows(path, found)


class Releases:
    """The releases of one state directory."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "releases"

    def save(
        self, release: Release, *, note: str = "", artifacts: Artifacts | None = None
    ) -> tuple[str, bool]:
        """The release's id, and whether it is new. Written whole or not at all; `artifacts` has the weights that it is to carry.

        Raises `ReleaseError` where they are missing or altered.
        """
        name = release.id
        target = self.folder / name
        if target.exists():
            return name, False
        if artifacts is not None:
            for sha256 in release.weights:
                _check(artifacts.path(sha256))
        partial = self.folder / f".{name}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)  # of a process that died, and had this number
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._write(partial, release, note, artifacts)
            partial.rename(target)
        except OSError:
            if not target.exists():
                raise
            return name, False  # another process was first, with the same
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        settle(self.folder)
        return name, True

    def _write(self, folder: Path, release: Release, note: str, artifacts: Artifacts | None) -> None:
        """All of a release, on the disk when this returns."""
        built = Built(
            at_ms=int(time.time() * 1000), by=user_name(), version=smallfirst.__version__, note=note
        )
        write_whole(folder / "release.json", canonical(release))
        write_whole(folder / "built.json", msgspec.json.encode(built))
        if artifacts is not None:
            (folder / WEIGHTS).mkdir(mode=0o700)
            for sha256 in release.weights:
                source = artifacts.path(sha256)
                write_whole(folder / WEIGHTS / f"{sha256}{SUFFIX}", source.read_bytes())
                if rows_path(source).exists():
                    write_whole(folder / WEIGHTS / f"{sha256}{ROWS}", rows_path(source).read_bytes())

    def find(self, prefix: str) -> str:
        """The one release whose id begins with `prefix`."""
        found = [name for name in self._names() if name.startswith(prefix)]
        if len(found) != 1:
            known = (
                ", ".join(name[:12] for name in self._names()) or "none; `smallfirst release build` makes one"
            )
            what = "no release begins" if not found else f"{len(found)} releases begin"
            raise ReleaseError(f"{what} with {prefix!r} (known: {known})")
        return found[0]

    def load(self, prefix: str) -> Release:
        """The release, if its content is still what its name says."""
        name = self.find(prefix)
        try:
            data = (self.folder / name / "release.json").read_bytes()
        except OSError as error:
            raise ReleaseError(f"release {name[:12]} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise ReleaseError(
                f"release {name[:12]} was altered after it was built: its content no longer has its name's hash"
            )
        try:
            release = msgspec.json.decode(data, type=Release)
        except msgspec.ValidationError as error:
            raise ReleaseError(
                f"release {name[:12]} was built by another version of smallfirst: {error}"
            ) from error
        if release.format != _FORMAT:
            raise ReleaseError(
                f"release {name[:12]} has format {release.format}, this version reads {_FORMAT}"
            )
        return release

    def list(self) -> list[Listed]:
        """All releases, newest first."""
        listed = []
        for name in self._names():
            built = self.built(name)
            raw = msgspec.json.decode((self.folder / name / "release.json").read_bytes())
            listed.append(Listed(id=name, built=built, tasks=tuple(sorted(raw.get("policies", {})))))
        return sorted(listed, key=lambda item: item.built.at_ms, reverse=True)

    def built(self, name: str) -> Built:
        """Where the release of this id came from."""
        return msgspec.json.decode((self.folder / name / "built.json").read_bytes(), type=Built)

    def newest(self) -> str:
        """The id of the release that was built last. Raises `ReleaseError` where there is none."""
        listed = self.list()
        if not listed:
            raise ReleaseError("there is no release yet; `smallfirst release build` makes one")
        return listed[0].id

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
