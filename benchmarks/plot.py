"""CPU per call as a dot plot on a logarithmic axis, in plain SVG: no plotting library to install."""

import math
from collections.abc import Sequence
from html import escape

from benchmarks.results import Row

_WIDTH, _LEFT, _RIGHT, _TOP, _STEP = 860, 250, 110, 58, 30
_INK, _FAINT, _OURS, _THEIRS = "#1f2328", "#d0d7de", "#0a7d5a", "#6e7781"


def cpu_plot(rows: Sequence[Row]) -> str:
    """The plot of the measured rows, in their order; smallfirst's dots are green, all others grey."""
    rows = [row for row in rows if row.cpu_us_per_call]
    values = [row.cpu_us_per_call for row in rows if row.cpu_us_per_call]
    low = math.floor(math.log10(min(values, default=10)))
    high = max(low + 1, math.ceil(math.log10(max(values, default=100))))
    bottom = _TOP + _STEP * len(rows)

    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    axis = [_grid(x(10**power), 10**power, bottom) for power in range(low, high + 1)]
    dots = [
        _dot(row, x(row.cpu_us_per_call), _TOP + _STEP * (i + 0.5))
        for i, row in enumerate(rows)
        if row.cpu_us_per_call
    ]
    size = f'viewBox="0 0 {_WIDTH} {bottom + 40}" width="{_WIDTH}"'
    style = f'font-family="system-ui, sans-serif" font-size="13" fill="{_INK}"'
    subtitle = "logarithmic; less is better; in brackets: × the bare relay (streams: × its streaming)"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="16" y="28" font-size="16" font-weight="600">CPU time per call, microseconds</text>',
        f'<text x="16" y="46" fill="{_THEIRS}">{subtitle}</text>',
        *axis,
        *dots,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _grid(x: float, value: int, bottom: float) -> str:
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="{_FAINT}"/>'
        f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle" fill="{_THEIRS}">{value:,}</text>'
    )


def _dot(row: Row, x: float, y: float) -> str:
    color = _OURS if row.name.startswith("smallfirst") else _THEIRS
    value = f"{row.cpu_us_per_call:,.0f}" + (f" (×{row.ratio:.3g})" if row.ratio is not None else "")
    return (
        f'<text x="{_LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(row.name)}</text>'
        f'<line x1="{_LEFT}" x2="{x:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{color}" stroke-opacity="0.35"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>'
        f'<text x="{x + 11:.1f}" y="{y + 4:.1f}" fill="{color}">{value}</text>'
    )
