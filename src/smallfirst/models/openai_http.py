"""OpenAI-compatible endpoints (and Azure's variant): their paths and headers. `base_url` ends in `/v1`, as in the official SDK."""

from __future__ import annotations

from urllib.parse import quote

from smallfirst.wire.incoming import Route

DEFAULT_BASE_URL = "https://api.openai.com/v1"
AZURE_DEFAULT_API_VERSION = "2024-10-21"

_PATHS: dict[Route, str] = {
    "chat": "/chat/completions",
    "messages": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}


def path(route: Route) -> str:
    """Where a request of this route goes, below `base_url`."""
    return _PATHS[route]


def azure_path(route: Route, deployment: str, api_version: str | None) -> str:
    """Azure puts the deployment into the path and the version into the query; `base_url` is the resource's own address."""
    version = quote(api_version or AZURE_DEFAULT_API_VERSION, safe="")
    return f"/openai/deployments/{quote(deployment, safe='')}{_PATHS[route]}?api-version={version}"


def headers(key: str | None) -> dict[str, str]:
    """What every request carries."""
    common = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "smallfirst",
        "Accept-Encoding": "gzip, deflate",
    }
    return common | ({"Authorization": f"Bearer {key}"} if key else {})


def azure_headers(key: str | None) -> dict[str, str]:
    return headers(None) | ({"api-key": key} if key else {})
