"""The house's frame for pictures, as PNG or SVG: drawn by Vega-Lite, with no browser and nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smallfirst.errors import ConfigError

OURS, INK, GREY, PALE = "#0a7d5a", "#1f2933", "#6b7785", "#b8c0c8"
_WIDTH, _HEIGHT = 560, 340


def altair_for(path: Path) -> Any:
    """The drawing library, for a picture of that name. Raises `ConfigError` where it is not installed, or for another ending."""
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"a picture is .png or .svg, not {path.name}")
    try:
        import altair as alt
        import vl_convert  # noqa: F401  (altair draws with it and would say so late)
    except ImportError as error:
        raise ConfigError("drawing curves needs: pip install 'smallfirst[learn]'") from error
    return alt


def axis(alt: Any, title: str, *, grid: bool) -> Any:
    """An axis as all pictures have it: with rules across, or with a line and ticks."""
    return alt.Axis(
        title=title,
        grid=grid,
        gridColor="#eef1f3",
        domain=not grid,
        ticks=not grid,
        domainColor=PALE,
        tickColor=PALE,
        labelColor=GREY,
        titleColor=INK,
        tickCount=6,
    )


def save_chart(alt: Any, path: Path, chart: Any, *, title: str = "", sized: bool = False) -> None:
    """Writes a picture in the house's frame. `sized`: its parts have a width and a height of their own."""
    size = {} if sized else {"width": _WIDTH, "height": _HEIGHT}
    chart = (
        chart.properties(**size, background="white", padding=16)
        .configure_view(stroke=None)
        .configure_axis(titleFontWeight="normal", titleFontSize=13, labelFontSize=12, titlePadding=10)
    )
    if title:
        heading = alt.TitleParams(title, anchor="start", color=INK, fontSize=15, fontWeight="bold", offset=14)
        chart = chart.properties(title=heading)
    chart.save(str(path), **({"ppi": 144} if path.suffix == ".png" else {}))
