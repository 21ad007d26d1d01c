"""A GGUF as a Hugging Face checkpoint: the same numbers, the same tokens; and nothing where it cannot be had whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest
from support.greedy import QUESTIONS, Served
from support.tiny_adapter import opened_tiny_base
from support.tiny_base import tiny_base
from support.written import files_are_at_most

from smallfirst.errors import ConfigError, StateError
from smallfirst.training.gguf_file import Field, fields_of, kept, open_gguf, write_gguf
from smallfirst.training.lora import estimate
from smallfirst.training.lora.gguf_base import checkpoint_of

pytestmark = pytest.mark.embedded

ODD = [
    "a  5 b   66\n\n 7\t8  ",
    "don't  they'll 1,234.50€ №12 ²³ ١٢",
    "<|im_start|>user\n  x<|im_end|>",
    "日本語 emoji 🙂🙂 naïve",
    "    return   x==10  # 100%",
]


def quiet(*_: object) -> None:
    """No bar."""


def test_its_numbers_are_exactly_the_dequantised_ones() -> None:
    from gguf.quants import dequantize
    from safetensors.numpy import load_file

    base = opened_tiny_base(quantised=True)
    assert base.gguf is not None
    tensors = load_file(base.folder / "model.safetensors")
    told = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in open_gguf(base.gguf).tensors
    }
    assert numpy.array_equal(tensors["model.embed_tokens.weight"], told["token_embd.weight"])
    assert numpy.array_equal(tensors["model.layers.1.mlp.down_proj.weight"], told["blk.1.ffn_down.weight"])
    assert sum(tensor.size for tensor in tensors.values()) == base.parameters
    assert {tensor.dtype for tensor in tensors.values()} == {numpy.dtype("float32")}


def test_its_tokens_are_those_of_llama_cpp(tmp_path: Path) -> None:
    tokenizer = opened_tiny_base().tokenizer()
    with Served(tiny_base(), tmp_path) as served:
        for text in [*ODD, *QUESTIONS]:
            assert served.tokens(text) == tokenizer.encode(text, add_special_tokens=False), text


def test_it_is_made_once(tmp_path: Path) -> None:
    base = opened_tiny_base()
    assert base.gguf is not None
    target = tmp_path / "made"
    shutil.copytree(base.folder, target)
    before = (target / "config.json").stat().st_mtime_ns
    assert checkpoint_of(base.gguf, target, quiet) == target
    assert (target / "config.json").stat().st_mtime_ns == before


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(step: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint_of(tiny_base(), tmp_path / "made", interrupted)
    assert [path.name for path in tmp_path.iterdir()] == [".made.lock"]


def test_what_a_killed_one_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".made.abc"
    left.mkdir()

    def interrupted(step: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint_of(tiny_base(), tmp_path / "made", interrupted)
    assert not left.exists()


@pytest.mark.parametrize("kept_bytes", [3, 20, 5_000, 700_000])
def test_a_file_that_is_cut_off_is_said_so(tmp_path: Path, kept_bytes: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_base().read_bytes()[:kept_bytes])
    with pytest.raises(ConfigError, match=r"cut\.gguf is (damaged or cut off|no GGUF)"):
        checkpoint_of(cut, tmp_path / "made", quiet)
    assert not (tmp_path / "made").exists()


def test_a_foreign_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(b"PK\x03\x04" * 1000)
    with pytest.raises(ConfigError, match="does not begin with GGUF"):
        checkpoint_of(tmp_path / "other.gguf", tmp_path / "made", quiet)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("tokenizer.ggml.pre", "brand-new", r"how it splits text \(brand-new\)"),
        ("llama.rope.scaling.type", "yarn", "rotary embedding is scaled"),
    ],
)
def test_what_would_be_read_otherwise_is_refused(tmp_path: Path, key: str, value: str, said: str) -> None:
    path = changed(tmp_path, {key: value})
    with pytest.raises(ConfigError, match=said):
        checkpoint_of(path, tmp_path / "made", quiet)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, {"general.architecture": "plamo2"})
    with pytest.raises(
        ConfigError, match=r"its architecture \(plamo2\) cannot be turned.*Hugging Face checkpoint"
    ):
        checkpoint_of(path, tmp_path / "made", quiet)


def test_too_little_disk_or_memory_is_said_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "free_memory", lambda device: 1000)
    with pytest.raises(StateError, match="GB of memory are free"):
        checkpoint_of(tiny_base(), tmp_path / "made", quiet)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(StateError, match=r"GB free.*SMALLFIRST_CACHE"):
        checkpoint_of(tiny_base(), tmp_path / "made", quiet)


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with files_are_at_most(1_000_000), pytest.raises(StateError, match="made cannot be written"):
        checkpoint_of(tiny_base(), tmp_path / "made", quiet)
    assert [path.name for path in tmp_path.iterdir()] == [".made.lock"]


def changed(folder: Path, values: dict[str, str]) -> Path:
    """The tiny base with other metadata."""
    from gguf import GGUFValueType

    reader = open_gguf(tiny_base())
    fields = fields_of(reader) | {key: Field(value, GGUFValueType.STRING) for key, value in values.items()}
    path = folder / "changed.gguf"
    write_gguf(path, fields, [kept(tensor) for tensor in reader.tensors])
    return path
