"""Reads `smallfirst.toml`, once, into frozen structs."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from smallfirst.config import shape
from smallfirst.config.frozen import frozen
from smallfirst.config.schema import Config
from smallfirst.errors import ConfigError

FILE_NAME = "smallfirst.toml"
VARIABLE = "SMALLFIRST_CONFIG"


def find(path: Path | None, *, environ: Mapping[str, str] | None = None) -> Path:
    """Which file to read: `path`, else `$SMALLFIRST_CONFIG`, else `./smallfirst.toml`.

    Raises `ConfigError` where it does not exist; it is not read yet.
    """
    named = (os.environ if environ is None else environ).get(VARIABLE, "")
    chosen = path or Path(named or FILE_NAME)
    if chosen.is_file():
        return chosen
    what = "is a folder, not a file" if chosen.is_dir() else "does not exist"
    by = f" (from ${VARIABLE})" if path is None and named else ""
    where = "" if str(chosen) == FILE_NAME else f" --path {chosen}"
    raise ConfigError(f"{chosen}{by} {what}; `smallfirst init{where}` writes one, --config names another")


def load(path: Path) -> Config:
    """The configuration in this file; nothing in it can be changed.

    Only the file's own shape is checked here: fields, types, ranges. `check.py` tells whether it makes sense.
    Raises one `ConfigError` with every problem in it, a line each, that names the file and the dotted path in
    it.
    """
    return parse(_text(path), name=str(path))


def parse(text: str, *, name: str = FILE_NAME) -> Config:
    """The configuration in this text, as `load` reads it from a file.

    `name` stands for the file in messages.
    """
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: tables or lists are nested too deeply") from error
    cleaned, problems = shape.read(data)
    if problems:
        raise _wrong(name, problems)
    try:
        return frozen(msgspec.convert(cleaned, Config))
    except msgspec.ValidationError as error:  # `shape` let something through
        raise ConfigError(f"{name}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; `smallfirst init` writes one") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: not UTF-8 (at line {line}); TOML files are") from error


def _wrong(name: str, problems: list[shape.Problem]) -> ConfigError:
    lines = [str(problem) for problem in problems]
    if len(lines) == 1:
        error = ConfigError(f"{name}: {lines[0]}")
    else:
        error = ConfigError(f"{name}: {len(lines)} problems\n  " + "\n  ".join(lines))
    error.path = problems[0].path
    return error
