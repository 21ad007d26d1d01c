"""Pictures of curves: they are written, and say what they show."""

import sys

import numpy as np
import pytest

from smallfirst.errors import ConfigError
from smallfirst.evals import cost_quality
from smallfirst.evals.charts import draw_cost_quality, draw_risk_coverage
from smallfirst.statistics import risk_coverage

SCORES, LUCK = np.random.default_rng(1).random((2, 300))
SMALL = (LUCK < 0.6).astype(float)
FIGURES = cost_quality(SCORES, small=SMALL, frontier=np.ones(300))


def test_a_cost_quality_curve_names_its_lines_and_points(tmp_path):
    pytest.importorskip("vl_convert")
    draw_cost_quality(tmp_path / "curve.svg", FIGURES, title="MMLU", operating=(0.4, 0.8))
    text = (tmp_path / "curve.svg").read_text("utf-8")
    for words in ("router", "random", "oracle", "small alone", "frontier alone", "quality bound", "MMLU"):
        assert f">{words}<" in text
    assert "#0a7d5a" in text


def test_a_risk_coverage_curve_tells_its_figures(tmp_path):
    pytest.importorskip("vl_convert")
    draw_risk_coverage(tmp_path / "curve.svg", risk_coverage(SCORES, SMALL))
    text = (tmp_path / "curve.svg").read_text("utf-8")
    assert f">{100 * (1 - SMALL.mean()):.1f} % at 100 %<" in text


def test_a_png_is_a_png(tmp_path):
    pytest.importorskip("vl_convert")
    draw_cost_quality(tmp_path / "curve.png", FIGURES)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_without_rows_is_drawn_empty(tmp_path):
    pytest.importorskip("vl_convert")
    draw_risk_coverage(tmp_path / "curve.svg", risk_coverage([], []))
    assert (tmp_path / "curve.svg").exists()


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        draw_cost_quality(tmp_path / "curve.pdf", FIGURES)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(ConfigError, match=r"pip install 'smallfirst\[learn\]'"):
        draw_cost_quality(tmp_path / "curve.png", FIGURES)
