"""Files that a command writes beside what it prints: whether they can be written is said before the work, not after it."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from smallfirst.errors import ConfigError

STDOUT = "-"


def check_file(path: Path | None, option: str) -> None:
    """Raises `ConfigError` that names the option, where there is no folder to write it into, or a folder of its name."""
    if path is None:
        return
    if not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"{path.parent} is no folder that can be written to", path=option)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file", path=option)


def check_picture(path: Path | None, option: str) -> None:
    """The same of a picture, and whether it can be drawn."""
    if path is not None:
        from smallfirst.drawing import altair_for

        altair_for(path)
        check_file(path, option)


def check_csv(target: str | None, *, as_json: bool) -> None:
    """The same of `--csv`, which is a file or `-`."""
    if target == STDOUT and as_json:
        raise ConfigError("not both on stdout: name a file for one of them", path="--csv")
    if target is not None and target != STDOUT:
        check_file(Path(target), "--csv")


def write_csv(target: str, text: str) -> None:
    """Into the file, whole, or to stdout."""
    from smallfirst.durable import write_whole

    if target == STDOUT:
        typer.echo(text.encode(), nl=False)  # bytes: nothing is made of its line ends
    else:
        write_whole(Path(target), text.encode("utf-8", "replace"))
