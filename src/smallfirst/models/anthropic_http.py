"""Anthropic's endpoint: its path and headers. `base_url` is the host's, without `/v1`, as in the official SDK."""

from __future__ import annotations

from smallfirst.errors import Untranslatable
from smallfirst.wire.incoming import Route

DEFAULT_BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"


def path(route: Route) -> str:
    """Where a request of this route goes, below `base_url`."""
    if route not in ("chat", "messages"):
        raise Untranslatable(f"an Anthropic model does not answer /{route}")
    return "/v1/messages"


def headers(key: str | None) -> dict[str, str]:
    """What every request carries."""
    common = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "smallfirst",
        "Accept-Encoding": "gzip, deflate",
        "anthropic-version": VERSION,
    }
    return common | ({"x-api-key": key} if key else {})
