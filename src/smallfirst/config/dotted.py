"""Where something stands in a TOML file.

`tasks.ticket-triage.ladder[0]`, `models."openai/gpt 5".provider`.
"""

from __future__ import annotations

import json
import re

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key(name: str) -> str:
    """A key as TOML writes it: bare where it may be, else quoted."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def join(path: str, name: str) -> str:
    """The path of a table's field."""
    return f"{path}.{key(name)}" if path else key(name)


def item(path: str, index: int) -> str:
    """The path of a list's item, from 0."""
    return f"{path}[{index}]"
