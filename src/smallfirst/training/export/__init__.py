"""An adapter in the forms in which it is served: LoRA weights for llama.cpp, or merged into its base. Needs the extra `[train]`."""

from __future__ import annotations

from smallfirst.training.export.export import caution, export
from smallfirst.training.export.lora_gguf import lora_gguf
from smallfirst.training.export.merged_checkpoint import merged_checkpoint
from smallfirst.training.export.merged_gguf import merged_gguf

__all__ = ["caution", "export", "lora_gguf", "merged_checkpoint", "merged_gguf"]
