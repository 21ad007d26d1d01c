"""A LiteLLM proxy's file becomes a configuration that loads, and an account of what was taken and left."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smallfirst.config import Config
from smallfirst.config.check import check
from smallfirst.config.finding import Surroundings
from smallfirst.config.litellm import ImportResult, import_litellm
from smallfirst.config.load import parse
from smallfirst.config.schema import Budget, Timeouts
from smallfirst.errors import ConfigError

TODAY = datetime.date(2026, 7, 1)


def _imported(path: Path, text: str, environ: dict[str, str] | None = None) -> tuple[ImportResult, Config]:
    source = path / "litellm.yaml"
    source.write_text(text)
    result = import_litellm(source, environ=environ or {}, today=TODAY)
    assert "canary" not in repr(result)
    config = parse(result.config_toml)
    wrong = check(config, Surroundings(installed=lambda _: True))
    assert [str(finding) for finding in wrong if finding.level == "error"] == []
    return result, config


def _model(params: str, *, name: str = "m", info: str = "{}") -> str:
    return f"model_list:\n- model_name: '{name}'\n  litellm_params: {{{params}}}\n  model_info: {info}\n"


@pytest.mark.parametrize(
    ("params", "kind", "base_url", "api_key", "model_id"),
    [
        ("model: gpt-4o", "openai", None, "env:OPENAI_API_KEY", "gpt-4o"),
        ("model: openai/gpt-4o, api_key: os.environ/K", "openai", None, "env:K", "gpt-4o"),
        ("model: claude-sonnet-5", "anthropic", None, "env:ANTHROPIC_API_KEY", "claude-sonnet-5"),
        ("model: anthropic/claude-x", "anthropic", None, "env:ANTHROPIC_API_KEY", "claude-x"),
        ("model: groq/llama-x", "openai", "https://api.groq.com/openai/v1", "env:GROQ_API_KEY", "llama-x"),
        (
            "model: openrouter/anthropic/claude-x",
            "openai",
            "https://openrouter.ai/api/v1",
            "env:OPENROUTER_API_KEY",
            "anthropic/claude-x",
        ),
        (
            "model: azure/dep, api_base: 'https://a.openai.azure.com/', api_key: os.environ/AZ",
            "azure",
            "https://a.openai.azure.com",
            "env:AZ",
            "dep",
        ),
        (
            "model: ollama/llama3, api_base: 'http://gpu:11434'",
            "openai",
            "http://gpu:11434/v1",
            None,
            "llama3",
        ),
        (
            "model: hosted_vllm/qwen, api_base: 'http://gpu:8000/v1'",
            "openai",
            "http://gpu:8000/v1",
            None,
            "qwen",
        ),
        (
            "model: own, api_base: 'http://gpu:8000/v1', api_key: none",
            "openai",
            "http://gpu:8000/v1",
            None,
            "own",
        ),
        (
            "model: x, custom_llm_provider: mistral",
            "openai",
            "https://api.mistral.ai/v1",
            "env:MISTRAL_API_KEY",
            "x",
        ),
    ],
)
def test_each_provider_is_asked_as_litellm_asks_it(
    tmp_path: Path, params: str, kind: str, base_url: str | None, api_key: str | None, model_id: str
) -> None:
    _, config = _imported(tmp_path, _model(params, name="mine"))
    provider = config.providers[config.models["mine"].provider]
    assert (provider.kind, provider.base_url, provider.api_key) == (kind, base_url, api_key)
    assert config.models["mine"].id == model_id


def test_a_pasted_key_becomes_a_variable_that_means_nothing_else(tmp_path: Path) -> None:
    """A key for another host is not called OPENAI_API_KEY, nor by any name that the file already uses."""
    result, config = _imported(
        tmp_path,
        """
