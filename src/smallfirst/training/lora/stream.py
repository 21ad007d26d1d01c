"""A batch of prompts going on token by token: keys and values kept, what all begin with computed once, rows that are done left out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from smallfirst.training.lora.heads import causal_of, last_logits

_LEAST_SHARED = 8  # tokens: fewer are not worth a pass of their own


class Beginning:
    """Keys and values of the tokens that all prompts begin with; of none where attention has windows, since padding would stand in them."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache

        config = causal_of(model).config
        windows = getattr(config.get_text_config(), "sliding_window", None) is not None
        shared = 0 if windows or len(prompts) < 2 else _common(prompts)
        self.tokens = shared if shared >= _LEAST_SHARED else 0
        self._cache = DynamicCache(config=config)
        if self.tokens:
            ids = torch.tensor([prompts[0][: self.tokens]], device=_device(model))
            last_logits(model, {"input_ids": ids}, self._cache)

    def of(self, rows: int) -> Any:
        """A copy for so many rows."""
        cache = copy.deepcopy(self._cache)
        if self.tokens:
            cache.batch_repeat_interleave(rows)
        return cache


class Stream:
    """Rows that go on together, padded at their left."""

    def __init__(self, model: Any, beginning: Beginning, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._cache = beginning.of(len(prompts))
        own = [list(prompt[beginning.tokens :]) for prompt in prompts]
        longest = max(map(len, own))
        mask = [[1] * beginning.tokens + [0] * (longest - len(ids)) + [1] * len(ids) for ids in own]
        device = _device(model)
        self._ids = torch.tensor([[0] * (longest - len(ids)) + ids for ids in own], device=device)
        self._mask = torch.tensor(mask, device=device)

    def logits(self) -> torch.Tensor:
        """What may come next: (rows, vocabulary), float32, on the CPU."""
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -self._ids.shape[1] :]
        inputs = {"input_ids": self._ids, "attention_mask": self._mask, "position_ids": positions}
        return last_logits(self._model, inputs, self._cache).cpu()

    def go_on(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        """Of the rows there are, these go on, each by one token."""
        device = self._mask.device
        if len(rows) < len(self._mask):
            kept = torch.tensor(rows, device=device)
            self._cache.batch_select_indices(kept)
            self._mask = self._mask[kept]
        self._ids = torch.tensor(tokens, device=device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(self._ids)], dim=1)


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """How many ids all begin with; each keeps one of its own."""
    first, last = min(map(list, prompts)), max(map(list, prompts))
    most = min(map(len, prompts)) - 1
    same = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return min(next(same, most), most)


def _device(model: Any) -> torch.device:
    return causal_of(model).get_input_embeddings().weight.device
