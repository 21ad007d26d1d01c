"""All formats that are known by their columns."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path

from smallfirst.errors import ConfigError
from smallfirst.planning.reconcile.formats.anthropic import ANTHROPIC_FORMATS
from smallfirst.planning.reconcile.formats.format import Format
from smallfirst.planning.reconcile.formats.gateways import GATEWAY_FORMATS
from smallfirst.planning.reconcile.formats.openai import OPENAI_COSTS, OPENAI_USAGE
from smallfirst.planning.reconcile.formats.simulator import SIMULATOR

FORMATS = (SIMULATOR, OPENAI_USAGE, OPENAI_COSTS, *ANTHROPIC_FORMATS, *GATEWAY_FORMATS)
_EMPTY_OPENAI = {"start_time", "end_time", "start_time_iso", "end_time_iso"}
_LIKE = 0.5  # with so many of its columns a file is taken to be meant as that format
_SHOWN = 40


def format_of(columns: AbstractSet[str], path: Path) -> Format:
    """The format that has these columns. Raises `ConfigError` that names the missing column, or says how to map an unknown table."""
    fitting = [known for known in FORMATS if known.needs <= columns]
    if fitting:
        return max(fitting, key=lambda known: len(known.needs))
    there = ", ".join(sorted(columns)[:_SHOWN]) or "none"
    if columns == _EMPTY_OPENAI:
        raise ConfigError(
            "is an OpenAI export in which nothing was used: choose the days, projects and data to export again",
            path=str(path),
        )
    likest = max(FORMATS, key=lambda known: len(known.needs & columns) / len(known.needs))
    if len(likest.needs & columns) / len(likest.needs) >= _LIKE:
        missing = ", ".join(sorted(likest.needs - columns))
        raise ConfigError(
            f"looks like {likest.title}, but has no column {missing}; there are {there}. Export it again, or say what is what with --map",
            path=str(path),
        )
    raise ConfigError(
        f"is no account that is known ({', '.join(known.title for known in FORMATS)}). Its columns are {there}: "
        "say what is what, for example --map at=COLUMN --map model=COLUMN --map cost_usd=COLUMN",
        path=str(path),
    )
