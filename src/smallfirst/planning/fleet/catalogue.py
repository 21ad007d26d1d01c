"""The GPUs and models that come with smallfirst, and those of the user's own files."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.gpu import GPU
from smallfirst.planning.fleet.server import Efficiency
from smallfirst.planning.fleet.shape import Shape

_T = TypeVar("_T", GPU, Shape)


@cache
def gpus() -> dict[str, GPU]:
    """The GPUs of `gpus.toml`, by name."""
    return _table(_packaged("gpus.toml"), "gpus", GPU, where="gpus.toml")


@cache
def models() -> dict[str, Shape]:
    """The shapes of `models.toml`, by name."""
    return _table(_packaged("models.toml"), "models", Shape, where="models.toml")


@cache
def efficiency() -> Efficiency:
    """What is left of nominal figures, fitted to all published runs: `efficiency.toml`."""
    return msgspec.convert(_efficiencies()["fitted"], Efficiency)


@cache
def efficiency_without() -> dict[str, Efficiency]:
    """The same, fitted without the runs of one group of people each, by the group: what the model would have said before it saw them."""
    return msgspec.convert(_efficiencies()["without"], dict[str, Efficiency])


def _efficiencies() -> dict[str, object]:
    return tomllib.loads(_packaged("efficiency.toml"))


def gpu(name: str, file: Path | None = None) -> GPU:
    """The GPU of that name, of the user's file before the catalogue. Raises `ConfigError` that names the nearest known."""
    return _named(name, {**gpus(), **(read_gpu_file(file) if file else {})}, "GPU", "--gpu-file")


def model(name: str) -> Shape:
    """The model of that name, or of that repository on the hub. Raises `ConfigError` that names the nearest known."""
    by_hub = {shape.hub.lower(): shape for shape in models().values()}
    return by_hub.get(name.lower()) or _named(name, models(), "model", "--model-config")


def read_gpu_file(path: Path) -> dict[str, GPU]:
    """GPUs of the user's own, in tables `[gpus.NAME]` with the fields of `GPU`. Raises `ConfigError` that names file, field and fix."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", path=str(path)) from error
    found = _table(text, "gpus", GPU, where=str(path))
    if not found:
        raise ConfigError(
            "no GPU in it: expected [gpus.NAME] with bf16_tflops_per_s, memory_gb and bandwidth_gb_per_s",
            path=str(path),
        )
    return found


def _named(name: str, known: dict[str, _T], what: str, option: str) -> _T:
    by_name = {key.lower(): value for key, value in known.items()}
    if found := by_name.get(name.lower()):
        return found
    near = difflib.get_close_matches(name.lower(), by_name, n=1, cutoff=0.4)
    guess = f"did you mean {next(key for key in known if key.lower() == near[0])}? " if near else ""
    raise ConfigError(f"no {what} {name!r}: {guess}known are {', '.join(known)}; others by {option}")


def _table(text: str, name: str, kind: type[_T], *, where: str) -> dict[str, _T]:
    try:
        tables = tomllib.loads(text).get(name, {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", path=where) from error
    found = {}
    for key, fields in tables.items() if isinstance(tables, dict) else ():
        if not isinstance(fields, dict):
            raise ConfigError("expected a table", path=f"{where}: {name}.{key}")
        try:
            found[key] = msgspec.convert({"name": key, **fields}, kind).checked(where)
        except msgspec.ValidationError as error:
            raise ConfigError(str(error), path=f"{where}: {name}.{key}") from error
    return found


def _packaged(file: str) -> str:
    return resources.files("smallfirst.planning.fleet").joinpath(file).read_text("utf-8")
