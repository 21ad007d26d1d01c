"""How long the prompts and answers are that an endpoint is measured with: drawn around a mean, or as they were recorded."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from smallfirst.errors import ConfigError

MOST_TOKENS = 1_000_000
_LARGEST_BYTES = 64 << 20
_MOST_RECORDED = 5000
_FIELDS = ("input_tokens", "output_tokens")


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of prompts and answers. `recorded` pairs (prompt, answer) are drawn as they are; where there are none, lengths are log-normal around
    the means, with `spread` as standard deviation over mean (0: all alike).

    `shared_share` of the mean prompt is a beginning that all have in common. `source` says in words where they come from.
    """

    input_tokens: float
    output_tokens: float
    spread: float = 0.0
    shared_share: float = 0.0
    recorded: tuple[tuple[int, int], ...] = ()
    source: str = ""

    def checked(self) -> Lengths:
        """Itself. Raises `ConfigError` that names the option which cannot be."""
        for name in _FIELDS:
            value = getattr(self, name)
            if not (math.isfinite(value) and 1 <= value <= MOST_TOKENS):
                raise ConfigError(f"expected 1 to {MOST_TOKENS:,} tokens, not {value:g}", path=_option(name))
        if not (math.isfinite(self.spread) and 0 <= self.spread <= 5):
            raise ConfigError(f"expected 0 to 5, not {self.spread:g}", path="--spread")
        if not 0 <= self.shared_share < 1:
            raise ConfigError(f"expected a share in [0, 1), not {self.shared_share:g}", path="--shared-share")
        return self

    @property
    def shared_tokens(self) -> int:
        """Tokens of the beginning that all prompts have in common."""
        return round(self.input_tokens * self.shared_share)

    def drawn(self, count: int, draws: np.random.Generator) -> list[tuple[int, int]]:
        """So many lengths of prompts and answers."""
        if self.recorded:
            return [self.recorded[at] for at in draws.integers(len(self.recorded), size=count)]
        inputs, outputs = (
            _around(mean, self.spread, count, draws) for mean in (self.input_tokens, self.output_tokens)
        )
        return list(zip(inputs, outputs, strict=True))


def recorded_lengths(pairs: Iterable[tuple[int, int]], *, source: str, shared_share: float = 0.0) -> Lengths:
    """Lengths as they were recorded, at most 5,000 of them. Raises `ConfigError` where there are none."""
    kept = tuple(pairs)[:_MOST_RECORDED]
    if not kept:
        raise ConfigError(
            f"no lengths in {source}: expected input_tokens and output_tokens of at least one call"
        )
    read, written = (float(np.mean([pair[at] for pair in kept])) for at in (0, 1))
    return Lengths(
        input_tokens=read, output_tokens=written, recorded=kept, source=source, shared_share=shared_share
    ).checked()


def read_lengths(path: Path, *, shared_share: float = 0.0) -> Lengths:
    """Recorded lengths of a file: CSV with the columns input_tokens and output_tokens, or JSON Lines with these fields.

    Raises `ConfigError` that names the file, the line and the field.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError("is larger than 64 MB: a few thousand calls are enough", path=str(path))
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", path=str(path)) from error
    rows = _json_rows(text, path) if text.lstrip().startswith("{") else _csv_rows(text, path)
    return recorded_lengths(
        (_pair(row, f"{path}:{line}") for line, row in rows), source=str(path), shared_share=shared_share
    )


def _json_rows(text: str, path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield number, msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"is no JSON object: {error}", path=f"{path}:{number}") from error


def _csv_rows(text: str, path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text))
    missing = [name for name in _FIELDS if name not in (rows.fieldnames or ())]
    if missing:
        raise ConfigError(
            f"has no column {missing[0]}: expected CSV with input_tokens and output_tokens, or JSON Lines with these fields",
            path=f"{path}:1",
        )
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise ConfigError(f"is no CSV: {error}", path=f"{path}:{rows.line_num}") from error


def _pair(row: dict[str, Any], where: str) -> tuple[int, int]:
    return _count(row, "input_tokens", where), _count(row, "output_tokens", where)


def _count(row: dict[str, Any], field: str, where: str) -> int:
    value = row.get(field)
    text = str(value).strip()
    if (
        isinstance(value, bool)
        or not text.isascii()
        or not text.isdigit()
        or not 1 <= int(text[:9]) <= MOST_TOKENS
        or len(text) > 7
    ):
        said = (
            "is missing"
            if value is None
            else f"expected a whole number from 1 to {MOST_TOKENS:,}, not {text[:40]!r}"
        )
        raise ConfigError(said, path=f"{where}: {field}")
    return int(text)


def _around(mean: float, spread: float, count: int, draws: np.random.Generator) -> list[int]:
    """Log-normal lengths of that mean, at least one token each."""
    if spread == 0:
        return [max(1, round(mean))] * count
    sigma = math.sqrt(math.log1p(spread**2))
    found = mean * np.exp(sigma * draws.standard_normal(count) - sigma**2 / 2)
    return [int(each) for each in np.clip(np.round(found), 1, MOST_TOKENS)]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
