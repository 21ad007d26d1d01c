"""Sentence encoders as ONNX: the mean of the last layer's tokens, scaled to length 1 (as sentence-transformers pools MiniLM)."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smallfirst import limits
from smallfirst.classify.embedder import bounded, unit
from smallfirst.config.places import cache_dir
from smallfirst.errors import ConfigError

_MAX_TOKENS = 256
_MINILM_MIDDLE = ("layer_norm_6", "layer_norm_10")  # what the third and the fifth of its six layers give


class OnnxEmbedder:
    """One thread a call: the gateway's other work keeps its cores."""

    slow = True

    def __init__(self, name: str, model: bytes, tokenizer: bytes, *, middle: tuple[str, ...] = ()) -> None:
        """`model` is ONNX, `tokenizer` a tokenizer.json. `middle`: names of tensors inside the graph that are wanted too, [texts, tokens,
        dimensions]. Raises `ConfigError` where onnxruntime is not installed.
        """
        needs_onnxruntime(name)
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.name = name
        self.sha256 = hashlib.sha256(model + tokenizer).hexdigest()
        self._session = onnxruntime.InferenceSession(
            with_outputs(model, middle), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_str(tokenizer.decode())
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.no_padding()
        self._inputs = [found.name for found in self._session.get_inputs()]
        self._last = self._session.get_outputs()[0].name
        self._middle = middle
        self.dimensions = int(self.embed([""]).shape[1])

    def reads(self, text: str) -> bool:
        """Whether all of a text is read: of a longer one its vector says nothing of the end."""
        found = self._tokenizer.encode(bounded(text))
        return len(text) <= limits.MAX_EMBEDDED_CHARS and not found.overflowing

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One text at a time: int8 activations are scaled by what is in a batch, and a text's bits must not depend on its neighbours (on one
        thread a batch is no faster).
        """
        return unit(np.stack([self._pool(text, (self._last,))[0] for text in texts]))

    def embed_layers(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `embed`, and the middle layers' means, each of length 1, side by side."""
        pooled = [self._pool(text, (self._last, *self._middle)) for text in texts]
        last = unit(np.stack([row[0] for row in pooled]))
        if not self._middle:
            return last, last
        layers = [unit(np.stack([row[at] for row in pooled])) for at in range(1, len(self._middle) + 1)]
        return last, unit(np.concatenate(layers, axis=1))

    def _pool(self, text: str, outputs: tuple[str, ...]) -> list[np.ndarray]:
        tokens = np.asarray([self._tokenizer.encode(bounded(text)).ids], np.int64)
        given = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        hidden = self._session.run(list(outputs), {name: given[name] for name in self._inputs})
        return [np.asarray(layer, np.float32)[0].mean(axis=0) for layer in hidden]


def with_outputs(model: bytes, names: tuple[str, ...]) -> bytes:
    """The ONNX model with further tensors of its graph as outputs.

    Protocol Buffers merge a message that is given twice and append to its repeated fields, so a second `graph` (field 7 of ModelProto) with nothing
    but `output`s (field 12 of GraphProto, each a ValueInfoProto with a `name`) adds them.
    """
    if not names:
        return model
    added = b"".join(_field(12, _field(1, name.encode())) for name in names)
    return model + _field(7, added)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited Protocol Buffers field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def minilm() -> OnnxEmbedder:
    """all-MiniLM-L6-v2, int8, from the cache that `smallfirst models pull minilm-l6-v2` fills."""
    if not has_minilm():
        raise ConfigError(
            "the embedder minilm has no weights here: `smallfirst models pull minilm-l6-v2` fetches them"
        )
    return from_folder("minilm", _minilm_folder(), middle=_MINILM_MIDDLE)


def has_minilm() -> bool:
    """Whether its weights are here."""
    return (_minilm_folder() / "model.onnx").is_file()


def _minilm_folder() -> Path:
    return cache_dir() / "minilm-l6-v2"


def from_folder(name: str, folder: Path, *, middle: tuple[str, ...] = ()) -> OnnxEmbedder:
    """Any encoder with `model.onnx` (tokens in, hidden states out) and `tokenizer.json`."""
    needs_onnxruntime(name)
    model, tokenizer = folder / "model.onnx", folder / "tokenizer.json"
    for path in (model, tokenizer):
        if not path.is_file():
            raise ConfigError(f"the embedder {name} has no {path.name} in {folder}")
    return OnnxEmbedder(name, model.read_bytes(), tokenizer.read_bytes(), middle=middle)


def needs_onnxruntime(name: str) -> None:
    """Raises `ConfigError` where it is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ConfigError(f"the embedder {name} needs an extra: pip install 'smallfirst[minilm]'")
