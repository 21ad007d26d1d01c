"""From text to a vector: one Protocol, and the embedders by the names that a configuration gives them.

wordllama            static, 256 numbers, weights in its wheel, tens of microseconds: the default
model2vec:PATH|ID    any model2vec model: a folder, or a hub's id
minilm               all-MiniLM-L6-v2 as int8 ONNX, 384 numbers: `smallfirst models pull minilm-l6-v2`
onnx:FOLDER          any sentence encoder with `model.onnx` and `tokenizer.json`
model:NAME           the OpenAI-compatible embeddings endpoint of a configured model
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from smallfirst import limits
from smallfirst.errors import ConfigError

DEFAULT = "wordllama"
KINDS = ("wordllama", "minilm", "model2vec:", "onnx:", "model:")


class Embedder(Protocol):
    """Turns texts into unit vectors. The same text gives the same bits, alone or among others, so that a decision can be replayed."""

    name: str
    sha256: str  # of the weights
    dimensions: int
    slow: bool  # not for an event loop

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32, `[len(texts), dimensions]`, rows of length 1 (or 0 for a text without any known token)."""
        ...


class LayeredEmbedder(Embedder, Protocol):
    """An encoder that also gives what its middle layers hold, at no further cost."""

    def embed_layers(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Its vectors as `embed` gives them, and those of its middle layers, rows of length 1."""
        ...


def views_of(embedder: Embedder, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """All that an embedder has to say of texts, by view: `NAME`, and `NAME/middle` where it has layers."""
    layered = getattr(embedder, "embed_layers", None)
    if layered is None:
        return {embedder.name: embedder.embed(texts)}
    last, middle = layered(texts)
    return {embedder.name: last, f"{embedder.name}/middle": middle}


def bounded(text: str) -> str:
    """What is read of a text: all of it, or its beginning and its end, where questions and instructions stand. Lone surrogates, which no encoder
    takes, become question marks.
    """
    most = limits.MAX_EMBEDDED_CHARS
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    if len(text) <= most:
        return text
    return text[: most // 2] + "\n" + text[-(most // 2) :]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row of zeros stays."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


@lru_cache(maxsize=8)
def open_embedder(name: str) -> Embedder:
    """The embedder of that name, loaded once a process. Raises `ConfigError` that says what is missing.

    `model:NAME` is not opened here: `models/embeddings_http.py` does, which knows addresses and keys.
    """
    from smallfirst.classify import onnx_embedder, static_embedder

    kind, _, rest = name.partition(":")
    if name == "wordllama":
        return static_embedder.wordllama()
    if kind == "model2vec" and rest:
        return static_embedder.model2vec(name, rest)
    if name == "minilm":
        return onnx_embedder.minilm()
    if kind == "onnx" and rest:
        return onnx_embedder.from_folder(name, Path(rest))
    known = ", ".join(f"{kind}…" if kind.endswith(":") else kind for kind in KINDS)
    raise ConfigError(f"embedder {name!r} is not known (known: {known})")
