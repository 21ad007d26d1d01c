"""What every table of the configuration is made of: the strict base, names, days, shares, and secrets by reference."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$"
SECRET_PATTERN = r"^env:[A-Za-z_][A-Za-z0-9_]*$"  # noqa: S105 (a reference, not a secret)
DAY_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
"""A name of a task, model, provider, key or tenant: letters, digits and `. _ - : / @`, at most 128."""

Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
SecretRef = Annotated[str, Meta(pattern=SECRET_PATTERN)]
"""A secret by reference: `env:OPENAI_API_KEY`."""

Day = Annotated[str, Meta(pattern=DAY_PATTERN)]
"""A day, `2026-07-01`: in quotes, or as TOML's own date."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every table: immutable, and an unknown field is an error."""
