"""Reads a LiteLLM proxy's YAML and says what it becomes here, what not, and why.

The format: https://docs.litellm.ai/docs/proxy/configs. Keys that stand in the file are not copied: a variable
is invented for each, and named. What has no counterpart is listed rather than imitated; a wrong guess about
money or access would be worse than a question.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from smallfirst.config import toml_text
from smallfirst.config.litellm_deployment import Deployment, read_deployment
from smallfirst.config.litellm_models import Models
from smallfirst.config.litellm_settings import Settings, read_settings
from smallfirst.config.litellm_values import Values
from smallfirst.config.load import parse
from smallfirst.errors import ConfigError


class ImportResult(msgspec.Struct, frozen=True):
    """A `smallfirst.toml` that loads, and an account of it.

    What was taken, and what was left with the reason. No secret is in any.
    """

    config_toml: str
    taken: list[str]
    left: list[str]


def import_litellm(
    path: Path, *, environ: Mapping[str, str] | None = None, today: datetime.date | None = None
) -> ImportResult:
    """What a LiteLLM proxy's configuration becomes.

    Addresses that the file takes from the environment are looked up in `environ` (the process's own by
    default), as the schema here wants them written; secrets stay references. Prices hold from `today` on.
    Raises `ConfigError` where the file is no LiteLLM configuration.
    """
    data = _read(path)
    environ = os.environ if environ is None else environ
    values = Values(environ, data)
    settings = read_settings(data, values)
    models = Models(settings, values, today or datetime.datetime.now(datetime.UTC).date())
    for deployment in _deployments(data, values):
        models.add(deployment)
    tables = _tables(models, settings)
    text = _comments(models, settings, values) + toml_text.write(tables)
    parse(text, name="the imported configuration")
    return ImportResult(text, [*models.taken, *settings.taken, *values.invented_lines()], values.left)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (at line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(
            f"{path}: not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}{where}"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply") from error
    if not isinstance(data, dict) or not isinstance(data.get("model_list", []), list):
        raise ConfigError(f"{path}: expected a LiteLLM proxy configuration, with a `model_list`")
    return data


def _deployments(data: dict[str, Any], values: Values) -> list[Deployment]:
    listed = data.get("credential_list")
    credentials = {
        str(item.get("credential_name")): item.get("credential_values")
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    }
    found = []
    for at, item in enumerate(data.get("model_list") or []):
        deployment = read_deployment(item, f"model_list[{at}]", values, credentials)
        if deployment is not None:
            found.append(deployment)
    return found


def _tables(models: Models, settings: Settings) -> dict[str, Any]:
    tables: dict[str, Any] = {
        "server": {"require_key": settings.master_key is not None},
        "providers": models.providers_in_order(),
        "models": models.models,
        "aliases": models.aliases(),
        "tenants": {"default": {"budget": {"usd_per_day": settings.usd_per_day}}}
        if settings.usd_per_day is not None
        else {},
        "keys": {"litellm-master": {"secret": settings.master_key}} if settings.master_key else {},
    }
    return {name: table for name, table in tables.items() if table}


def _comments(models: Models, settings: Settings, values: Values) -> str:
    lines = ["# Imported from a LiteLLM proxy's configuration by `smallfirst init --from`."]
    lines += [f"# {line}" for line in values.invented_lines()]
    ladders = [(name, after) for name, after in settings.fallbacks.items() if name in models.models]
    for name, after in ladders:
        ladder = toml_text.value_text([name, *(model for model in after if model in models.models)])
        lines += [
            "#",
            f"# LiteLLM falls back from {name}; here a ladder does that, for calls of a task:",
            "#[tasks.NAME]",
            f"#ladder = {ladder}",
        ]
    return "\n".join(lines) + "\n\n"