model_list:
- {model_name: a, litellm_params: {model: openai/x, api_base: "https://other.example/v1", api_key: canary-1}}
- {model_name: b, litellm_params: {model: openai/gpt-4o, api_key: canary-2}}
- {model_name: c, litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
- {model_name: d, litellm_params: {model: openai/gpt-5, api_key: canary-2}}
general_settings: {master_key: sk-canary}
""",
    )
    keys = {name: config.providers[model.provider].api_key for name, model in config.models.items()}
    assert keys == {
        "a": "env:A_API_KEY",
        "b": "env:OPENAI_API_KEY_2",
        "c": "env:OPENAI_API_KEY",
        "d": "env:OPENAI_API_KEY_2",
    }
    assert config.keys["litellm-master"].secret == "env:LITELLM_MASTER_KEY"
    assert config.server.require_key
    told = [line for line in result.taken if line.startswith("set ")]
    assert [line.split()[1] for line in told] == ["A_API_KEY", "LITELLM_MASTER_KEY", "OPENAI_API_KEY_2"]


def test_replicas_become_endpoints_and_others_are_numbered(tmp_path: Path) -> None:
    result, config = _imported(
        tmp_path,
        """
model_list:
- {model_name: own, litellm_params: {model: hosted_vllm/q, api_base: "http://gpu1:8000/v1"}}
- {model_name: own, litellm_params: {model: hosted_vllm/q, api_base: "http://gpu2:8000/v1"}}
- {model_name: own, litellm_params: {model: hosted_vllm/q, api_base: "http://gpu2:8000/v1"}}
- {model_name: own, litellm_params: {model: openai/gpt-4o}}
""",
    )
    assert config.models["own"].endpoints == ("http://gpu1:8000/v1", "http://gpu2:8000/v1")
    assert config.models["own-2"].provider == "openai"
    assert any('"own" a second time at the same address' in line for line in result.left)
    assert any('this one is "own-2" now' in line for line in result.left)


def test_prices_are_exact_and_per_million(tmp_path: Path) -> None:
    params = "model: gpt-4o, input_cost_per_token: 1e-6, output_cost_per_token: 0.0000000375"
    _, config = _imported(tmp_path, _model(params, info="{cache_read_input_token_cost: 2.5e-07}"))
    price = config.models["m"].prices[0]
    assert (price.since, price.input, price.output, price.cache_read) == (
        "2026-07-01",
        Decimal(1),
        Decimal("0.0375"),
        Decimal("0.25"),
    )


def test_half_a_price_is_left(tmp_path: Path) -> None:
    result, config = _imported(tmp_path, _model("model: gpt-4o, input_cost_per_token: 0.000001"))
    assert config.models["m"].prices == ()
    assert "model_list[0]: prices: need both input_cost_per_token and output_cost_per_token" in result.left


@pytest.mark.parametrize(
    ("settings", "usd_per_day"),
    [
        ("{max_budget: 10, budget_duration: 1d}", "10.00"),
        ("{max_budget: 10, budget_duration: 24h}", "10.00"),
        ("{max_budget: 100, budget_duration: 30d}", "3.33"),
        ("{max_budget: 0.3, budget_duration: 30d}", "0.010000"),
    ],
)
def test_the_budget_is_by_the_day(tmp_path: Path, settings: str, usd_per_day: str) -> None:
    _, config = _imported(tmp_path, f"litellm_settings: {settings}\nmodel_list: []")
    assert config.tenants["default"].budget == Budget(usd_per_day=Decimal(usd_per_day))


def test_a_budget_without_a_duration_is_left(tmp_path: Path) -> None:
    result, config = _imported(tmp_path, "litellm_settings: {max_budget: 10}\nmodel_list: []")
    assert config.tenants == {}
    assert any(
        line.startswith("litellm_settings.max_budget: budgets here are per day") for line in result.left
    )


def test_retries_timeouts_aliases_and_fallbacks(tmp_path: Path) -> None:
    result, config = _imported(
        tmp_path,
        """
model_list:
- {model_name: a, litellm_params: {model: gpt-4o, timeout: 30, num_retries: 0, max_parallel_requests: 4}}
- {model_name: b, litellm_params: {model: gpt-4o-mini, rpm: 5}, model_info: {supports_function_calling: no}}
router_settings:
  timeout: 20
  num_retries: 99
  model_group_alias: {x: a, y: {model: b, hidden: true}, z: gone}
  fallbacks: [{b: [a]}]
""",
    )
    first, second = (config.providers[config.models[name].provider] for name in ("a", "b"))
    assert (first.timeouts, first.max_attempts) == (Timeouts(total_s=30), 1)
    assert (second.timeouts, second.max_attempts) == (Timeouts(total_s=20), 10)
    assert config.models["a"].concurrency == 4
    assert not config.models["b"].tools
    assert config.aliases == {"x": "a", "y": "b"}
    assert '#ladder = ["b", "a"]' in result.config_toml.splitlines()
    assert config.tasks == {}
    for start in (
        'router_settings.model_group_alias "z"',
        'fallbacks of "b"',
        "model_list[1].litellm_params.rpm",
    ):
        assert any(line.startswith(start) for line in result.left), start


def test_wildcards_keep_their_meaning_or_are_left(tmp_path: Path) -> None:
    result, config = _imported(
        tmp_path,
        """
model_list:
- {model_name: "*", litellm_params: {model: "openai/*"}}
- {model_name: "anthropic/*", litellm_params: {model: "anthropic/*"}}
- {model_name: "groq/*", litellm_params: {model: "groq/*"}}
- {model_name: "gemini-*", litellm_params: {model: "gemini/gemini-*"}}
- {model_name: "*", litellm_params: {model: "*"}}
""",
    )
    accepts = {name: provider.accepts for name, provider in config.providers.items()}
    assert accepts == {"anthropic": ("claude-*",), "gemini": ("gemini-*",), "openai": ("*",)}
    assert list(accepts)[-1] == "openai"  # the first pattern that fits decides
    assert sum(line.startswith(("model_list[2]", "model_list[4]")) for line in result.left) == 2


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ("model: bedrock/x", "bedrock is not spoken here; keep LiteLLM for it, as a provider of kind openai"),
        (
            "model: vertex_ai/x",
            "vertex_ai is not spoken here; keep LiteLLM for it, as a provider of kind openai",
        ),
        (
            "model: mystery",
            "whose model it is cannot be told from its name; give litellm_params.model a provider's prefix",
        ),
        ("model: hosted_vllm/q", "has no api_base, and its provider has no well-known address"),
        ("model: azure/, api_base: 'https://a.example'", "litellm_params.model names no model"),
        (
            "model: azure/d, api_base: os.environ/AZ",
            'its address is "os.environ/AZ", which is not set; set it and import again',
        ),
        (
            "model: openai/x, api_base: 'https://u:canary@a.example/v1'",
            "api_base: holds a user or password; give it as `api_key` or in `headers`, as env:NAME",
        ),
    ],
)
def test_what_cannot_be_asked_is_left_with_its_reason(tmp_path: Path, params: str, why: str) -> None:
    result, config = _imported(tmp_path, _model(params))
    assert (config.models, result.left) == ({}, [f"model_list[0] (m): {why}"])


def test_an_address_is_looked_up_and_a_credential_is_shared(tmp_path: Path) -> None:
    text = """
model_list:
- {model_name: a, litellm_params: {model: azure/d, litellm_credential_name: shared}}
- {model_name: b, litellm_params: {model: openai/x, api_base: os.environ/BASE, api_key: none}}
credential_list:
- {credential_name: shared, credential_values: {api_key: os.environ/AZ, api_base: "https://a.openai.azure.com"}}
environment_variables: {BASE: "https://b.example/v1"}
"""
    _, config = _imported(tmp_path, text)
    assert config.providers[config.models["a"].provider].api_key == "env:AZ"
    assert config.providers[config.models["b"].provider].base_url == "https://b.example/v1"


def test_headers_go_along_and_their_secrets_do_not(tmp_path: Path) -> None:
    params = "model: gpt-4o, organization: org-1, extra_headers: {X-Team: a, X-Api-Key: canary, 'b c': d}"
    result, config = _imported(tmp_path, _model(params))
    assert config.providers["openai"].headers == {
        "OpenAI-Organization": "org-1",
        "X-Team": "a",
        "X-Api-Key": "env:OPENAI_X_API_KEY",
    }
    assert "m: header: its name or value cannot stand in HTTP" in result.left


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "expected a LiteLLM proxy configuration"),
        ("model_list: x", "expected a LiteLLM proxy configuration"),
        ("x: !!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_what_is_no_litellm_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "x.yaml"
    source.write_text(text)
    with pytest.raises(ConfigError, match=message):
        import_litellm(source, environ={})


fields = st.sampled_from(
    [
        "model",
        "api_base",
        "api_key",
        "api_version",
        "timeout",
        "num_retries",
        "organization",
        "extra_headers",
        "input_cost_per_token",
        "output_cost_per_token",
        "rpm",
        "custom_llm_provider",
        "litellm_credential_name",
        "x",
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 99)
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from(
        ["openai/x", "openai/*", "*", "azure/d", "os.environ/X", "https://a.example/v1", "none", "1d"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4) | fields, inner, max_size=3)
    ),
    max_leaves=5,
)
entries = st.fixed_dictionaries(
    {"model_name": st.sampled_from(["a", "b", "*", "openai/*", "a b", ""]) | values},
    optional={"litellm_params": st.dictionaries(fields, values, max_size=5) | values, "model_info": values},
)
settings = st.dictionaries(
    st.sampled_from(
        [
            "num_retries",
            "timeout",
            "fallbacks",
            "model_group_alias",
            "max_budget",
            "budget_duration",
            "master_key",
        ]
    ),
    values,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {"model_list": st.lists(entries, max_size=4)},
        optional={
            "litellm_settings": settings | values,
            "router_settings": settings | values,
            "general_settings": settings | values,
            "environment_variables": values,
            "credential_list": values,
        },
    )
)
def test_whatever_stands_in_the_file_the_result_loads(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    source = tmp_path_factory.getbasetemp() / "any.yaml"
    source.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    result = import_litellm(source, environ={"X": "https://x.example/v1"}, today=TODAY)
    parse(result.config_toml)
