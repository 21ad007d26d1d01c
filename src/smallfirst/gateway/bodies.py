"""What was asked and answered, kept only for tasks that say so, with what they redact taken out."""

from __future__ import annotations

import re
from functools import lru_cache

from smallfirst import limits
from smallfirst.config.schema import Config
from smallfirst.gateway.draft import Draft
from smallfirst.ledger.records import REDACTED, Bodies


def keeps_bodies(config: Config, draft: Draft) -> bool:
    """Whether this call's task keeps what was asked and answered."""
    task = config.tasks.get(draft.task)
    return task is not None and task.keep_bodies


def kept_days(config: Config, tenant: str) -> int:
    """For how many days what this tenant says may be kept; 0: not at all."""
    known = config.tenants.get(tenant)
    return config.storage.bodies_days if known is None or known.bodies_days is None else known.bodies_days


def bodies_of(config: Config, draft: Draft, request: bytes, answer: bytes) -> Bodies | None:
    """What is kept of a call's bodies, redacted; None where nothing is: too long ones are left out, not cut."""
    task = config.tasks.get(draft.task)
    if task is None or not task.keep_bodies:
        return None
    days = kept_days(config, draft.tenant)
    if days == 0 or len(request) + len(answer) > limits.MAX_STORED_BODY_BYTES:
        return None
    return Bodies(
        call=draft.id,
        at_ms=draft.at_ms,
        tenant=draft.tenant,
        task=draft.task,
        request=redact(request, task.redact),
        answer=redact(answer, task.redact),
        keep_days=days,
    )


def would_redact(config: Config, task: str, *texts: bytes) -> bool:
    """Whether the task takes something out of these before they are stored: what must be stored whole or not at all is then not stored."""
    told = config.tasks.get(task)
    return told is not None and any(redact(text, told.redact) != text for text in texts)


def redact(data: bytes, patterns: tuple[str, ...]) -> bytes:
    """The same text with every match of the patterns replaced. A pattern sees the JSON as it is written."""
    if not patterns:
        return data
    text = data.decode("utf-8", "replace")
    for pattern in patterns:
        text = _compiled(pattern).sub(REDACTED.decode(), text)
    return text.encode()


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
