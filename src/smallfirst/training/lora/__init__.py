"""Adapters: LoRA weights that are trained over a base model. Needs the extra `[train]`."""
