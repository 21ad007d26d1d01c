"""An adapter merged into its base's Hugging Face checkpoint: for servers and converters that know nothing of adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from smallfirst.errors import ConfigError
from smallfirst.models.adapters.store import Adapter
from smallfirst.training.export.peft_weights import Pair, pairs_of
from smallfirst.training.lora.base import Base
from smallfirst.training.lora.checkpoint_files import TEMPLATE, weights_of

if TYPE_CHECKING:
    import torch

Progress = Callable[[str, int, int], None]

_BESIDE = ("*.json", "*.model", "merges.txt", "vocab.txt")  # configuration and tokenizer


def merged_checkpoint(
    adapter: Adapter, base: Base, folder: Path, progress: Progress = lambda *_: None
) -> None:
    """Writes it into `folder`, which is there and empty: one file of weights at a time, in the base's own number type; tokenizer and template beside.

    Raises `ReleaseError` where the adapter is no plain LoRA, `ConfigError` where it changes what the base has not.
    """
    from safetensors.torch import load_file, save_file

    pairs = {f"{pair.module}.weight": pair for pair in pairs_of(adapter)}
    files = weights_of(base.folder, base.name)
    for done, path in enumerate(files):
        progress("merging", done, len(files))
        tensors = {name: _merged(name, tensor, pairs) for name, tensor in load_file(path).items()}
        save_file(tensors, folder / path.name, metadata={"format": "pt"})
    if pairs:
        raise ConfigError(f"{base.name} has no {next(iter(pairs))}, which the adapter changes")
    for pattern in _BESIDE:
        for path in base.folder.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    (folder / TEMPLATE).write_text(base.template, "utf-8")
    progress("merging", len(files), len(files))


def _merged(name: str, tensor: torch.Tensor, pairs: dict[str, Pair]) -> torch.Tensor:
    """The weight with what the adapter adds, which is then done with."""
    pair = pairs.pop(name, None)
    if pair is None:
        return tensor
    if pair.change.shape != tensor.shape:
        raise ConfigError(
            f"the adapter changes {name} by {tuple(pair.change.shape)}, the base has {tuple(tensor.shape)}"
        )
    return (tensor.float() + pair.change).to(tensor.dtype).contiguous()
