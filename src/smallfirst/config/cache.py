"""The cache: what may be given again, what a semantic cache needs to earn anything, and where answers are kept."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, Surroundings, error, nearest_or_all, note, warning
from smallfirst.config.schema import Cache, Config, Rung, SemanticCache, Task, TaskCache
from smallfirst.config.secrets import resolve, variable
from smallfirst.contracts import LabelContract, TextContract
from smallfirst.errors import ConfigError

EMBEDDERS = ("wordllama", "minilm", "model2vec:", "onnx:", "model:")
"""As `classify/embedders.py` knows them; those with a colon name a place or a model behind it."""

NOT_IN_THE_KEY = ("stream", "stream_options", "model")
"""Fields that the key leaves out by itself."""

ASIDE = ("metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user")  # fmt: skip
"""Fields that providers know and that change nothing about an answer."""

DECIDES = frozenset(
    (
        # OpenAI
        "audio", "best_of", "echo", "frequency_penalty", "function_call", "functions", "input", "instructions", "logit_bias", "logprobs",
        "max_completion_tokens", "max_tokens", "messages", "modalities", "moderation", "n", "parallel_tool_calls", "prediction",
        "presence_penalty", "prompt", "reasoning", "reasoning_effort", "response_format", "seed", "stop", "suffix", "temperature", "text",
        "tool_choice", "tools", "top_logprobs", "top_p", "verbosity", "web_search_options",
        # Anthropic
        "betas", "container", "context_management", "mcp_servers", "output_config", "output_format", "stop_sequences", "system", "thinking",
        "top_k",
        # engines and routers
        "allowed_token_ids", "bad_words", "chat_template", "chat_template_kwargs", "documents", "dynatemp_range", "grammar",
        "guided_choice", "guided_grammar", "guided_json", "guided_regex", "ignore_eos", "include_reasoning", "json_schema",
        "length_penalty", "lora", "lora_request", "min_p", "min_tokens", "mirostat", "models", "plugins", "provider", "repetition_penalty",
        "repeat_penalty", "route", "safe_prompt", "skip_special_tokens", "structured_outputs", "transforms", "typical_p", "use_beam_search",
    )
)  # fmt: skip
"""Fields of requests that change what is answered: a key without one of them would give one call the answer to another."""

_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")


def check_cache(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Every task's cache rule, and `[cache]`."""
    for name, task in config.tasks.items():
        path = dotted.join(dotted.join("tasks", name), "cache")
        if not task.cache.exact:
            yield from _off(path, task.cache)
            continue
        yield from _ignored(dotted.join(path, "ignore"), task.cache.ignore)
        yield from _sampling(path, task, config)
        if task.redact:
            yield note(path, "calls in which `redact` would take something out are not cached")
        if task.cache.semantic is not None:
            where = dotted.join(path, "semantic")
            yield from _semantic(where, task.cache.semantic, task)
            yield from _embedder(dotted.join(where, "embedder"), task.cache.semantic.embedder, config, around)
    yield from _store(config.cache, around)
    if any(task.cache.exact for task in config.tasks.values()):
        yield from _retention(config)


def _off(path: str, rule: TaskCache) -> Iterator[Finding]:
    if rule.semantic is not None:
        yield error(
            dotted.join(path, "semantic"), "needs exact = true: what is semantic stands on what is exact"
        )
    defaults = msgspec.structs.asdict(TaskCache())
    for field in ("ttl_s", "sampled", "tools", "ignore"):
        if getattr(rule, field) != defaults[field]:
            yield warning(dotted.join(path, field), "has no effect without exact = true")


def _ignored(path: str, fields: tuple[str, ...]) -> Iterator[Finding]:
    for at, field in enumerate(fields):
        where = dotted.item(path, at)
        if field in NOT_IN_THE_KEY:
            yield warning(where, f'has no effect: "{field}" is not compared as it stands anyway')
        elif field in DECIDES:
            yield error(
                where,
                f'"{field}" changes what is answered; what may be ignored: {", ".join(ASIDE)}, and fields of your own',
            )
        elif not field or "." in field:
            yield error(where, f'expected the name of a top-level field, such as "user", got "{field[:40]}"')
        elif field not in ASIDE:
            yield warning(
                where, f'"{field[:40]}" is known to no provider here: be sure that it changes no answer'
            )
        if field in fields[:at]:
            yield warning(where, f'"{field[:40]}" is listed twice')
    if {"user", "safety_identifier", "metadata"} & set(fields):
        yield note(path, "end users of one tenant are then given each other's answers to the same call")


def _sampling(path: str, task: Task, config: Config) -> Iterator[Finding]:
    """A call samples unless its temperature is 0, or every rung sets 0 itself or is a label head."""
    if task.cache.sampled:
        return
    rungs = [rung if isinstance(rung, Rung) else Rung(model=rung) for rung in task.ladder]
    asked = [rung for rung in rungs if not _is_head(rung.model, config)]
    if any(rung.temperature for rung in asked):
        yield warning(
            dotted.join(path, "sampled"),
            f'no call is looked up: rung "{next(rung.model for rung in asked if rung.temperature)}" samples, and sampled is false',
        )
    elif any(rung.temperature is None for rung in asked):
        yield note(
            dotted.join(path, "sampled"),
            "only calls that give temperature 0 are looked up; for the others, every rung needs temperature = 0, "
            "or sampled = true gives an answer again that might have come out otherwise",
        )


