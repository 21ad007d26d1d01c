"""A form of an adapter, written where its user wants it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from smallfirst.errors import ConfigError


def copy_whole(source: Path, target: Path) -> None:
    """Copies a file or a folder, whole or not at all.

    Raises `ConfigError` where something lies there already, `OSError` where it does not fit.
    """
    if target.exists():
        raise ConfigError(f"{target} is there already; nothing was written", path="--out")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, partial)
        else:
            shutil.copyfile(source, partial)
        partial.rename(target)
    except shutil.Error as error:  # of a folder: what the first file failed with
        raise OSError(error.args[0][0][2]) from error
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
