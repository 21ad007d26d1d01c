"""Four eyes: a verdict approved by somebody who may, and who did not build the release."""

from __future__ import annotations

from smallfirst.errors import ReleaseError
from smallfirst.evals.session import Home
from smallfirst.ledger import Notes
from smallfirst.releases import Releases, Verdicts
from smallfirst.releases.verdicts import Approval, signing_key


def approve(home: Home, prefix: str, *, by: str, verdict: str = "") -> Approval:
    """Approves the newest passing verdict on a release, or the one whose id begins with `verdict`. In the ledger, and on the disk.

    Raises `ReleaseError` where nobody was named to approve, this user was not, built the release, or there is nothing to approve.
    """
    approvers = home.config.gate.approvers
    if not approvers:
        raise ReleaseError("gate.approvers names nobody, so a passing verdict needs no approval")
    releases, verdicts = Releases(home.state), Verdicts(home.state)
    name = releases.find(prefix)
    if by not in approvers:
        raise ReleaseError(f"{by} is not among gate.approvers: {', '.join(approvers)}")
    if releases.built(name).by == by:
        raise ReleaseError(
            f"release {name[:12]} was built by {by}, and its author cannot approve it: {_others(approvers, by)}"
        )
    chosen = verdicts.find(name, verdict) if verdict else _newest_passing(verdicts, name)
    if verdicts.load(name, chosen).finding != "pass":
        raise ReleaseError(
            f"verdict {chosen[:12]} on release {name[:12]} is no pass, so there is nothing to approve"
        )
    approval = verdicts.approve(name, chosen, by=by, key=signing_key(home.config, home.environ))
    with Notes(home.state) as notes:
        notes.event("approved", {"release": name, "verdict": chosen, "by": by})
    return approval


def _newest_passing(verdicts: Verdicts, name: str) -> str:
    for one in verdicts.ids(name):
        if verdicts.load(name, one).finding == "pass" and not verdicts.lapsed(name, one):
            return one
    raise ReleaseError(
        f"release {name[:12]} has no passing verdict to approve; `smallfirst gate {name[:12]}` reaches one"
    )


def _others(approvers: tuple[str, ...], by: str) -> str:
    others = [name for name in approvers if name != by]
    return f"ask {' or '.join(others)}" if others else "gate.approvers names nobody else"
