"""An adapter as llama.cpp loads it beside its base: the base stays as it is, and other adapters may stand on it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from smallfirst.models.adapters.store import Adapter
from smallfirst.training.export.architectures import Layout
from smallfirst.training.export.peft_weights import Pair, pairs_of
from smallfirst.training.gguf_file import Field, Tensor, write_gguf
from smallfirst.training.lora.base import Base

Progress = Callable[[str, int, int], None]


def lora_gguf(adapter: Adapter, base: Base, target: Path, progress: Progress = lambda *_: None) -> None:
    """Writes it, in float32. llama.cpp adds `alpha / rank * b @ a` to each layer.

    Raises `ReleaseError` where the adapter is no plain LoRA, `ConfigError` where the base's layout is not known.
    """
    from gguf import GGUFValueType as Type

    pairs, layout = pairs_of(adapter), Layout(base)
    alpha = pairs[0].scale * pairs[0].rank
    fields = {
        "general.architecture": Field(layout.kind.name, Type.STRING),
        "general.type": Field("adapter", Type.STRING),
        "general.name": Field(adapter.manifest.served_name, Type.STRING),
        "adapter.type": Field("lora", Type.STRING),
        "adapter.lora.alpha": Field(alpha, Type.FLOAT32),
    }
    progress("writing the adapter", 0, len(pairs))
    write_gguf(target, fields, [tensor for pair in pairs for tensor in _tensors(pair, layout, alpha)])
    progress("writing the adapter", len(pairs), len(pairs))


def _tensors(pair: Pair, layout: Layout, alpha: float) -> Iterator[Tensor]:
    from gguf import GGMLQuantizationType as Type

    name = layout.name(pair.module)
    b = layout.laid(pair.module, pair.b) * (pair.scale / (alpha / pair.rank))  # where ranks differ
    yield Tensor(f"{name}.lora_a", tuple(pair.a.shape), Type.F32, pair.a.contiguous().numpy)
    yield Tensor(f"{name}.lora_b", tuple(b.shape), Type.F32, b.contiguous().numpy)
