"""What turns text into vectors, and what all of them share. Which there are, by name: `embedders.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from smallfirst import limits


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
