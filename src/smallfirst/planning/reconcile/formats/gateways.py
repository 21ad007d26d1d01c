"""What other gateways write down of each request: LiteLLM's spend logs, OpenRouter's activity.

LiteLLM: the table `LiteLLM_SpendLogs` (`schema.prisma` in BerriAI/litellm) as CSV, or `/spend/logs` as JSON; its `request_id` is the id in the
answer's body, its tokens are a prompt's and an answer's whole. OpenRouter: the CSV of openrouter.ai/activity, whose `generation_id` is that id, and
`/api/v1/activity`, a line for each day and model. OpenRouter's pages do not say by which tokenizer its activity counts: its tokens are shown, and its
money is judged.
"""

from __future__ import annotations

from smallfirst.planning.reconcile.formats.format import Format
from smallfirst.planning.reconcile.line import COMPLETION, PROMPT, Line
from smallfirst.planning.reconcile.row import Row

_MS_PER_DAY = 86_400_000
_WHOLE = {"prompt": PROMPT, "completion": COMPLETION}


def _litellm(row: Row) -> Line:
    begun = next(
        (name for name in ("startTime", "start_time") if row.text(name)), "startTime"
    )  # the table's name, or a driver's
    at_ms = row.moment_ms(begun)
    return Line(
        where=row.where,
        at_ms=at_ms,
        until_ms=at_ms,
        model=row.text("model"),
        request_id=row.text("request_id"),
        group=row.text("api_key"),
        requests=1,
        tokens={"prompt": row.count("prompt_tokens"), "completion": row.count("completion_tokens")},
        usd=row.amount("spend"),
        note="answered by LiteLLM's cache" if row.text("cache_hit").lower() == "true" else "",
    )


def _openrouter(row: Row) -> Line:
    at_ms = row.moment_ms("created_at")
    return Line(
        where=row.where,
        at_ms=at_ms,
        until_ms=at_ms,
        model=row.text("model_permaslug"),
        request_id=row.text("generation_id"),
        group=row.text("api_key_name") or row.text("app_name"),
        requests=1,
        tokens={"prompt": row.count("tokens_prompt"), "completion": row.count("tokens_completion")},
        usd=row.amount("cost_total"),
        note="cancelled" if row.text("cancelled").lower() == "true" else "",
    )


def _openrouter_day(row: Row) -> Line:
    at_ms = row.moment_ms("date")
    return Line(
        where=row.where,
        at_ms=at_ms,
        until_ms=at_ms + _MS_PER_DAY,
        model=row.text("model_permaslug") or row.text("model"),
        group=row.text("provider_name"),
        requests=row.count("requests"),
        tokens={"prompt": row.count("prompt_tokens"), "completion": row.count("completion_tokens")},
        usd=row.amount("usage"),
    )


GATEWAY_FORMATS = (
    Format(
        name="litellm",
        title="LiteLLM's spend logs",
        source="github.com/BerriAI/litellm: schema.prisma, model LiteLLM_SpendLogs",
        needs=frozenset({"request_id", "spend", "prompt_tokens", "completion_tokens", "model"}),
        line=_litellm,
        classes=_WHOLE,
        by_request=True,
    ),
    Format(
        name="openrouter",
        title="OpenRouter's activity",
        source="openrouter.ai/activity",
        needs=frozenset(
            {
                "generation_id",
                "created_at",
                "cost_total",
                "tokens_prompt",
                "tokens_completion",
                "model_permaslug",
            }
        ),
        line=_openrouter,
        classes=_WHOLE,
        by_request=True,
        judges_tokens=False,
    ),
    Format(
        name="openrouter-days",
        title="OpenRouter's activity by the day",
        source="openrouter.ai/docs/api-reference",
        needs=frozenset({"date", "model", "usage", "requests", "prompt_tokens", "completion_tokens"}),
        line=_openrouter_day,
        classes=_WHOLE,
        judges_tokens=False,
    ),
)
