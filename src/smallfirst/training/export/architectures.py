"""How layers of Hugging Face's models are called and laid out in llama.cpp's files: only what was tried against llama.cpp itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from smallfirst.errors import ConfigError
from smallfirst.training.lora.base import Base

if TYPE_CHECKING:
    import torch
    from gguf import TensorNameMap


class Kind(NamedTuple):
    """`name` is llama.cpp's word. `turned`: it rotates neighbours where Hugging Face rotates halves, so the rows of q and k lie otherwise."""

    name: str
    turned: bool = False


KINDS = {
    "llama": Kind("llama", turned=True),
    "mistral": Kind("llama", turned=True),
    "qwen2": Kind("qwen2"),
    "qwen3": Kind("qwen3"),
    "gemma": Kind("gemma"),
    "gemma2": Kind("gemma2"),
    "gemma3_text": Kind("gemma3"),
    "phi3": Kind("phi3"),
    "smollm3": Kind("smollm3", turned=True),
}
"""By `model_type`. tests/unit/training/export/test_architectures.py holds each to what llama.cpp answers."""


class Layout:
    """The layout of one base. Raises `ConfigError` where its architecture is not one of `KINDS`."""

    def __init__(self, base: Base) -> None:
        from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

        kind = KINDS.get(base.architecture)
        if kind is None:
            raise ConfigError(
                f"{base.name} is of the kind {base.architecture}, whose layout in a GGUF is not known here (known: {', '.join(KINDS)}); "
                "export --form merged, and turn that into a GGUF with llama.cpp's convert_hf_to_gguf.py"
            )
        self.kind = kind
        config = base.config()
        self._heads: int = config.num_attention_heads
        self._key_heads: int = getattr(config, "num_key_value_heads", None) or self._heads
        architecture = next(known for known, name in MODEL_ARCH_NAMES.items() if name == kind.name)
        self._names: TensorNameMap = get_tensor_name_map(architecture, config.num_hidden_layers)
        self._base = base

    def name(self, module: str) -> str:
        """The tensor that holds a layer's weight. Raises `ConfigError` where there is none, or where it is tied to another."""
        found = self._names.get_name(module)
        if found is None or not found.startswith("blk."):
            raise ConfigError(
                f"{self._base.name}: {module} is tuned, which an adapter in a GGUF cannot hold; "
                "leave it out of what is tuned, or export --form merged"
            )
        return f"{found}.weight"

    def laid(self, module: str, rows: torch.Tensor) -> torch.Tensor:
        """Rows of a layer's outputs, as they lie in a GGUF."""
        if not self.kind.turned or not module.endswith((".q_proj", ".k_proj")):
            return rows
        heads = self._heads if module.endswith(".q_proj") else self._key_heads
        halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
        return halves.swapaxes(1, 2).reshape(rows.shape)
