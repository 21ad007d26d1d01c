"""An adapter merged into its base's own GGUF: what it does not touch stays byte for byte as the base has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from smallfirst.errors import ConfigError
from smallfirst.models.adapters.store import Adapter
from smallfirst.training.export.architectures import Layout
from smallfirst.training.export.peft_weights import Pair, pairs_of
from smallfirst.training.gguf_file import Tensor, fields_of, kept, open_gguf, write_gguf
from smallfirst.training.lora.base import Base

if TYPE_CHECKING:
    import numpy
    from gguf import GGMLQuantizationType, ReaderTensor

Progress = Callable[[str, int, int], None]
GgufForm = Literal["f16", "q8_0", "q4_1"]

_FILE_TYPES: dict[GgufForm, int] = {"f16": 1, "q4_1": 3, "q8_0": 7}  # llama.cpp's LLAMA_FTYPE_MOSTLY_…


def merged_gguf(
    adapter: Adapter, base: Base, target: Path, form: GgufForm, progress: Progress = lambda *_: None
) -> None:
    """Writes it, the tuned layers in `form`. With q4_1 the tune may be gone: its steps are wider than most changes.

    Raises `ConfigError` where the base has no GGUF, `ReleaseError` where the adapter is no plain LoRA.
    """
    if base.gguf is None:
        raise ConfigError(
            f"{base.name} did not come from a GGUF, so there is none to merge into: export --form merged, "
            f"and turn that into one with llama.cpp's convert_hf_to_gguf.py (--outtype {form})"
        )
    reader, layout = open_gguf(base.gguf), Layout(base)
    pairs = {layout.name(pair.module): pair for pair in pairs_of(adapter)}
    if unknown := next((name for name in pairs if name not in {t.name for t in reader.tensors}), None):
        raise ConfigError(f"{base.name}: {base.gguf.name} has no {unknown}, which the adapter changes")
    fields = fields_of(reader)
    for key, value in {
        "general.name": adapter.manifest.served_name,
        "general.file_type": _FILE_TYPES[form],
        "tokenizer.chat_template": base.template,
    }.items():
        if key in fields:
            fields[key] = fields[key]._replace(value=value)
    tensors = [
        _merged(tensor, pairs[tensor.name], layout, form) if tensor.name in pairs else kept(tensor)
        for tensor in reader.tensors
    ]
    write_gguf(
        target, fields, [_told(tensor, at, len(tensors), progress) for at, tensor in enumerate(tensors)]
    )


def _merged(tensor: ReaderTensor, pair: Pair, layout: Layout, form: GgufForm) -> Tensor:
    """The layer with what the adapter adds. Raises `ConfigError` where they do not fit."""
    from gguf.quants import dequantize, quantize

    shape = tuple(tensor.shape.tolist()[::-1])
    if shape != (pair.b.shape[0], pair.a.shape[1]):
        raise ConfigError(
            f"the adapter changes {tensor.name} as {pair.b.shape[0]} × {pair.a.shape[1]}, the base has {' × '.join(map(str, shape))}"
        )
    kind = _kind(form, columns=shape[-1])

    def made() -> numpy.ndarray:
        whole = dequantize(tensor.data, tensor.tensor_type)
        return quantize(whole + layout.laid(pair.module, pair.change).numpy(), kind)

    return Tensor(tensor.name, shape, kind, made)


def _told(tensor: Tensor, at: int, total: int, progress: Progress) -> Tensor:
    """The same tensor, of whose turn is told."""

    def made() -> numpy.ndarray:
        progress("merging", at, total)
        return tensor.made()

    return tensor._replace(made=made)


def _kind(form: GgufForm, *, columns: int) -> GGMLQuantizationType:
    """The type of a tuned layer: float16 where its rows are no whole blocks."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    kind = GGMLQuantizationType[form.upper()]
    return kind if columns % GGML_QUANT_SIZES[kind][0] == 0 else GGMLQuantizationType.F16
