"""Adapters in the place where servers look for them, as `smallfirst adapters deploy` would record them after its probes."""

from __future__ import annotations

from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import EMBEDDED, Deployment, add_deployment
from smallfirst.models.adapters.store import Adapter, Exported, file_sha256
from smallfirst.training.export import export
from smallfirst.training.lora.base import Base

_AT_MS = 1_790_000_000_000


def deploy(
    adapter: Adapter, base: Base, *, calls_it: str, form: Form = "lora", target: str = EMBEDDED
) -> Deployment:
    """Makes the form and records it. `calls_it`: the base, as the server and the configuration call it."""
    _, exported = export(adapter, form, base)
    return record(adapter, exported, calls_it=calls_it, target=target)


def record(adapter: Adapter, exported: Exported, *, calls_it: str, target: str = EMBEDDED) -> Deployment:
    """Records what lies there already."""
    deployment = Deployment(
        adapter=adapter.id,
        task=adapter.manifest.task,
        form=exported.form,
        sha256=exported.sha256,
        target=target,
        base=calls_it,
        at_ms=_AT_MS,
        by="a test",
        probes=1,
        same=1.0,
    )
    add_deployment(adapter.folder.parent.parent, deployment)
    return deployment


def spoil(adapter: Adapter, form: Form = "lora") -> Exported:
    """Puts something that no server can load where that form should be, and says that this is it."""
    adapter.forms.mkdir(mode=0o700, exist_ok=True)
    path = adapter.forms / f"{form}.gguf"
    path.write_bytes(b"GGUF, but no more than that")
    exported = Exported(form=form, name=path.name, sha256=file_sha256(path), size_bytes=path.stat().st_size)
    adapter.keep(exported)
    return exported
