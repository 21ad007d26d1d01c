"""The encoder that is tuned: by default MiniLM, from the cache that `smallfirst models pull minilm-l6-v2-f32` fills; else a folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.config.places import cache_dir
from smallfirst.errors import ConfigError
from smallfirst.models.weights import cached, sha256_of

DEFAULT = "minilm-l6-v2-f32"
_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_NEEDED = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")


class EncoderBase(msgspec.Struct, frozen=True, kw_only=True):
    """A Hugging Face encoder on this disk. `sha256` is of its weights."""

    name: str
    folder: Path
    sha256: str
    layers: int


def open_base(name: str = "") -> EncoderBase:
    """The base of that name: a folder, or MiniLM. Raises `ConfigError` that says what is missing."""
    missing = [module for module in _NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"--method encoder needs {', '.join(missing)}: pip install 'smallfirst[train,minilm]'"
        )
    if name in ("", DEFAULT):
        name, folder = DEFAULT, cached(DEFAULT, cache_dir())
        if not all((folder / file).is_file() for file in _FILES):
            raise ConfigError(
                f"the encoder has no weights here: `smallfirst models pull {DEFAULT}` fetches them"
            )
    else:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise ConfigError(
                f"there is no folder {name}; an encoder is {DEFAULT} or a folder with {', '.join(_FILES)}",
                path="--base",
            )
        for file in _FILES:
            if not (folder / file).is_file():
                raise ConfigError(f"{name} has no {file}: it is no Hugging Face encoder", path="--base")
    layers = _layers(folder)
    return EncoderBase(
        name=name, folder=folder, sha256=sha256_of(folder / "model.safetensors"), layers=layers
    )


def _layers(folder: Path) -> int:
    try:
        told: dict[str, Any] = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{folder / 'config.json'} cannot be read: {error}", path="--base") from error
    layers = told.get("num_hidden_layers")
    if not isinstance(layers, int) or told.get("is_decoder"):
        raise ConfigError(
            f"{folder} is no encoder of sentences (its config.json says no num_hidden_layers, or a decoder)",
            path="--base",
        )
    return layers
