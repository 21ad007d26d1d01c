"""What a GPU is needed for. Needs torch, transformers, peft and smallfirst, and no weights but those that are named."""
