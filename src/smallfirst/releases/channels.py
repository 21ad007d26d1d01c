"""Which release serves, and on what evidence.

`STATE/channels.json` says what is live. Until the gate writes verdicts there are two lawful contents: `baseline`, which needs no proof, and a
release that an operator serves unproven, giving a reason, which is written to the ledger and stays marked on every call.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from smallfirst.classify.artifact import SUFFIX
from smallfirst.config.schema import Config
from smallfirst.errors import ReleaseError, StateError
from smallfirst.releases.bundle import BASELINE, WEIGHTS, Release, Releases, baseline
from smallfirst.releases.policy import Policy, misfits


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Live(_Strict, frozen=True):
    """What answers calls: a release's id, or `baseline`; the id of the verdict that proves it, or the operator's reason to do without."""

    release: str = BASELINE
    verdict: str = ""
    unproven: str = ""


class Canary(_Strict, frozen=True, kw_only=True):
    """A candidate that answers a share of the calls, for as long as its controller renews the lease; then all go to what is live."""

    release: str
    verdict: str = ""
    unproven: str = ""
    stages: tuple[float, ...]  # shares of calls, ascending; the last may be 1
    stage: int = 0
    began_ms: int  # of the canary; it names the draw by which tenants and conversations are chosen
    stage_began_ms: int
    lease_until_ms: int

    @property
    def share(self) -> float:
        return self.stages[self.stage]


class Shadow(_Strict, frozen=True):
    """A candidate whose answers nobody gets: computed for a share of the calls, off their path."""

    release: str
    share: float
    began_ms: int


class Channels(_Strict, frozen=True):
    """`channels.json`, whole. `previous` is what `release rollback` returns to where there is no canary."""

    live: Live = Live()
    previous: Live | None = None
    canary: Canary | None = None
    shadow: Shadow | None = None


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """The live channel, loaded: what the gateway answers by."""

    id: str
    policies: dict[str, Policy]
    hashes: dict[str, str]
    unproven: str = ""
    weights: Path | None = None  # the folder of the routers and heads that it carries
    intents: str | None = None  # the hash of its intent classifier

    @property
    def short(self) -> str:
        return self.id[:12]


def read_live(state: Path) -> Live:
    """What is live; baseline where nothing was ever promoted."""
    path = state / "channels.json"
    if not path.exists():
        return Live()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Live)
    except msgspec.DecodeError as error:
        raise StateError(f"{path} cannot be read ({error}); delete it to return to baseline") from error


def write_live(state: Path, live: Live) -> None:
    """Replaces the live channel in one step."""
    partial = state / f".channels.{os.getpid()}"
    partial.write_bytes(msgspec.json.encode(live))
    partial.replace(state / "channels.json")


def load_serving(live: Live, *, state: Path, config: Config) -> Serving:
    """The live release, checked: unaltered, fitting the configuration, and proven or openly unproven.

    Raises `ReleaseError` that says which of these does not hold.
    """
    if live.release == BASELINE:
        return _serving(BASELINE, baseline(config), unproven="")
    releases = Releases(state)
    name = releases.find(live.release)
    release = releases.load(name)
    if not live.unproven:
        raise ReleaseError(
            f'release {name[:12]} has no passing verdict; serve the baseline, or this one with --unproven "reason", which is recorded'
        )
    wrong = [line for policy in release.policies.values() for line in misfits(policy, config)]
    if wrong:
        raise ReleaseError(f"release {name[:12]} does not fit the configuration:\n  " + "\n  ".join(wrong))
    return _serving(name, release, unproven=live.unproven, weights=releases.folder / name / WEIGHTS)


def weights_path(folder: Path, sha256: str) -> Path:
    """Where a release carries these weights, or would."""
    return folder / f"{sha256}{SUFFIX}"


def _serving(name: str, release: Release, *, unproven: str, weights: Path | None = None) -> Serving:
    hashes = {task: policy.hash for task, policy in release.policies.items()}
    return Serving(
        id=name,
        policies=release.policies,
        hashes=hashes,
        unproven=unproven,
        weights=weights,
        intents=release.intents,
    )
