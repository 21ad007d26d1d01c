"""A release: an immutable folder of policies, named by the hash of what is in it.

    STATE/releases/<64 hex digits>/release.json      the policies: this file's SHA-256 is the name
    STATE/releases/<64 hex digits>/built.json        when, by whom, with what: not part of the name

One flipped byte in `release.json` and the release is refused.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import time
from pathlib import Path

import msgspec

import smallfirst
from smallfirst.config.schema import Config
from smallfirst.errors import ReleaseError
from smallfirst.releases.policy import Policy, baseline_policy, canonical, policy_from_task

BASELINE = "baseline"
_FORMAT = 1


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policies of all tasks, as they are served together."""

    policies: dict[str, Policy]
    format: int = _FORMAT

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


def release_from_config(config: Config) -> Release:
    """The candidate that `[tasks.*]` describes."""
    if not config.tasks:
        raise ReleaseError("there is no [tasks.NAME] in the configuration, so there is nothing to release")
    return Release(policies={name: policy_from_task(name, config) for name in sorted(config.tasks)})


def baseline(config: Config) -> Release:
    """Everything to the frontier model: needs no proof, because it is what the user had before."""
    return Release(policies={name: baseline_policy(name, config) for name in sorted(config.tasks)})


class Releases:
    """The releases of one state directory."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "releases"

    def save(self, release: Release, *, note: str = "") -> tuple[str, bool]:
        """The release's id, and whether it is new. Written whole or not at all."""
        name = release.id
        target = self.folder / name
        if target.exists():
            return name, False
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{name}.{os.getpid()}"
        partial.mkdir()
        built = Built(
            at_ms=int(time.time() * 1000), by=getpass.getuser(), version=smallfirst.__version__, note=note
        )
        (partial / "release.json").write_bytes(canonical(release))
        (partial / "built.json").write_bytes(msgspec.json.encode(built))
        partial.rename(target)
        return name, True

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
        data = (self.folder / name / "release.json").read_bytes()
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
            built = msgspec.json.decode((self.folder / name / "built.json").read_bytes(), type=Built)
            raw = msgspec.json.decode((self.folder / name / "release.json").read_bytes())
            listed.append(Listed(id=name, built=built, tasks=tuple(sorted(raw.get("policies", {})))))
        return sorted(listed, key=lambda item: item.built.at_ms, reverse=True)

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
