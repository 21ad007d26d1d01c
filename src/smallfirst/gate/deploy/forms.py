"""The form in which an adapter is served: there already, or made now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smallfirst.errors import ReleaseError
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.store import Adapter, Exported, file_sha256

Progress = Callable[[str, int, int], None]


def exported(
    adapter: Adapter, form: Form, progress: Progress, *, base: str | None = None
) -> tuple[Path, Exported]:
    """Where it lies and what it is, its hash verified. What is not there is made, whole or not at all.

    `base` says where the adapter's base is, where its own name for it does not. Raises `ReleaseError` where it was altered, `ConfigError`
    and what `training.export.export` raises where it cannot be made.
    """
    adapter.check()
    found = adapter.exported(form)
    if form == "peft" and found is not None:
        return found
    if found is not None and found[0].is_file():
        path, told = found
        progress(f"reading its {form}", 0, 1)
        if file_sha256(path) != told.sha256:
            raise ReleaseError(
                f"adapter {adapter.id[:12]}: {path} was altered after it was made; delete it, and it is made again"
            )
        return found
    from smallfirst.training.export import export
    from smallfirst.training.lora.base import open_base

    opened = open_base(base or adapter.manifest.base.name, progress=progress)
    return export(adapter, form, opened, progress)
