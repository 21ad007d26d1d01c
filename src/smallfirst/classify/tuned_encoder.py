"""A sentence encoder that was tuned for one label head, inside the head's own artifact: what carries the head carries its encoder.

    tuned.onnx         the graph, tokens in and hidden states out, as bytes
    tuned.tokenizer    its tokenizer.json, as bytes

Trained in `training/encoder/`; nothing of torch is needed to serve it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from smallfirst.classify.onnx_embedder import OnnxEmbedder

TUNED = "tuned"  # its name among a head's embedders
_GRAPH, _TOKENIZER = f"{TUNED}.onnx", f"{TUNED}.tokenizer"


def tuned_arrays(model: bytes, tokenizer: bytes) -> dict[str, np.ndarray]:
    """As an artifact keeps it."""
    return {_GRAPH: np.frombuffer(model, np.uint8), _TOKENIZER: np.frombuffer(tokenizer, np.uint8)}


def tuned_encoder(arrays: Mapping[str, np.ndarray]) -> OnnxEmbedder:
    """The encoder of an artifact's arrays. Raises `ConfigError` where onnxruntime is not installed."""
    return OnnxEmbedder(TUNED, arrays[_GRAPH].tobytes(), arrays[_TOKENIZER].tobytes())
