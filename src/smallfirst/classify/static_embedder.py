"""Static embedders: a row for each token, averaged. wordllama's table and tokenizer are read from its wheel as files.

The package's own loader looks for its tokenizer on a hub and configures logging when it is imported; what it computes is the mean below, and a
test holds ours to it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from smallfirst.classify.embedder import bounded, unit
from smallfirst.errors import ConfigError

_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"


class StaticEmbedder:
    """The mean of the tokens' rows of a table, scaled to length 1."""

    slow = False

    def __init__(
        self, name: str, sha256: str, tokenizer: Tokenizer, table: np.ndarray, *, unread: int | None = None
    ) -> None:
        """`unread`: the number of a token that counts for nothing."""
        self.name = name
        self.sha256 = sha256
        self.dimensions = int(table.shape[1])
        self._tokenizer = tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._table = table
        self._unread = unread

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        means = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            ids = self._tokenizer.encode(bounded(text), add_special_tokens=False).ids
            if self._unread is not None:
                ids = [token for token in ids if token != self._unread]
            if ids:
                means[row] = self._table[ids].mean(axis=0)
        return unit(means)


def wordllama() -> StaticEmbedder:
    """The 256 dimensions that come in wordllama's wheel. Raises `ConfigError` where it is not installed."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise ConfigError("the embedder wordllama is not installed: pip install wordllama")
    folder = Path(spec.origin).parent
    weights, tokenizer = folder / _WEIGHTS, folder / _TOKENIZER
    try:
        table = next(iter(load_file(weights).values())).astype(np.float32)
        digest = _sha256(weights.read_bytes(), tokenizer.read_bytes())
        return StaticEmbedder("wordllama", digest, Tokenizer.from_file(str(tokenizer)), table)
    except OSError as error:
        raise ConfigError(f"this wordllama has other files than expected: {error}") from error


def model2vec(name: str, source: str) -> StaticEmbedder:
    """A model2vec model from a folder or a hub. Raises `ConfigError`.

    Models that weigh or map their tokens are flattened into one table first, so that serving needs nothing of theirs.
    """
    if importlib.util.find_spec("model2vec") is None:
        raise ConfigError("the embedder model2vec needs an extra: pip install 'smallfirst[model2vec]'")
    from model2vec import StaticModel

    try:
        model = StaticModel.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:  # a hub's refusals are OSErrors
        raise ConfigError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
    rows = np.asarray(model.embedding, np.float32)
    mapping, weights = getattr(model, "token_mapping", None), getattr(model, "weights", None)
    if mapping is not None:
        rows = rows[np.asarray(mapping)]
    if weights is not None:
        rows = rows * np.asarray(weights, np.float32)[:, None]
    tokenizer = Tokenizer.from_str(model.tokenizer.to_str())
    digest = _sha256(rows.tobytes(), tokenizer.to_str().encode())
    return StaticEmbedder(name, digest, tokenizer, rows, unread=model.unk_token_id)


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
