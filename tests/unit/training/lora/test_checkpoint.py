"""What a run is taken up again from: whole, its own, and nobody else's."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec
import pytest
import torch

from smallfirst.errors import StateError
from smallfirst.training.lora.checkpoint import Checkpoints, Position, run_key

KEY = run_key({"rate": 1e-3, "seed": 0})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, "ticket/triage", KEY)


def saved(checkpoints: Checkpoints, step: int = 3) -> dict[str, torch.Tensor]:
    tensors = {"weights/a": torch.randn(3, 4), "random/cpu": torch.get_rng_state()}
    checkpoints.save(Position(step=step, curves=[{"step": 1, "loss": 0.1 + 0.2}]), tensors)
    return tensors


def test_what_was_saved_is_there_again_bit_by_bit(checkpoints: Checkpoints) -> None:
    tensors = saved(checkpoints)
    position, loaded = checkpoints.load()
    assert position == Position(step=3, curves=[{"step": 1, "loss": 0.1 + 0.2}])
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())


def test_one_alone_is_kept_for_its_owners_eyes(checkpoints: Checkpoints) -> None:
    for step in (3, 4):
        saved(checkpoints, step)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [
        "4-0.safetensors",
        "checkpoint.json",
    ]
    assert all(path.stat().st_mode & 0o077 == 0 for path in checkpoints.folder.iterdir())
    assert checkpoints.folder.stat().st_mode & 0o077 == 0


def test_another_setting_is_another_run(tmp_path: Path, checkpoints: Checkpoints) -> None:
    saved(checkpoints)
    assert not Checkpoints(tmp_path, "ticket/triage", run_key({"rate": 2e-3, "seed": 0})).exists


def test_a_task_of_any_name_has_one_folder(tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path, "../../etc/passwd", KEY).folder
    assert folder.parent == tmp_path / "training"


@pytest.mark.parametrize("harm", ["cut", "altered", "missing", "no json", "foreign", "newer"])
def test_a_damaged_or_foreign_one_says_how_to_begin_anew(checkpoints: Checkpoints, harm: str) -> None:
    saved(checkpoints)
    weights, told = checkpoints.folder / "3-0.safetensors", checkpoints.folder / "checkpoint.json"
    kept = msgspec.json.decode(told.read_bytes())
    match harm:
        case "cut":
            os.truncate(weights, weights.stat().st_size - 1)
        case "altered":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
        case "missing":
            weights.unlink()
        case "no json":
            told.write_bytes(b"{")
        case "foreign":
            told.write_bytes(msgspec.json.encode(kept | {"key": run_key({})}))
        case "newer":
            told.write_bytes(msgspec.json.encode(kept | {"format": 99}))
    with pytest.raises(StateError, match="--restart, and it begins anew"):
        checkpoints.load()


def test_a_file_elsewhere_is_not_read(tmp_path: Path, checkpoints: Checkpoints) -> None:
    saved(checkpoints)
    told = checkpoints.folder / "checkpoint.json"
    outside = tmp_path / "weights.safetensors"
    (checkpoints.folder / "3-0.safetensors").rename(outside)
    told.write_bytes(msgspec.json.encode(msgspec.json.decode(told.read_bytes()) | {"file": str(outside)}))
    with pytest.raises(StateError, match="is missing"):
        checkpoints.load()


def test_a_full_disk_leaves_the_one_before(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved(checkpoints)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        saved(checkpoints, 4)
    monkeypatch.undo()
    position, loaded = checkpoints.load()
    assert position.step == 3
    assert torch.equal(loaded["weights/a"], before["weights/a"])


def test_two_processes_do_not_train_the_same(tmp_path: Path, checkpoints: Checkpoints) -> None:
    with checkpoints.held():
        with pytest.raises(StateError, match="trained by another process"):
            with Checkpoints(tmp_path, "ticket/triage", KEY).held():
                pass
        saved(checkpoints)
    assert checkpoints.exists
    with checkpoints.held():
        checkpoints.remove()
    assert not checkpoints.folder.exists()


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who held it before removes it at the end; one that was opened before that locks nobody out."""
    real, path = fcntl.flock, checkpoints.folder / "run.lock"

    def removed(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        path.unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", removed)
    with checkpoints.held():
        assert path.exists()
        with (
            pytest.raises(StateError, match="trained by another process"),
            Checkpoints(checkpoints.folder.parents[1], "ticket/triage", KEY).held(),
        ):
            pass
