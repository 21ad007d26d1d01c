"""Loss and score over a run's steps: as a picture with its lines named, or as figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallfirst.errors import ConfigError
from smallfirst.evals.training_picture import check_ending, draw_training

CURVES = [
    {"step": 0.0, "calibration_loss": 3.0, "score": 0.02, "valid": 1.0},
    *({"step": float(step), "loss": 3 / step, "rate": 1e-3} for step in range(1, 41)),
    {"step": 40.0, "calibration_loss": 0.2, "score": 0.94, "valid": 1.0},
]


def test_every_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.svg"
    draw_training(path, CURVES, title="triage, adapter 0123456789ab")
    text = path.read_text()
    for word in ("triage, adapter 0123456789ab", "train", "calibration", "score", "fit the contract", "Step"):
        assert f">{word}<" in text


def test_without_a_score_the_losses_stand_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.svg"
    draw_training(
        path, [{name: v for name, v in one.items() if name not in ("score", "valid")} for one in CURVES]
    )
    assert "Share of calibration" not in path.read_text()


def test_json_has_the_figures_themselves(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    draw_training(path, CURVES)
    assert json.loads(path.read_text()) == CURVES


def test_a_run_without_curves_or_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to draw"):
        draw_training(tmp_path / "run.svg", [])
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        check_ending(tmp_path / "run.gif")
    check_ending(tmp_path / "run.json")
