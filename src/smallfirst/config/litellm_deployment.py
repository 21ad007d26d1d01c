"""One entry of LiteLLM's `model_list`: who is asked, under which name, at which price."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

from smallfirst.config import strict
from smallfirst.config.addresses import url_findings
from smallfirst.config.hosts import HOSTS
from smallfirst.config.litellm_values import Values, number, variable_of
from smallfirst.config.schema import ProviderKind
from smallfirst.config.secrets import header_looks_secret, looks_secret

_HOSTS = {host.prefix: host for host in HOSTS}
_OPENAI_NAMES = re.compile(r"(gpt-|chatgpt-|o[134](-|$)|text-embedding-|ft:gpt-|davinci|babbage)")
# OpenAI-compatible engines and proxies: prefix → what is appended to their address, and the engine.
_OWN = {
    "hosted_vllm": ("", "vllm"),
    "vllm": ("", "vllm"),
    "ollama": ("/v1", "hosted"),
    "ollama_chat": ("/v1", "hosted"),
    "lm_studio": ("", "hosted"),
    "llamafile": ("", "llamacpp"),
    "xinference": ("", "hosted"),
    "openai_like": ("", "hosted"),
    "custom_openai": ("", "hosted"),
    "litellm_proxy": ("", "hosted"),
    "huggingface": ("/v1", "hosted"),
}
_UNSERVED_MODES = (
    "image_generation",
    "audio_transcription",
    "audio_speech",
    "moderation",
    "rerank",
    "realtime",
    "ocr",
    "video_generation",
)
_PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_reasoning_token": "reasoning",
}
_READ = {
    "model",
    "custom_llm_provider",
    "api_base",
    "base_url",
    "api_key",
    "api_version",
    "timeout",
    "stream_timeout",
    "num_retries",
    "max_retries",
    "max_parallel_requests",
    "organization",
    "extra_headers",
    "headers",
    "litellm_credential_name",
    *_PRICES,
}
_READ_INFO = {"mode", "max_input_tokens", "supports_function_calling", *_PRICES}
_HARMLESS_INFO = {
    "id",
    "created_at",
    "updated_at",
    "description",
    "db_model",
    "version",
    "litellm_provider",
    "supports_vision",
    "supports_response_schema",
    "supports_system_messages",
    "supports_prompt_caching",
    "max_output_tokens",
}
_WHY = {
    "rpm": "requests a minute are limited of keys, tenants and tasks, not of models; `concurrency` is a model's",
    "tpm": "tokens a minute are limited of keys, tenants and tasks, not of models; `concurrency` is a model's",
    "weight": "endpoints are balanced by load, not by weight",
    "order": "endpoints are balanced by load; a ladder has an order",
    "temperature": "what a request holds is the client's, or a rung's of a task's ladder",
    "max_tokens": "what a request holds is the client's, or a rung's of a task's ladder",
    "max_budget": "budgets are of keys, tenants and tasks, not of models",
    "budget_duration": "budgets are of keys, tenants and tasks, not of models",
    "base_model": "prices are found by the model's `id`; [[models.NAME.prices]] gives one to a deployment",
    "input_cost_per_second": "time is not a price here; `hourly_usd` is, for a machine of your own",
    "output_cost_per_second": "time is not a price here; `hourly_usd` is, for a machine of your own",
}


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """What makes two deployments the same provider, but for the address."""

    name: str
    kind: ProviderKind
    engine: str
    api_key: str | None
    api_version: str | None
    headers: tuple[tuple[str, str], ...]
    total_s: float | None
    first_byte_s: float | None
    max_attempts: int | None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, read. `base_url` is None for the well-known hosts; `price` is per million tokens."""

    path: str
    name: str
    id: str
    prefix: str
    upstream: Upstream
    base_url: str | None
    price: dict[str, Decimal]
    concurrency: int | None
    context_tokens: int | None
    tools: bool


class _Left(Exception):
    """This entry is left; the message says why."""


