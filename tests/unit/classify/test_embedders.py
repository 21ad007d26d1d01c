"""Texts as vectors: what the packages themselves compute, the same bits alone and among others, bounded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from smallfirst import limits
from smallfirst.classify import onnx_embedder
from smallfirst.classify.embedder import Embedder, bounded, unit, views_of
from smallfirst.classify.embedders import open_embedder
from smallfirst.config.places import cache_dir
from smallfirst.errors import ConfigError

TEXTS = [
    "I was charged twice on my invoice",
    "Warum kommt keine Rechnung?",
    "請求書",
    "x",
    "🐛 crash at 0x7f\n\n",
    "the " * 300,
    "",
]


@pytest.fixture(scope="module")
def wordllama() -> Embedder:
    return open_embedder("wordllama")


@pytest.fixture
def theirs(wordllama: Any) -> Iterator[Any]:
    """The package's own implementation over the same files; what importing it does to the logging is undone."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    yield WordLlamaInference(wordllama._table, Tokenizer.from_str(wordllama._tokenizer.to_str()))
    root.setLevel(level)
    root.handlers[:] = handlers


def test_it_is_what_wordllama_computes(wordllama: Embedder, theirs: Any) -> None:
    said = [text for text in TEXTS if text]
    assert np.allclose(wordllama.embed(said), theirs.embed(said, norm=True), atol=1e-6)


def test_a_text_has_the_same_bits_alone_and_among_others(wordllama: Embedder) -> None:
    among = wordllama.embed(TEXTS)
    for row, text in zip(among, TEXTS, strict=True):
        assert np.array_equal(wordllama.embed([text])[0], row)
    assert np.array_equal(wordllama.embed(TEXTS[::-1]), among[::-1])


def test_vectors_have_length_one_and_nothing_has_none(wordllama: Embedder) -> None:
    vectors = wordllama.embed(TEXTS)
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(TEXTS), 256))
    assert np.allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-6)
    assert not vectors[-1].any()
    assert not unit(np.zeros((2, 3), np.float32)).any()


def test_a_huge_text_is_read_at_its_beginning_and_its_end(wordllama: Embedder) -> None:
    half = limits.MAX_EMBEDDED_CHARS // 2
    huge = "b" * half + "x" * 10_000_000 + "e" * half
    assert bounded(huge) == "b" * half + "\n" + "e" * half
    assert np.array_equal(wordllama.embed([huge]), wordllama.embed([bounded(huge)]))
    for text in ("", "a", "a" * limits.MAX_EMBEDDED_CHARS):
        assert bounded(text) == text
    assert len(bounded("a" * (limits.MAX_EMBEDDED_CHARS + 1))) == limits.MAX_EMBEDDED_CHARS + 1


def test_its_weights_have_a_hash_and_it_is_loaded_once(wordllama: Embedder) -> None:
    assert len(wordllama.sha256) == 64
    assert open_embedder("wordllama") is wordllama
    assert not wordllama.slow
    assert list(views_of(wordllama, ["a"])) == ["wordllama"]


@pytest.mark.parametrize("name", ["word2vec", "", "model2vec:", "onnx:", "model:embed"])
def test_an_unknown_embedder_names_the_known(name: str) -> None:
    known = r"wordllama, minilm, model2vec:…, onnx:…, model:…"
    with pytest.raises(ConfigError, match=rf"embedder '{name}' is not known \(known: {known}\)"):
        open_embedder(name)


def test_an_encoder_without_its_files_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match=r"has no model\.onnx in "):
        onnx_embedder.from_folder("onnx:here", tmp_path)
    monkeypatch.setenv("SMALLFIRST_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="`smallfirst models pull minilm-l6-v2` fetches them"):
        onnx_embedder.minilm()


def test_no_further_outputs_leave_a_model_as_it_is() -> None:
    assert onnx_embedder.with_outputs(b"model", ()) == b"model"


@pytest.mark.parametrize("length", [1, 127, 128, 20_000])
def test_further_outputs_are_a_second_graph_of_fields(length: int) -> None:
    """Field 7 with field 12 with field 1: lengths as Protocol Buffers write them."""
    added = onnx_embedder.with_outputs(b"", ("n" * length,))

    def field(data: bytes) -> tuple[int, bytes]:
        size, at, shift = 0, 1, 0
        while True:
            size |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 128:
                break
        assert len(data) == at + size
        return data[0] >> 3, data[at:]

    number, graph = field(added)
    inner, output = field(graph)
    assert (number, inner, field(output)) == (7, 12, (1, b"n" * length))


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    pytest.importorskip("onnxruntime")
    if not (cache_dir() / "minilm-l6-v2" / "model.onnx").is_file():
        pytest.skip("needs MiniLM's weights: `smallfirst models pull minilm-l6-v2`")
    return open_embedder("minilm")


def test_minilm_gives_its_middle_layers_beside_its_last(minilm: Any) -> None:
    last, middle = minilm.embed_layers(TEXTS)
    assert (last.shape, middle.shape) == ((len(TEXTS), 384), (len(TEXTS), 768))
    assert np.array_equal(last, minilm.embed(TEXTS))
    assert np.allclose(np.linalg.norm(middle, axis=1), 1, atol=1e-6)
    assert set(views_of(minilm, ["a"])) == {"minilm", "minilm/middle"}
    plain = onnx_embedder.from_folder("minilm", cache_dir() / "minilm-l6-v2")
    assert np.allclose(plain.embed(TEXTS), last, atol=1e-6)
    assert plain.sha256 == minilm.sha256


def test_minilm_has_the_same_bits_alone_and_among_others(minilm: Any) -> None:
    among = minilm.embed(TEXTS)
    assert all(np.array_equal(minilm.embed([text])[0], row) for text, row in zip(TEXTS, among, strict=True))
    close = minilm.embed(["Where is my parcel?", "My package has not arrived", "Paint it blue"])
    assert close[0] @ close[1] > close[0] @ close[2] + 0.2


@pytest.mark.parametrize("kind", ["plain", "weighted", "mapped"])
def test_model2vec_is_read_as_its_own_encoder_reads_it(kind: str, tmp_path: Path) -> None:
    words = WordLevel({"[UNK]": 0, "[PAD]": 1, "pay": 2, "the": 3, "bill": 4}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = Whitespace()
    rng = np.random.default_rng(0)
    mapping = np.array([0, 1, 2, 2, 3]) if kind == "mapped" else None
    rows = rng.normal(size=(4 if kind == "mapped" else 5, 8)).astype(np.float32)
    weights = rng.random(5).astype(np.float32) if kind != "plain" else None
    model = StaticModel(rows, tokenizer, weights=weights, token_mapping=mapping)
    model.save_pretrained(tmp_path)
    embedder = open_embedder(f"model2vec:{tmp_path}")
    texts = ["pay the bill", "bill", "pay my bill now", ""]
    theirs = model.encode(texts)
    lengths = np.linalg.norm(theirs, axis=1, keepdims=True)
    assert np.allclose(embedder.embed(texts), theirs / np.where(lengths > 0, lengths, 1), atol=1e-5)


def test_a_model2vec_folder_that_is_none_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model2vec:.* cannot be loaded"):
        open_embedder(f"model2vec:{tmp_path / 'nothing'}")
