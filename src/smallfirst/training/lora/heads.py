"""From a causal language model to the logits at a few positions: its layers run over all tokens, its output embedding over those alone.

A vocabulary of 50,000 or 250,000 makes the output embedding the greater part of a small model's step, and a label has three tokens.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_CLOSE = {torch.float32: 1e-3, torch.float64: 1e-3}
_ROUGH = 0.1  # in 16 bits
_TRIED = (1, 2, 3, 5)  # any tokens will do

_plain: weakref.WeakKeyDictionary[torch.nn.Module, bool] = weakref.WeakKeyDictionary()


def causal_of(model: Any) -> Any:
    """The causal language model itself, where PEFT stands around it; the adapter's layers stay in it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def logits_at(model: Any, rows: torch.Tensor, columns: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    """The logits (positions, vocabulary) in float32 at `(rows, columns)` of a forward pass over `inputs`."""
    causal = causal_of(model)
    head = head_of(model)
    if head is None:
        return causal(**inputs, use_cache=False).logits[rows, columns].float()
    hidden = _layers(causal)(**inputs, use_cache=False).last_hidden_state
    return head(hidden[rows, columns]).float()


def last_logits(model: Any, inputs: dict[str, Any], cache: Any) -> torch.Tensor:
    """The logits (rows, vocabulary) in float32 after each row's last token; `cache` takes the keys and values of all."""
    causal = causal_of(model)
    head = head_of(model)
    if head is None:
        return causal(**inputs, **_kept_in(cache, causal), use_cache=True).logits[:, -1].float()
    layers = _layers(causal)
    hidden = layers(**inputs, **_kept_in(cache, layers), use_cache=True).last_hidden_state
    return head(hidden[:, -1]).float()


@contextmanager
def answering(model: Any) -> Iterator[None]:
    """Without gradients and dropout; afterwards the model is in the mode that it was in."""
    training = model.training
    model.eval()
    try:
        with (
            torch.no_grad()
        ):  # not inference mode: a buffer that a layer keeps could then not be trained through
            yield
    finally:
        model.train(training)


def head_of(model: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """From hidden states to logits as the model itself makes them; None where that is not known, and the model makes all of them.

    Output embedding, then what Gemma (a soft cap), Granite and Cohere (a scale) do. Tried once against the model's own logits.
    """
    causal = causal_of(model)
    if causal not in _plain:
        _plain[causal] = _is_plain(causal)
    return _head(causal) if _plain[causal] else None


def _head(causal: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    embedding = causal.get_output_embeddings()
    config = causal.config.get_text_config()
    divided = getattr(config, "logits_scaling", None)
    times = getattr(config, "logit_scale", None)
    cap = getattr(config, "final_logit_softcapping", None)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits = embedding(hidden)
        if divided:
            logits = logits / divided
        if times:
            logits = logits * times
        return torch.tanh(logits / cap) * cap if cap else logits

    return head


def _is_plain(causal: Any) -> bool:
    embedding, layers = causal.get_output_embeddings(), _layers(causal)
    if embedding is None or layers is None:
        return False
    ids = torch.tensor([_TRIED], device=embedding.weight.device)
    with answering(causal):
        whole = causal(input_ids=ids, use_cache=False).logits.float()
        try:
            own = _head(causal)(layers(input_ids=ids, use_cache=False).last_hidden_state).float()
        except (AttributeError, RuntimeError, TypeError):  # it is built otherwise: its own way is taken
            return False
    near = _CLOSE.get(embedding.weight.dtype, _ROUGH)
    return own.shape == whole.shape and torch.allclose(own, whole, rtol=near, atol=near)


def _layers(causal: Any) -> Any:
    """The model without its output embedding."""
    inner = getattr(causal, causal.base_model_prefix, None) if causal.base_model_prefix else None
    return inner if inner is not causal else None


def _kept_in(cache: Any, module: torch.nn.Module) -> dict[str, Any]:
    """The argument that takes the cache; transformers 5.24 calls it otherwise than those before it."""
    named = "cache" if "cache" in inspect.signature(module.forward).parameters else "past_key_values"
    return {named: cache}
