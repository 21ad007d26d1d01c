"""Adapters with a file of each form, over a base of a few bytes, and what is on record where they are deployed to the embedded server."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
from support.adapters import BASE, plain_adapter

from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import Deployment
from smallfirst.models.adapters.store import Adapter, Exported

GGUF = b"GGUF and weights"
OVER = msgspec.structs.replace(BASE, gguf_sha256=hashlib.sha256(GGUF).hexdigest())


def exported_adapter(
    state: Path, seed: int = 1, form: Form = "lora", **fields: Any
) -> tuple[Adapter, Deployment]:
    """The adapter, and its deployment over `base.gguf`, which is not recorded yet."""
    told: dict[str, Any] = {"base": OVER}
    made = plain_adapter(state, seed=seed, **(told | fields))
    made.forms.mkdir(exist_ok=True)
    path = made.forms / f"{form}.gguf"
    path.write_bytes(b"GGUF of an adapter %d" % seed)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    made.keep(Exported(form=form, name=path.name, sha256=sha256, size_bytes=1))
    deployed = Deployment(
        adapter=made.id,
        task=made.manifest.task,
        form=form,
        sha256=sha256,
        target="embedded",
        base="base.gguf",
        at_ms=seed,
        by="a test",
        probes=1,
        same=1.0,
    )
    return made, deployed
