"""The embedders by the names that a configuration gives them.

wordllama            static, 256 numbers, weights in its wheel, tens of microseconds: the default
model2vec:PATH|ID    any model2vec model: a folder, or a hub's id
minilm               all-MiniLM-L6-v2 as int8 ONNX, 384 numbers: `smallfirst models pull minilm-l6-v2`
onnx:FOLDER          any sentence encoder with `model.onnx` and `tokenizer.json`
model:NAME           the OpenAI-compatible embeddings endpoint of a configured model
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from smallfirst.classify.embedder import Embedder
from smallfirst.classify.onnx_embedder import from_folder, has_minilm, minilm
from smallfirst.classify.static_embedder import model2vec, wordllama
from smallfirst.errors import ConfigError

KINDS = ("wordllama", "minilm", "model2vec:", "onnx:", "model:")


@lru_cache(maxsize=8)
def open_embedder(name: str) -> Embedder:
    """The embedder of that name, loaded once a process. Raises `ConfigError` that says what is missing.

    `model:NAME` is not opened here: `models/embeddings_http.py` does, which knows addresses and keys.
    """
    kind, _, rest = name.partition(":")
    if name == "wordllama":
        return wordllama()
    if kind == "model2vec" and rest:
        return model2vec(name, rest)
    if name == "minilm":
        return minilm()
    if kind == "onnx" and rest:
        return from_folder(name, Path(rest))
    known = ", ".join(f"{kind}…" if kind.endswith(":") else kind for kind in KINDS)
    raise ConfigError(f"embedder {name!r} is not known (known: {known})")


def best_here() -> str:
    """The best of those that need nothing but what is installed here: `minilm` where its weights are, else `wordllama`."""
    return "minilm" if has_minilm() and importlib.util.find_spec("onnxruntime") else "wordllama"
