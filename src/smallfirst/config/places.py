"""Where files that are shared by all projects of a user lie on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Where weights are kept: `$SMALLFIRST_CACHE/models`, else `smallfirst/models` in the platform's cache folder."""
    environ = os.environ if environ is None else environ
    if named := environ.get("SMALLFIRST_CACHE"):
        return Path(named) / "models"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "smallfirst" / "models"