def read_deployment(item: Any, path: str, values: Values, credentials: dict[str, Any]) -> Deployment | None:
    """One entry of `model_list`; None where it is left, with the reason in `values`."""
    name = item.get("model_name") if isinstance(item, dict) else None
    params = item.get("litellm_params") if isinstance(item, dict) else None
    if not isinstance(name, str) or not isinstance(params, dict) or not isinstance(params.get("model"), str):
        values.leave(path, "has no model_name and litellm_params.model")
        return None
    info = item.get("model_info")
    extra = credentials.get(str(params.get("litellm_credential_name")))
    try:
        return _read(
            name,
            {**(extra if isinstance(extra, dict) else {}), **params},
            info if isinstance(info, dict) else {},
            path,
            values,
        )
    except _Left as why:
        values.leave(f"{path} ({_shown(name)})", str(why))
        return None


def _read(name: str, params: dict[str, Any], info: dict[str, Any], path: str, values: Values) -> Deployment:
    prefix, model = _split(params)
    mode = info.get("mode")
    if mode in _UNSERVED_MODES:
        raise _Left(f"mode {mode} is not a route here; [[relay]] passes such paths on to a provider")
    if "*" not in name and not re.fullmatch(strict.NAME_PATTERN, name):
        raise _Left("the name holds characters that a model's name cannot have here")
    if not model:
        raise _Left("litellm_params.model names no model")
    engine, base_url = _address(prefix, params, values)
    price = _price(params, info, path, values)
    _leave_rest(params, info, path, values)
    calls = number(params.get("max_parallel_requests"))
    context = number(info.get("max_input_tokens"))
    return Deployment(
        path=path,
        name=name,
        id=model,
        prefix=prefix,
        upstream=_upstream(prefix, engine, name, params, values),
        base_url=base_url,
        price=price,
        concurrency=int(calls) if calls is not None and calls >= 1 else None,
        context_tokens=int(context) if context is not None and context >= 1 else None,
        tools=info.get("supports_function_calling") is not False,
    )


def _split(params: dict[str, Any]) -> tuple[str, str]:
    """The provider's prefix and the model's id behind it, as LiteLLM tells them apart."""
    model: str = params["model"].strip()
    prefix, slash, rest = model.partition("/")
    said = params.get("custom_llm_provider")
    if isinstance(said, str) and said:
        return said, model.removeprefix(f"{said}/")
    if prefix == "text-completion-openai":
        return "openai", rest
    if slash and (prefix in _HOSTS or prefix in _OWN or prefix == "azure"):
        return prefix, rest
    if _OPENAI_NAMES.match(model):
        return "openai", model
    if model.startswith("claude-"):
        return "anthropic", model
    if model == "*":
        raise _Left(
            '"*" stands for every provider at once; `accepts` of each provider says which names are its own'
        )
    if slash:
        raise _Left(f"{_shown(prefix)} is not spoken here; keep LiteLLM for it, as a provider of kind openai")
    if params.get("api_base") or params.get("base_url"):
        return "openai", model
    raise _Left(
        "whose model it is cannot be told from its name; give litellm_params.model a provider's prefix"
    )


def _address(prefix: str, params: dict[str, Any], values: Values) -> tuple[str, str | None]:
    """The engine and the address, checked; None for the well-known host of a provider's kind."""
    said = params.get("api_base") or params.get("base_url")
    host = _HOSTS.get(prefix)
    own = _OWN.get(prefix)
    if said is None:
        if host is None:
            raise _Left("has no api_base, and its provider has no well-known address")
        return "hosted", host.base_url
    url = values.text(said)
    if url is None:
        raise _Left(f"its address is {_shown(said)}, which is not set; set it and import again")
    url = url.rstrip("/")
    if own and own[0] and not url.endswith(own[0]):
        url += own[0]
    if prefix == "anthropic":
        url = url.removesuffix("/v1/messages").removesuffix("/v1")
    elif prefix == "azure":
        url = re.sub(r"/openai(/.*)?$", "", url)
    wrong = [
        finding.message for finding in url_findings("", url, sends_secret=False) if finding.level == "error"
    ]
    if wrong:
        raise _Left(f"api_base: {wrong[0]}")
    return own[1] if own else "hosted", url


