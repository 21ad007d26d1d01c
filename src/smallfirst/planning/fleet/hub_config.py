"""A model's shape from its `config.json`, as the Hugging Face hub has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.shape import Shape

_LARGEST_BYTES = 4 << 20
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


def read_model_config(path: Path) -> Shape:
    """The shape in a `config.json`. Raises `ConfigError` that names the file and the field, also for models that are not dense decoders."""
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError("that is no config.json: it is larger than 4 MB", path=str(path))
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", path=str(path)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"is not JSON: {error}", path=str(path)) from error
    if not isinstance(found, dict):
        raise ConfigError("expected an object with num_hidden_layers, hidden_size, ...", path=str(path))
    return shape_of(found.get("text_config", found), name=path.parent.name or path.stem, where=str(path))


def shape_of(config: Any, *, name: str, where: str) -> Shape:
    """The shape that the fields of a `config.json` describe. Raises `ConfigError` that names `where` and the field."""
    if not isinstance(config, dict):
        raise ConfigError("expected an object", path=f"{where}: text_config")
    for field in _EXPERTS:
        if config.get(field):
            raise ConfigError(
                "mixtures of experts are not modelled: only dense decoders are", path=f"{where}: {field}"
            )
    hidden, heads, layers = (
        _count(config, field, where) for field in ("hidden_size", "num_attention_heads", "num_hidden_layers")
    )
    window, windowed = _windows(config, layers, where)
    return Shape(
        name=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_count(config, "num_key_value_heads", where, default=heads),
        head_dim=_count(config, "head_dim", where, default=hidden // heads),
        intermediate=_count(config, "intermediate_size", where),
        vocabulary=_count(config, "vocab_size", where),
        tied=config.get("tie_word_embeddings") is True,
        window_tokens=window,
        windowed_layers=windowed,
    ).checked(where)


def _count(config: dict[str, Any], field: str, where: str, *, default: int | None = None) -> int:
    value = config.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            "is missing" if value is None else f"expected a whole number of at least 1, not {value!r}",
            path=f"{where}: {field}",
        )
    return value


def _windows(config: dict[str, Any], layers: int, where: str) -> tuple[int, int]:
    """The window and how many layers have it. `layer_types` says which; Gemma 2 has it in every second layer; else all of them."""
    if config.get("sliding_window") is None or config.get("use_sliding_window") is False:
        return 0, 0
    window = _count(config, "sliding_window", where)
    if window >= config.get("max_position_embeddings", window + 1):
        return 0, 0
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        return window, sum(kind == "sliding_attention" for kind in kinds[:layers])
    if isinstance(pattern := config.get("sliding_window_pattern"), int) and pattern > 0:
        return window, layers - layers // pattern
    return window, (layers + 1) // 2 if config.get("model_type") == "gemma2" else layers
