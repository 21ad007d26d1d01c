"""An adapter's form made and kept beside it: aside first, then in its place, so that it is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from smallfirst.durable import locked, settle
from smallfirst.errors import ReleaseError, StateError
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.store import Adapter, Exported, file_sha256, folder_sha256
from smallfirst.training.export.lora_gguf import lora_gguf
from smallfirst.training.export.merged_checkpoint import merged_checkpoint
from smallfirst.training.export.merged_gguf import merged_gguf
from smallfirst.training.gguf_file import written
from smallfirst.training.lora.base import Base
from smallfirst.training.lora.checkpoint_files import TEMPLATE

Progress = Callable[[str, int, int], None]

_SPARE_BYTES = 16 * 1024 * 1024
_BYTES_A_WEIGHT = {"f16": 2.0, "q8_0": 34 / 32, "q4_1": 20 / 32}


def caution(form: Form) -> str | None:
    """What there is to say against a form; None where there is nothing."""
    if form == "q4_1":
        return "merged as Q4_1, a tune may be gone: the steps are wider than most of what it changes; take lora or q8_0"
    return None


def export(
    adapter: Adapter, form: Form, base: Base, progress: Progress = lambda *_: None
) -> tuple[Path, Exported]:
    """Where the form lies, and what it is. Where it was made before, its hash is verified and nothing else is done.

    Raises `ReleaseError` where the adapter was altered or is for another base, `ConfigError` where that form cannot be made of that base,
    `StateError` where the disk is too small. An interrupt leaves nothing behind, a kill only what the next export removes.
    """
    adapter.check()
    adapter.forms.mkdir(mode=0o700, exist_ok=True)
    with locked(adapter.forms / ".lock"):  # who waits here finds it made
        if found := adapter.exported(form):
            return _verified(adapter, *found, progress)
        _check_base(adapter, base)
        base = base if form == "lora" else _with_template(adapter, base)
        _check_space(adapter, form, base)
        with written(f"adapter {adapter.id[:12]}: {form}"):
            return _made(adapter, form, base, progress)


def _made(adapter: Adapter, form: Form, base: Base, progress: Progress) -> tuple[Path, Exported]:
    for left in adapter.forms.glob(".making-*"):
        shutil.rmtree(left)
    name = form if form == "merged" else f"{form}.gguf"
    target = adapter.forms / name
    with tempfile.TemporaryDirectory(prefix=".making-", dir=adapter.forms) as scratch:
        made = Path(scratch) / name
        _write(adapter, form, base, made, progress)
        files = sorted(made.iterdir()) if made.is_dir() else [made]
        for path in files:
            _to_disk(path)
        progress("hashing", 0, 1)
        hashes = {path.name: file_sha256(path) for path in files}
        if target.is_dir():
            shutil.rmtree(target)  # of an export that was killed before it was said to be there
        size_bytes = sum(path.stat().st_size for path in files)
        made.rename(target)
    settle(adapter.forms)
    sha256 = folder_sha256(hashes) if form == "merged" else hashes[name]
    exported = Exported(form=form, name=name, sha256=sha256, size_bytes=size_bytes)
    adapter.keep(exported)
    return target, exported


def _write(adapter: Adapter, form: Form, base: Base, target: Path, progress: Progress) -> None:
    if form == "lora":
        lora_gguf(adapter, base, target, progress)
    elif form == "merged":
        target.mkdir(mode=0o700)
        merged_checkpoint(adapter, base, target, progress)
    else:
        assert form != "peft", "it is always there"
        merged_gguf(adapter, base, target, form, progress)


def _verified(adapter: Adapter, path: Path, told: Exported, progress: Progress) -> tuple[Path, Exported]:
    progress("hashing", 0, 1)
    if told.form == "peft":
        return path, told  # `check` has done it
    files = {one.name: file_sha256(one) for one in path.iterdir()} if path.is_dir() else {}
    sha256 = folder_sha256(files) if path.is_dir() else file_sha256(path)
    if sha256 != told.sha256:
        raise ReleaseError(
            f"adapter {adapter.id[:12]}: {path} was altered after it was made; delete it, and it is made again"
        )
    return path, told


def _check_base(adapter: Adapter, base: Base) -> None:
    trained = adapter.manifest.base
    same_gguf = trained.gguf_sha256 is not None and trained.gguf_sha256 == base.gguf_sha256
    if base.sha256 != trained.sha256 and not same_gguf:
        raise ReleaseError(
            f"adapter {adapter.id[:12]} was trained on {trained.name} ({trained.sha256[:12]}), {base.name} is another ({base.sha256[:12]}): "
            "give the base that it was trained on"
        )


def _with_template(adapter: Adapter, base: Base) -> Base:
    """The base with the chat template that the adapter was trained with: its own, or what lies in the adapter's folder."""
    wanted = adapter.manifest.base.template_sha256
    if base.template_sha256 == wanted:
        return base
    kept = adapter.peft / TEMPLATE
    if adapter.manifest.files.get(TEMPLATE) == wanted and kept.is_file():
        return msgspec.structs.replace(base, template=kept.read_text("utf-8"), template_given=True)
    raise ReleaseError(
        f"adapter {adapter.id[:12]} was trained with another chat template than {base.name} has now: put that one back, or train it again"
    )


def _check_space(adapter: Adapter, form: Form, base: Base) -> None:
    if form == "merged":
        needed = sum(path.stat().st_size for path in base.folder.glob("*.safetensors"))
    elif form == "lora":
        needed = 2 * sum(path.stat().st_size for path in adapter.peft.iterdir())
    else:
        own = base.gguf.stat().st_size if base.gguf else 0
        needed = own + int(base.parameters * _BYTES_A_WEIGHT[form])
    needed, free = needed + _SPARE_BYTES, shutil.disk_usage(adapter.forms).free
    if free < needed:
        raise StateError(
            f"{adapter.forms} has {free / 1e6:,.0f} MB free, {needed / 1e6:,.0f} MB are needed for {form}: make room, or move the state directory"
        )


def _to_disk(path: Path) -> None:
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