def _upstream(prefix: str, engine: str, name: str, params: dict[str, Any], values: Values) -> Upstream:
    host = _HOSTS.get(prefix)
    kind: ProviderKind = "azure" if prefix == "azure" else host.kind if host else "openai"
    retries = number(params.get("num_retries", params.get("max_retries")))
    return Upstream(
        name=host.name if host else prefix.replace("_", "-"),
        kind=kind,
        engine=engine,
        api_key=_api_key(prefix, name, params, values),
        api_version=values.text(params.get("api_version")) if kind == "azure" else None,
        headers=_headers(prefix, name, params, values),
        total_s=_seconds(params.get("timeout")),
        first_byte_s=_seconds(params.get("stream_timeout")),
        max_attempts=min(10, int(retries) + 1) if retries is not None and retries >= 0 else None,
    )


def _api_key(prefix: str, name: str, params: dict[str, Any], values: Values) -> str | None:
    """The key's reference. Where the file gives none, LiteLLM takes the provider's own variable.

    A foreign address is sent no key.
    """
    host = _HOSTS.get(prefix)
    elsewhere = params.get("api_base") or params.get("base_url")
    variable = host.variables[0] if host and not elsewhere else f"{variable_of(name)}_API_KEY"
    if params.get("api_key") is not None:
        return values.secret(params["api_key"], variable)
    if prefix == "azure":
        return "env:AZURE_API_KEY"
    return f"env:{variable}" if host and not elsewhere else None


def _headers(prefix: str, model: str, params: dict[str, Any], values: Values) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    organization = params.get("organization")
    if isinstance(organization, str):
        found["OpenAI-Organization"] = organization
    elif organization is not None:
        values.leave(f"{model}: organization", "one organization a provider; declare a provider for each")
    for field in ("headers", "extra_headers"):
        given = params.get(field)
        found |= {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    out = {}
    for name, value in found.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not value.isprintable():
            values.leave(f"{model}: header", "its name or value cannot stand in HTTP")
        elif value.startswith("os.environ/") or header_looks_secret(name, value):
            reference = values.secret(value, f"{variable_of(prefix)}_{variable_of(name)}")
            if reference is not None:
                out[name] = reference
        else:
            out[name] = value
    return tuple(sorted(out.items()))


def _price(params: dict[str, Any], info: dict[str, Any], path: str, values: Values) -> dict[str, Decimal]:
    """US dollars per million tokens, exactly.

    Empty where the file gives none or not both of input and output.
    """
    found: dict[str, Decimal] = {}
    for field, name in _PRICES.items():
        cost = number(params.get(field, info.get(field)))
        if cost is not None and cost >= 0:
            found[name] = (cost * 10**6).normalize() + 0
    if found and not {"input", "output"} <= found.keys():
        values.leave(f"{path}: prices", "need both input_cost_per_token and output_cost_per_token")
        return {}
    return found


def _leave_rest(params: dict[str, Any], info: dict[str, Any], path: str, values: Values) -> None:
    for section, table, read in (
        ("litellm_params", params, _READ),
        ("model_info", info, _READ_INFO | _HARMLESS_INFO),
    ):
        for field in table:
            if field not in read:
                values.leave(
                    f"{path}.{section}.{_shown(field)}", _WHY.get(str(field), "has no counterpart here")
                )


def _seconds(value: Any) -> float | None:
    found = number(value)
    return float(found) if found is not None and found > 0 else None


def _shown(value: Any) -> str:
    text = str(value)
    return "(not shown)" if looks_secret(text) else f'"{text[:60]}"' if not text.isidentifier() else text[:60]