def _is_head(name: str, config: Config) -> bool:
    model = config.models.get(name)
    provider = config.providers.get(model.provider) if model else None
    return provider is not None and provider.kind == "head"


def _semantic(path: str, semantic: SemanticCache, task: Task) -> Iterator[Finding]:
    if task.scorer.kind == "judge":
        yield error(
            path,
            "this task's scorer is a judge, which would have to be asked about every pair of answers and is not; "
            "name another scorer, or leave semantic out",
        )
    yield from _same(dotted.join(path, "same"), semantic.same, task)
    where, limit = dotted.join(path, "delta"), task.gate.cache_error_max
    if limit is not None and semantic.delta > limit:
        yield warning(where, f"the gate fails it: gate.cache_error_max is {limit:g}")
    if semantic.delta >= task.margin:
        yield warning(
            where,
            f"the gate takes it off the margin of {task.margin:g}, and nothing is left for the models: it must be smaller",
        )
    if task.rollout.explore_usd_per_day == 0:
        yield warning(
            path,
            "no hits but of models that cost nothing: rollout.explore_usd_per_day is 0, and pays for no spot check",
        )
    if semantic.min_checks == 0:
        yield note(
            dotted.join(path, "min_checks"),
            "with 0, hits are checked only while the bound needs it, and what goes wrong later may be found by nobody",
        )


def _same(path: str, same: float, task: Task) -> Iterator[Finding]:
    kind, contract = task.scorer.kind, task.contract
    if isinstance(contract, LabelContract) and contract.pick == "one" and kind in ("auto", "label"):
        if same < 1:
            yield warning(path, "has no effect: two labels are the same or they are not")
    elif (
        isinstance(contract, TextContract) and kind in ("auto", "rouge-l", "chrf", "embedding") and same == 1
    ):
        yield note(
            path,
            "1 asks for the same text to the word, which free answers hardly ever are; below it, answers to which the scorer gives that much "
            "are taken for the same",
        )


def _embedder(path: str, name: str, config: Config, around: Surroundings) -> Iterator[Finding]:
    kind, colon, rest = name.partition(":")
    if f"{kind}{colon}" not in EMBEDDERS or bool(colon) != bool(rest):
        known = ", ".join(f"{one}…" if one.endswith(":") else one for one in EMBEDDERS)
        yield error(path, f'embedder "{name[:40]}" is not known; known: {known}')
    elif kind == "model" and rest not in config.models:
        yield error(path, f'model "{rest}" is not declared{nearest_or_all(rest, config.models)}')
    elif kind in ("minilm", "onnx") and not around.installed("onnxruntime"):
        yield error(path, f'"{kind}" needs an extra: pip install "smallfirst[minilm]"')
    elif kind == "model2vec" and not around.installed("model2vec"):
        yield error(path, '"model2vec" needs an extra: pip install "smallfirst[model2vec]"')


def _store(cache: Cache, around: Surroundings) -> Iterator[Finding]:
    if cache.max_entry_bytes > cache.max_bytes:
        yield error(
            "cache.max_entry_bytes",
            f"{cache.max_entry_bytes:,} is more than cache.max_bytes, {cache.max_bytes:,}",
        )
    if cache.url is None:
        return
    if not around.installed("redis"):
        yield error("cache.url", 'needs an extra: pip install "smallfirst[redis]"')
    if around.environ is None:
        return
    try:
        url = resolve(cache.url, around.environ, path="cache.url")
    except ConfigError as wrong:
        yield error("cache.url", str(wrong).removeprefix("cache.url: "))
        return
    if urlsplit(url).scheme not in _SCHEMES:
        yield error(
            "cache.url",
            f"the variable {variable(cache.url)} holds no address such as redis://host:6379/0 (or rediss://, valkey://, unix://); "
            "what stands there is not shown",
        )


def _retention(config: Config) -> Iterator[Finding]:
    if config.storage.bodies_days == 0:
        yield warning("storage.bodies_days", "with 0 no text may be kept, and so no answer is cached")
    for name, tenant in config.tenants.items():
        if tenant.bodies_days == 0:
            yield note(
                dotted.join(dotted.join("tenants", name), "bodies_days"),
                "with 0 none of its texts may be kept, and so none of its answers is cached",
            )
    days = config.storage.bodies_days
    for name, task in config.tasks.items():
        if task.cache.exact and 0 < days * 86_400 < task.cache.ttl_s:
            yield note(
                dotted.join(dotted.join(dotted.join("tasks", name), "cache"), "ttl_s"),
                f"answers are kept no longer than storage.bodies_days, {days}",
            )
