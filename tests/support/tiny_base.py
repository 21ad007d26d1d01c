"""A language model that is made in seconds: random, two layers, SmolLM2's chat template and the beginning of its vocabulary. llama.cpp serves it,
transformers opens it.

What it says is nonsense, but it says it for a reason: its answers depend on the whole prompt, and an adapter changes them. Made once for
each recipe, in the cache beside the real weights (a few MB).
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import numpy

from smallfirst.config.places import cache_dir
from smallfirst.models.weights import find
from smallfirst.training.gguf_file import Field, Tensor, fields_of, open_gguf, write_gguf

HIDDEN, LAYERS, HEADS, KEY_HEADS, INNER = 64, 2, 4, 2, 128
CONTEXT_TOKENS = 8192
VOCABULARY = (
    8192  # the commonest of 49,152 pieces: the tokenizer works as the whole one does, with shorter pieces
)
_EMBEDDED_LIKE = (
    0.1  # a token's vector is short beside what the layers add: so the last token is not simply said again
)
_ODD_LIKE = 0.02  # pieces of characters, and other things that make no text: hardly ever said
_SURE = 3.0  # how far apart logits are: a model that is trained is surer than a random one


@functools.cache
def tiny_base(*, quantised: bool = False, seed: int = 1) -> Path:
    """The GGUF. `quantised`: its layers in Q4_1 and the embedding in Q8_0, as the embedded default has them; else float32 and float16."""
    source = find("smollm2-135m")
    assert source is not None, "its tokenizer is the embedded model's: smallfirst models pull smollm2-135m"
    recipe = hashlib.sha256(Path(__file__).read_bytes() + f"{quantised} {seed}".encode()).hexdigest()[:12]
    path = tiny_cache() / recipe / "tiny.gguf"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        _write(partial, source, quantised=quantised, seed=seed)
        partial.replace(path)
    return path


def tiny_cache() -> Path:
    """Where it lies, and the checkpoint that is made of it."""
    folder = cache_dir().parent / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(path: Path, source: Path, *, quantised: bool, seed: int) -> None:
    from gguf import GGMLQuantizationType as Kind
    from gguf.quants import quantize

    fields = _fields(fields_of(open_gguf(source)), quantised=quantised)
    random = numpy.random.default_rng(seed)

    def weights(name: str, rows: int, columns: int) -> Tensor:
        data = random.normal(0, 1 / columns**0.5, (rows, columns)).astype(numpy.float32)
        return tensor(name, data, Kind.Q4_1 if quantised else Kind.F32)

    def tensor(name: str, data: numpy.ndarray, kind: Kind) -> Tensor:
        return Tensor(f"{name}.weight", data.shape, kind, lambda: quantize(data, kind))

    embedded = random.normal(0, 1, (len(fields["tokenizer.ggml.tokens"].value), HIDDEN)).astype(numpy.float32)
    embedded *= _lengths(fields)[:, None]
    tensors = [tensor("token_embd", embedded, Kind.Q8_0 if quantised else Kind.F16)]
    ones = numpy.ones(HIDDEN, dtype=numpy.float32)
    last = tensor("output_norm", _SURE * ones, Kind.F32)
    side = HIDDEN // HEADS * KEY_HEADS
    for at in range(LAYERS):
        blk = f"blk.{at}"
        tensors += [tensor(f"{blk}.attn_norm", ones, Kind.F32), tensor(f"{blk}.ffn_norm", ones, Kind.F32)]
        tensors += [weights(f"{blk}.attn_q", HIDDEN, HIDDEN), weights(f"{blk}.attn_k", side, HIDDEN)]
        tensors += [weights(f"{blk}.attn_v", side, HIDDEN), weights(f"{blk}.attn_output", HIDDEN, HIDDEN)]
        tensors += [weights(f"{blk}.ffn_gate", INNER, HIDDEN), weights(f"{blk}.ffn_up", INNER, HIDDEN)]
        tensors += [weights(f"{blk}.ffn_down", HIDDEN, INNER)]
    write_gguf(path, fields, [*tensors, last])


def _fields(real: dict[str, Field], *, quantised: bool) -> dict[str, Field]:
    """The real model's metadata, but for its shape."""
    shape = {
        "general.name": "Tiny",
        "general.size_label": "3M",
        "general.file_type": 3 if quantised else 1,
        "llama.block_count": LAYERS,
        "llama.context_length": CONTEXT_TOKENS,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KEY_HEADS,
        "llama.rope.dimension_count": HIDDEN // HEADS,
        "llama.vocab_size": VOCABULARY,
        **vocabulary(real, VOCABULARY),
    }
    return {key: field._replace(value=shape.get(key, field.value)) for key, field in real.items()}


def vocabulary(real: dict[str, Field], size: int) -> dict[str, list[object]]:
    """The first so many tokens of a vocabulary, and the merges that make them: pieces stand in the order in which they were learned."""
    tokens = real["tokenizer.ggml.tokens"].value[:size]
    known = set(tokens)
    merges = [one for one in real["tokenizer.ggml.merges"].value if one.replace(" ", "", 1) in known]
    types = real["tokenizer.ggml.token_type"].value[:size]
    return {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
    }


def _lengths(fields: dict[str, Field]) -> numpy.ndarray:
    """How long each token's vector is: the longer, the more often it is said."""
    from gguf import TokenType

    tokens, types = fields["tokenizer.ggml.tokens"].value, fields["tokenizer.ggml.token_type"].value
    plain = [
        kind == TokenType.CONTROL or token.replace("Ġ", " ").isascii()
        for token, kind in zip(tokens, types, strict=True)
    ]
    return numpy.where(plain, _EMBEDDED_LIKE, _ODD_LIKE).astype(numpy.float32)
