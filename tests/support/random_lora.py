"""LoRA weights for llama.cpp over any GGUF of the llama architecture, random, made in a moment and without torch."""

from __future__ import annotations

from pathlib import Path

import numpy

_TUNED = ("attn_q", "attn_v", "ffn_down")


def random_lora(base: Path, target: Path, *, seed: int, strength: float = 0.05, rank: int = 8) -> Path:
    """The file; another `seed` is another adapter. `strength`: of SmolLM2, .05 changes what it says and leaves it sense."""
    from gguf import GGUFReader, GGUFWriter

    random = numpy.random.default_rng(seed)
    writer = GGUFWriter(target, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for tensor in GGUFReader(base).tensors:
        if tensor.name.endswith(".weight") and any(part in tensor.name for part in _TUNED):
            columns, rows = (int(size) for size in tensor.shape)
            for name, shape in (("lora_a", (rank, columns)), ("lora_b", (rows, rank))):
                data = (random.standard_normal(shape) * strength).astype(numpy.float32)
                writer.add_tensor(f"{tensor.name}.{name}", data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
