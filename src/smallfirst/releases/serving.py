"""A channel's release, loaded and checked: what a gateway answers by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.classify.artifact import SUFFIX
from smallfirst.config.schema import Config
from smallfirst.errors import ReleaseError
from smallfirst.releases.bundle import BASELINE, WEIGHTS, Release, Releases, baseline
from smallfirst.releases.channels import Live
from smallfirst.releases.policy import Policy, misfits, undeployed
from smallfirst.releases.proof import Proof, Prover


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A release as it is served. `proof` is there unless it is the baseline or `unproven`."""

    id: str
    policies: dict[str, Policy]
    hashes: dict[str, str]
    unproven: str = ""
    proof: Proof | None = None
    weights: Path | None = None  # the folder of the routers and heads that it carries
    intents: str | None = None  # the hash of its intent classifier

    @property
    def short(self) -> str:
        return self.id[:12]

    def same_evidence(self, other: Serving) -> bool:
        """Whether both are the same release on the same verdict, so that what has lapsed for one has for the other."""
        return (
            self.proof is not None
            and other.proof is not None
            and self.id == other.id
            and self.proof.id == other.proof.id
        )


def load_serving(
    live: Live, *, state: Path, config: Config, environ: Mapping[str, str] | None = None
) -> Serving:
    """The release, checked: unaltered, fitting the configuration, and proven or openly unproven.

    A proof that has lapsed is one for what is served already: `Proof.lapsed` says of which models it is none. Raises `ReleaseError` that says
    which of these does not hold.
    """
    if live.release == BASELINE:
        return _serving(BASELINE, baseline(config), unproven="")
    releases = Releases(state)
    name = releases.find(live.release)
    release = releases.load(name)
    wrong = [line for policy in release.policies.values() for line in misfits(policy, config)]
    wrong += undeployed(release.policies.values(), config, state)
    if wrong:
        raise ReleaseError(f"release {name[:12]} does not fit the configuration:\n  " + "\n  ".join(wrong))
    proof = None
    if not live.unproven:
        prover = Prover(state, config, os.environ if environ is None else environ)
        proof = prover.prove(name, release, named=live.verdict)
    weights = releases.folder / name / WEIGHTS
    return _serving(name, release, unproven=live.unproven, proof=proof, weights=weights)


def weights_path(folder: Path, sha256: str) -> Path:
    """Where a release carries these weights, or would."""
    return folder / f"{sha256}{SUFFIX}"


def _serving(
    name: str, release: Release, *, unproven: str, proof: Proof | None = None, weights: Path | None = None
) -> Serving:
    hashes = {task: policy.hash for task, policy in release.policies.items()}
    return Serving(
        id=name,
        policies=release.policies,
        hashes=hashes,
        unproven=unproven,
        proof=proof,
        weights=weights,
        intents=release.intents,
    )
