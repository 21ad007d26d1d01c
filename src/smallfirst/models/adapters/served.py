"""Which adapters are served now, as a gateway sees it: what it asks where no release says which."""

from __future__ import annotations

from collections.abc import Iterable

from smallfirst.models.adapters.adapter import Form, is_named
from smallfirst.models.adapters.deployments import Deployment


class ServedAdapters:
    """The deployments that answer. Whoever follows them calls `become`; everybody else looks."""

    def __init__(self, deployments: Iterable[Deployment] = ()) -> None:
        self._now = tuple(deployments)

    def become(self, deployments: Iterable[Deployment]) -> None:
        """Takes the place of what was known."""
        self._now = tuple(deployments)

    def newest(self, wanted: str, form: Form, base: str, targets: tuple[str, ...]) -> Deployment | None:
        """The adapter that `wanted` names, a task or the beginning of a hash, which is served at all of the targets in this form over this base.

        Of several of a task, the one that was deployed last; None where there is none.
        """
        theirs = [
            one
            for one in self._now
            if (one.form, one.base) == (form, base)
            and one.target in targets
            and is_named(wanted, task=one.task, adapter=one.adapter)
        ]
        for one in reversed(theirs):
            if {other.target for other in theirs if other.adapter == one.adapter} == set(targets):
                return one
        return None

    def has(self, adapter: str, *, form: Form, sha256: str, base: str, targets: tuple[str, ...]) -> bool:
        """Whether this very artefact is what is served over that base at all of the targets."""
        there = {
            one.target
            for one in self._now
            if (one.adapter, one.form, one.sha256, one.base) == (adapter, form, sha256, base)
        }
        return there.issuperset(targets)


class AllServed(ServedAdapters):
    """Where nothing is sent and every model counts as ready: so does whatever a policy pins."""

    def has(self, adapter: str, *, form: Form, sha256: str, base: str, targets: tuple[str, ...]) -> bool:
        return True
