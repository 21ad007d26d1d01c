"""The hashes of GGUF files: an adapter fits one file of weights alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from smallfirst.models import weights

_MAX_KNOWN = 64


def gguf_sha256(path: Path) -> str:
    """A file's SHA-256, computed once for as long as its size and time of change stay. Raises `OSError`."""
    found = path.stat()
    return _sha256(path, found.st_size, found.st_mtime_ns)


def known_sha256(model_id: str) -> str | None:
    """The hash of the weights that an embedded model's `id` names; None where they are not here, or where the `id` is a path that is relative to
    a configuration's folder, which is not known here.
    """
    if known := weights.WEIGHTS.get(model_id):
        return known.files[0].sha256
    path = weights.find(model_id)
    return gguf_sha256(path) if path is not None and path.is_absolute() else None


@lru_cache(maxsize=_MAX_KNOWN)
def _sha256(path: Path, size_bytes: int, changed_ns: int) -> str:
    return weights.sha256_of(path)
