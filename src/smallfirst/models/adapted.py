"""What a model with an adapter is asked for by, and whether that is served."""

from __future__ import annotations

from typing import Protocol

from smallfirst.errors import UpstreamUnavailable
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import Deployment
from smallfirst.models.embedded_reach import EmbeddedReach
from smallfirst.models.endpoints import Endpoints


class PinnedAdapter(Protocol):
    """An adapter that a policy holds a model to: `releases.AdapterPolicy`."""

    @property
    def id(self) -> str: ...
    @property
    def form(self) -> Form: ...
    @property
    def sha256(self) -> str: ...
    @property
    def served_name(self) -> str: ...


class Adapted:
    """The adapter that a configured model names, as it is served now. `base` is what the servers call the model under it."""

    def __init__(
        self, wanted: str, *, form: Form, targets: tuple[str, ...], base: str, reach: EmbeddedReach
    ) -> None:
        self.wanted = wanted
        self.form: Form = form
        self._targets = targets
        self._base = base
        self._reach = reach

    @property
    def name(self) -> str:
        """The served name of the newest that is served. Raises `UpstreamUnavailable` where none is."""
        found = self._newest()
        if found is None:
            raise UpstreamUnavailable(self.why_none)
        return found.served_name

    @property
    def served(self) -> bool:
        """Whether there is one."""
        return self._newest() is not None

    @property
    def why_none(self) -> str:
        """What to say where there is none."""
        where = ", ".join(self._targets)
        return f"no adapter {self.wanted!r} is served as {self.form} at {where}; `smallfirst adapters deploy` loads one"

    def why_not(self, pinned: PinnedAdapter) -> str:
        """Why what a policy pins cannot be asked; empty where the very artefact is served."""
        told = {"form": pinned.form, "sha256": pinned.sha256, "base": self._base, "targets": self._targets}
        if self._reach.served.has(pinned.id, **told):
            return ""
        return f"adapter {pinned.served_name} is not served as the release has it ({pinned.form} {pinned.sha256[:12]}) at {', '.join(self._targets)}"

    def merged(self, pinned: PinnedAdapter) -> Endpoints | None:
        """The endpoint of a merged adapter's own server; None where it has none."""
        endpoint = self._reach.merged.get(pinned.served_name) if pinned.form != "lora" else None
        return Endpoints([endpoint]) if endpoint is not None else None

    def _newest(self) -> Deployment | None:
        return self._reach.served.newest(self.wanted, self.form, self._base, self._targets)
