"""A GGUF turned into a Hugging Face checkpoint, so that what llama.cpp serves can be tuned: float32, exactly the dequantised values."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallfirst.durable import locked, settle
from smallfirst.errors import ConfigError, StateError
from smallfirst.training.gguf_file import NEEDS_TRAIN, architecture_of, open_gguf, text_of, written

if TYPE_CHECKING:
    from gguf import GGUFReader

Progress = Callable[[str, int, int], None]

_BYTES_A_PARAMETER = 4
_COPIES = 2  # as it is read, and in the model
_SPARE_BYTES = 64 * 1024 * 1024
_OWN_CHECKPOINT = "download the model's own Hugging Face checkpoint and give its folder"
_DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell")
_PLAIN = ("gpt-2", "phi-2", "mpt", "olmo")
"""What `tokenizer.ggml.pre` says of byte-level vocabularies that split text as GPT-2 does, the former with each digit on its own first."""
ARCHITECTURES = ("llama", "phi3", "qwen2", "qwen3")
"""Those whose checkpoint was found to say what their GGUF says (tests/unit/training/export/test_architectures.py). Of Gemma's the GGUF does not
tell how queries are scaled, and transformers guesses.
"""


def checkpoint_of(gguf: Path, target: Path, progress: Progress) -> Path:
    """`target`, the checkpoint of that GGUF: made if it is not there, whole or not at all.

    Raises `ConfigError` where the file is damaged or its architecture or tokenizer cannot be converted exactly, `StateError` where the disk is
    too small.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent / f".{target.name}.lock"):  # who waits here finds it made
        if not target.is_dir():
            reader = open_gguf(gguf)
            _check(reader, gguf)
            _check_room(reader, target.parent)
            _make(reader, gguf, target, progress)
    return target


def _check(reader: GGUFReader, gguf: Path) -> None:
    """Raises `ConfigError` for what transformers would read, but not as llama.cpp does."""
    if (kind := architecture_of(reader)) not in ARCHITECTURES:
        raise ConfigError(
            f"{gguf.name}: a GGUF of its architecture ({kind}) cannot be turned into a checkpoint exactly (known: {', '.join(ARCHITECTURES)}); "
            f"{_OWN_CHECKPOINT}"
        )
    if any(tensor.name.startswith("rope_") for tensor in reader.tensors) or any(
        ".rope.scaling." in key for key in reader.fields
    ):
        raise ConfigError(
            f"{gguf.name}: its rotary embedding is scaled, which a GGUF does not tell whole; {_OWN_CHECKPOINT}"
        )
    pre = text_of(reader, "tokenizer.ggml.pre")
    if text_of(reader, "tokenizer.ggml.model") == "gpt2" and pre not in (*_DIGITS_APART, *_PLAIN, *_splits()):
        raise ConfigError(f"{gguf.name}: how it splits text ({pre}) is not known here; {_OWN_CHECKPOINT}")


def _splits() -> tuple[str, ...]:
    """The ways of splitting that transformers knows."""
    with _needs_train():
        from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
    return tuple(GGUF_PRE_TOKENIZER_SPLITS)


def _check_room(reader: GGUFReader, folder: Path) -> None:
    """Raises `StateError` where the disk or the memory is too small."""
    with _needs_train():
        from smallfirst.training.lora.estimate import free_memory

        memory = free_memory("cpu")
    size = _parameters(reader) * _BYTES_A_PARAMETER
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE_BYTES:
        raise StateError(
            f"{folder} has {free / 1e9:,.1f} GB free, {(size + _SPARE_BYTES) / 1e9:,.1f} GB are needed for the checkpoint; "
            "$SMALLFIRST_CACHE names another place"
        )
    if memory < _COPIES * size:
        raise StateError(
            f"{memory / 1e9:,.1f} GB of memory are free, {_COPIES * size / 1e9:,.1f} GB are needed to turn the GGUF into a checkpoint: "
            f"do it on a larger machine, or {_OWN_CHECKPOINT}"
        )


def _parameters(reader: GGUFReader) -> int:
    return sum(int(tensor.n_elements) for tensor in reader.tensors)


def _make(reader: GGUFReader, gguf: Path, target: Path, progress: Progress) -> None:
    _sweep(target)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as made:
        place = Path(made) / "checkpoint"
        place.mkdir(mode=0o700)
        progress("converting the base: tokenizer", 0, 3)
        _write_tokenizer(reader, gguf, place)
        progress("converting the base: weights", 1, 3)
        with written(target.name):
            _write_model(reader, gguf, place)
            progress("converting the base: writing", 2, 3)
            for path in place.iterdir():
                _to_disk(path)
        place.rename(target)
        settle(target.parent)
        progress("converting the base: done", 3, 3)


def _sweep(target: Path) -> None:
    """What a conversion left that was killed: nobody else is at it, the lock says so."""
    for left in target.parent.glob(f".{target.name}.*"):
        if left.is_dir():
            shutil.rmtree(left)


def _write_tokenizer(reader: GGUFReader, gguf: Path, place: Path) -> None:
    with _needs_train():
        from tokenizers import pre_tokenizers
        from transformers import AutoTokenizer
    with _read_by_transformers(gguf):
        tokenizer: Any = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    if text_of(reader, "tokenizer.ggml.pre") in _DIGITS_APART:  # transformers leaves the digits out
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]
        )
    tokenizer.save_pretrained(place)


def _write_model(reader: GGUFReader, gguf: Path, place: Path) -> None:
    """`save_pretrained` refuses what was read from a GGUF: so the tensors are saved, and the configuration without the word of it."""
    with _needs_train():
        import torch
        from safetensors.torch import save_file
        from transformers import AutoModelForCausalLM
    with _read_by_transformers(gguf):
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32
        )
    whole = {id(tensor): (name, tensor) for name, tensor in reversed(list(model.named_parameters()))}
    parameters = sum(tensor.numel() for _, tensor in whole.values())
    if parameters != _parameters(reader):
        raise ConfigError(
            f"{gguf.name}: transformers reads {parameters} of its {_parameters(reader)} weights; {_OWN_CHECKPOINT}"
        )
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the tensors are whole again
    config.architectures = [type(model).__name__]
    config.save_pretrained(place)
    model.generation_config.save_pretrained(place)
    tensors = {name: tensor.detach().contiguous() for name, tensor in whole.values()}
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})


@contextlib.contextmanager
def _needs_train() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"a GGUF is to be turned into a checkpoint; {NEEDS_TRAIN}") from error


@contextlib.contextmanager
def _read_by_transformers(gguf: Path) -> Iterator[None]:
    """Its bars are not ours to show, and what it cannot read is the user's to know."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        said = str(error).splitlines()[0][:300]
        raise ConfigError(f"{gguf.name}: transformers cannot read it ({said}); {_OWN_CHECKPOINT}") from error


def _to_disk(path: Path) -> None:
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
