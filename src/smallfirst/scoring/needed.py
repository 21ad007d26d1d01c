"""Libraries that only some scorers need: the `learn` extra."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from smallfirst.errors import ScorerError


def needed(module: str, *, by: str) -> ModuleType:
    """The module, imported. Raises `ScorerError` that says how to install it. The process's warning filters stay as they are."""
    try:
        with warnings.catch_warnings():  # ppi_py switches all warnings off while it is imported
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise ScorerError(
            f"{by} needs {module.partition('.')[0]}: pip install 'smallfirst[learn]'"
        ) from error
