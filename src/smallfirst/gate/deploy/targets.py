"""Where an adapter can be deployed: what a target promises."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from smallfirst.gate.deploy.server import Server
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.store import Adapter


class Target(Protocol):
    """`name` and `base` are as a `Deployment` records them; `gguf` is the base's file where the target serves one."""

    name: str
    base: str
    gguf: Path | None
    forms: tuple[Form, ...]  # the first one is the default

    async def check(self, adapter: Adapter, form: Form) -> None:
        """Raises `DeployError` where this adapter cannot be served here in that form, before anything is made."""
        ...

    def loaded(self, adapter: Adapter, form: Form, path: Path) -> AbstractAsyncContextManager[Server]:
        """The server with the adapter loaded. Where the block is left with an error, nothing stays of it. Raises `DeployError`."""
        ...
