"""Adapters: LoRA weights over a base model, where they lie, in which forms they are served, and where they are deployed."""
