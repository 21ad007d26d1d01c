"""Where the gateway listens, whom it asks, and what it shows them: addresses, headers, secrets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, Surroundings, error, note, warning
from smallfirst.config.schema import Config, Provider, Server
from smallfirst.config.secrets import (
    SIMULATED_KEYS,
    header_looks_secret,
    is_key,
    is_reference,
    is_secret_header,
    resolve,
    without_credentials,
)
from smallfirst.errors import ConfigError

_PRIVATE_SUFFIXES = (".local", ".internal", ".lan", ".svc", ".localhost", ".home.arpa", ".intranet", ".corp")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ROUTE_ENDS = ("/chat/completions", "/completions", "/messages", "/embeddings")


def check_addresses(config: Config, around: Surroundings) -> Iterator[Finding]:
    """The server's own address, each provider's and each model's endpoints, and every secret they need."""
    yield from _server(config)
    if not config.providers:
        yield warning("providers", "none is declared, so no call can be answered")
    for name, provider in config.providers.items():
        path = dotted.join("providers", name)
        yield from _provider(path, provider, around)
        yield from _headers(dotted.join(path, "headers"), provider, around)
        if provider.api_key is not None:
            yield from _secret(dotted.join(path, "api_key"), provider.api_key, around)
    for name, key in config.keys.items():
        yield from _secret(dotted.join(dotted.join("keys", name), "secret"), key.secret, around)
    yield from _endpoints(config)
    yield from _unused(config)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address of this host."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)


def _server(config: Config) -> Iterator[Finding]:
    server: Server = config.server
    if not server.require_key and not is_loopback(server.host):
        yield error(
            "server.require_key",
            f'false is for loopback only, and "{server.host}" lets others in, who could spend your money; '
            "set it to true, and make keys with `smallfirst keys create`",
        )
    for at, host in enumerate(server.allowed_hosts):
        if "/" in host or not host:
            yield error(
                dotted.item("server.allowed_hosts", at),
                f'expected a host such as "ai.example.com", got "{host[:40]}"',
            )


def _provider(path: str, provider: Provider, around: Surroundings) -> Iterator[Finding]:
    where = dotted.join(path, "base_url")
    if provider.kind == "embedded":
        yield from _embedded(path, provider, around)
        return
    if provider.kind == "head":  # `heads.py`
        return
    if provider.timeouts.total_s < provider.timeouts.first_byte_s:
        timeouts = dotted.join(path, "timeouts")
        yield warning(timeouts, "total_s is less than first_byte_s, so first_byte_s never applies")
    if provider.base_url is None:
        if provider.kind == "azure":
            yield error(
                where,
                'missing: an azure provider needs its resource\'s address, "https://NAME.openai.azure.com"',
            )
        elif provider.engine != "hosted":
            yield error(
                where,
                f'missing: engine "{provider.engine}" is yours; say where it listens',
            )
        elif provider.api_key is None and not any(is_secret_header(name) for name in provider.headers):
            yield warning(
                dotted.join(path, "api_key"), "absent, and the provider's own host refuses calls without one"
            )
        return
    yield from url_findings(where, provider.base_url, sends_secret=_sends_secret(provider))
    yield from _url_of_kind(where, provider)


def _embedded(path: str, provider: Provider, around: Surroundings) -> Iterator[Finding]:
    if not around.installed("xllamacpp"):
        yield error(path, 'kind "embedded" needs an extra: pip install "smallfirst[embedded]"')
    for field in ("base_url", "api_key", "accepts", "headers"):
        if getattr(provider, field):
            yield error(dotted.join(path, field), "an embedded provider has none: it runs beside the gateway")


def _sends_secret(provider: Provider) -> bool:
    return provider.api_key is not None or any(is_secret_header(name) for name in provider.headers)


def url_findings(path: str, url: str, *, sends_secret: bool) -> Iterator[Finding]:
    """What is wrong with an address that calls are sent to; `sends_secret`: with a key."""
    shown = without_credentials(url)[:80]
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        yield error(path, f'"{shown}" is not an address')
        return
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        yield error(path, f'expected an address that begins with https:// or http://, got "{shown}"')
        return
    if "@" in parts.netloc:
        yield error(path, "holds a user or password; give it as `api_key` or in `headers`, as env:NAME")
    if parts.query or parts.fragment:
        yield error(path, "holds a query or fragment; paths are appended to it")
    if parts.path.rstrip("/").endswith(_ROUTE_ENDS):
        yield error(path, f'"{shown}" is one route\'s address; leave out its end, smallfirst appends it')
    if parts.scheme == "http" and not is_loopback(host):
        if not _is_private(host):
            yield error(
                path,
                f'"{shown}" is not encrypted; https:// is required outside the machine and private networks',
            )
        elif sends_secret:
            yield warning(path, f'"{shown}" is not encrypted, and the key is sent to it')


def _url_of_kind(path: str, provider: Provider) -> Iterator[Finding]:
    url = (provider.base_url or "").rstrip("/")
    route = urlsplit(url).path if "://" in url and "[" not in url else "/"
    if provider.kind == "openai" and not route:
        yield warning(
            path, f'OpenAI-compatible addresses end in /v1; did you mean "{without_credentials(url)}/v1"?'
        )
    if provider.kind == "anthropic" and route.endswith("/v1"):
        yield error(path, "an anthropic address stands without /v1; smallfirst appends it")
    if provider.kind == "azure" and "/openai" in route:
        yield error(path, "an azure address is the resource's own, without /openai; smallfirst appends it")


def _headers(path: str, provider: Provider, around: Surroundings) -> Iterator[Finding]:
    for name, value in provider.headers.items():
        where = dotted.join(path, name)
        if not _HEADER_NAME.fullmatch(name):
            yield error(where, "not a name that an HTTP header can have")
        elif value.startswith("env:"):
            yield from _secret(where, value, around)
        elif value not in SIMULATED_KEYS and (is_secret_header(name) or is_key(value)):
            yield error(
                where, 'looks like a secret; write "env:NAME" and set the variable. The value is not shown'
            )
        elif not value.isprintable():
            yield error(where, "holds a character that no HTTP header can carry")
        elif header_looks_secret(name, value):
            yield warning(where, 'may be a secret; if it is, write "env:NAME" and set the variable')


def _secret(path: str, ref: str, around: Surroundings) -> Iterator[Finding]:
    if around.environ is None and is_reference(ref):
        return
    try:
        resolve(ref, around.environ or {}, path=path)
    except ConfigError as wrong:
        yield error(path, str(wrong).removeprefix(f"{path}: "))


def _endpoints(config: Config) -> Iterator[Finding]:
    for name, model in config.models.items():
        path = dotted.join(dotted.join("models", name), "endpoints")
        provider = config.providers.get(model.provider)
        if provider is None or provider.kind == "head" or not model.endpoints:
            continue
        if provider.kind == "embedded":
            yield error(path, "an embedded model has none: it runs beside the gateway")
            continue
        seen: set[str] = set()
        for at, url in enumerate(model.endpoints):
            where = dotted.item(path, at)
            yield from url_findings(where, url, sends_secret=_sends_secret(provider))
            if url.rstrip("/") in seen:
                yield warning(where, "is listed twice")
            seen.add(url.rstrip("/"))


def _unused(config: Config) -> Iterator[Finding]:
    used = {model.provider for model in config.models.values()} | {relay.provider for relay in config.relay}
    for name, provider in config.providers.items():
        if name not in used and not provider.accepts:
            yield note(dotted.join("providers", name), "no model, `accepts` or relay uses it")
