"""Calls in LiteLLM's spend logs. Where the proxy kept no prompts, a call still counts for its model, tokens, time and spend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smallfirst.datasets.litellm import request_of_spend_log
from smallfirst.datasets.row import Tally
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading.columns import Columns, Facts, with_facts
from smallfirst.planning.assess.reading.exchanged import answered, asked, tokens
from smallfirst.planning.assess.reading.log_calls import reply_of

_CHAT = ("completion", "anthropic_messages", "responses", "generate_content")


def read_spend_log(value: dict[str, Any], columns: Columns, tally: Tally) -> Iterator[Observed]:
    """The call of one row of `LiteLLM_SpendLogs`. Raises `BadRequest` and `ValueError` that name the field."""
    kind = str(value.get("call_type") or "completion")
    if not any(chat in kind for chat in _CHAT):
        tally.skip(f"calls of another kind ({kind[:40]})")
        return
    body = request_of_spend_log(value)
    reply = value.get("response")
    told = answered(reply_of(reply)) if reply not in (None, "", "{}", {}) else {"answer": ""}
    metadata = value.get("metadata")
    usage = metadata.get("usage_object") if isinstance(metadata, dict) else None
    seen = asked(body) | tokens(usage) | {name: found for name, found in told.items() if found is not None}
    seen |= {"model": str(value.get("model") or seen.get("model") or "")}
    tags = value.get("request_tags")
    if value.get("cache_hit") in (True, "True", "true"):
        seen["cost_nusd"] = 0  # its own cache answered
    yield with_facts(
        seen | ({"task": _task_tag(tags)} if isinstance(tags, list) and tags else {}), Facts(columns, value)
    )


def _task_tag(tags: list[Any]) -> str | None:
    """LiteLLM's tags are free text; `task:NAME` and `feature:NAME` say which feature a call is of."""
    for tag in tags:
        name, _, rest = str(tag).partition(":")
        if name in ("task", "feature") and rest:
            return rest
    return None
