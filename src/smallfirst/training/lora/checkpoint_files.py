"""The files of a Hugging Face checkpoint, looked at before transformers opens it: safetensors that are whole, and nothing that runs."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import ConfigError

TEMPLATE = "chat_template.jinja"
_INDEX, _ONE_FILE = "model.safetensors.index.json", "model.safetensors"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def config_of(folder: Path, name: str) -> dict[str, Any]:
    """`config.json`. Raises `ConfigError` where there is none, or where it is of a model that cannot be tuned."""
    path = folder / "config.json"
    if not path.is_file():
        if (folder / "adapter_config.json").is_file():
            raise ConfigError(f"{name} is an adapter: give the base that it stands on")
        raise ConfigError(f"{name} is no Hugging Face checkpoint: {folder} has no config.json")
    config = _json(path, dict[str, Any])
    if not isinstance(config.get("model_type"), str):
        raise ConfigError(f"{path} says no model_type")
    if "quantization_config" in config:
        kind = config["quantization_config"].get("quant_method", "quantised")
        raise ConfigError(
            f"{name} is quantised ({kind}): take the checkpoint that it was made of; `--method qlora` makes it small in memory"
        )
    if "text_config" in config:
        raise ConfigError(f"{name} reads more than text ({config['model_type']}): take a model of text alone")
    return config


def weights_of(folder: Path, name: str) -> list[Path]:
    """The safetensors that hold the weights, by name. Raises `ConfigError` where one is missing, or where there are only pickled ones."""
    index = folder / _INDEX
    if index.is_file():
        names = sorted(set(_json(index, _Index).weight_map.values()))
    elif (folder / _ONE_FILE).is_file():
        names = [_ONE_FILE]
    else:
        if any(next(folder.glob(pattern), None) for pattern in _PICKLED):
            raise ConfigError(
                f"{name} has pickled weights, which could run code when they are read: take a checkpoint with {_ONE_FILE}"
            )
        raise ConfigError(f"{name} has no weights: {folder} has neither {_ONE_FILE} nor {_INDEX}")
    for one in names:
        if Path(one).name != one or not one.endswith(".safetensors"):
            raise ConfigError(f"{index} names {one!r}, which is no safetensors file of that folder")
        if not (folder / one).is_file():
            raise ConfigError(f"{name} is not whole: {one} is missing; fetch it again")
    return [folder / one for one in names]


def parameters_of(folder: Path, name: str) -> int:
    """How many numbers its weights are. Raises `ConfigError` where a file is damaged or cut off."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in weights_of(folder, name):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{path} is damaged or cut off ({error}); fetch it again") from error
    return total


def template_of(folder: Path, name: str) -> str:
    """The chat template. Raises `ConfigError` that says how to give one."""
    own = folder / TEMPLATE
    told: Any = None
    if own.is_file():
        told = _text(own)
    elif (config := folder / "tokenizer_config.json").is_file():
        told = _json(config, dict[str, Any]).get("chat_template")
    if isinstance(told, list):  # several, by name
        told = next((one.get("template") for one in told if one.get("name") == "default"), None)
    if isinstance(told, str) and told.strip():
        return told
    raise ConfigError(
        f"{name} has no chat template: take its instruct or chat variant, or give one with --template FILE (Jinja, as its tokenizer would have it)"
    )


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _json(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
