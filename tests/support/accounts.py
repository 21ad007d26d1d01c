"""Providers' own accounts of what a ledger has, for tests that hold the two against each other."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from support.ledger import attempt, call, settlement

from smallfirst.chat import Usage
from smallfirst.config.schema import Config, Model, PriceOverride, Provider
from smallfirst.ledger import Ledger
from smallfirst.ledger.records import Attempt, Call
from smallfirst.planning.reconcile import Asked, Cause, Differing, Reconciliation, reconcile

DAY_MS = 86_400_000
NOON_MS = 1_779_926_400_000 + DAY_MS // 2  # noon of 2026-05-28, UTC
MODEL = "gpt-x-2026-01-01"
PRICES = (
    PriceOverride(since="2026-01-01", input=Decimal(2), output=Decimal(8), cache_read=Decimal("0.2")),
    PriceOverride(since="2026-06-01", input=Decimal("1.5"), output=Decimal(6), cache_read=Decimal("0.1")),
)
CONFIG = Config(
    providers={"openai": Provider(kind="openai"), "other": Provider(kind="anthropic")},
    models={
        "big": Model(provider="openai", id="gpt-x", prices=PRICES),
        "small": Model(provider="openai", id="gpt-y"),
    },
)


def cost_nusd(usage: Usage) -> int:
    """By `PRICES` in force until June."""
    return 2000 * usage.input_tokens + 8000 * usage.completion_tokens + 200 * usage.cache_read_tokens


def asked(number: int, *, at_ms: int = NOON_MS, usage: Usage | None = None, **fields: Any) -> Call:
    """A call of one attempt, with an id and a usage of its own."""
    usage = usage or Usage(input_tokens=100 + number, cache_read_tokens=10, output_tokens=20 + number)
    defaults: dict[str, Any] = {
        "model": "big",
        "upstream_model": MODEL,
        "upstream_id": f"chatcmpl-{number}",
        "usage": usage,
        "cost_nusd": cost_nusd(usage),
        "started_ms": 0.0,
    }
    return call(attempt(**(defaults | fields)), at_ms=at_ms)


def put(state: Path, *calls: Call) -> None:
    """Writes them into the ledger."""
    ledger = Ledger.open(state)
    for each in calls:
        ledger.journal.append_settlement(settlement(each))
    ledger.close()


def of(made: Call) -> Attempt:
    return made.attempts[0]


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def spend_logs(calls: Sequence[Call]) -> list[dict[str, Any]]:
    """LiteLLM's account of the same calls: by request, tokens whole."""
    return [
        {
            "request_id": of(each).upstream_id,
            "startTime": _iso(each.at_ms),
            "model": MODEL,
            "spend": f"{Decimal(of(each).cost_nusd or 0).scaleb(-9):f}",
            "prompt_tokens": of(each).usage.prompt_tokens,
            "completion_tokens": of(each).usage.completion_tokens,
        }
        for each in calls
    ]


def usage_rows(calls: Sequence[Call], **more: Any) -> list[dict[str, Any]]:
    """OpenAI's usage of the same calls, in buckets of a minute."""
    return [
        {
            "start_time": each.at_ms // 60_000 * 60,
            "end_time": each.at_ms // 60_000 * 60 + 60,
            "project_id": "proj_a",
            "num_model_requests": "1.0",
            "model": MODEL,
            "input_tokens": of(each).usage.prompt_tokens,
            "output_tokens": of(each).usage.completion_tokens,
            "input_cached_tokens": of(each).usage.cache_read_tokens,
        }
        | more
        for each in calls
    ]


def cost_rows(calls: Sequence[Call], **more: Any) -> list[dict[str, Any]]:
    """OpenAI's costs of the same calls, by the day."""
    by_day: dict[int, Decimal] = {}
    for each in calls:
        day = each.at_ms // DAY_MS
        by_day[day] = by_day.get(day, Decimal(0)) + Decimal(of(each).cost_nusd or 0).scaleb(-9)
    return [
        {
            "start_time": day * 86_400,
            "end_time": (day + 1) * 86_400,
            "amount_value": f"{amount:f}",
            "amount_currency": "usd",
            "line_item": f"{MODEL}, input",
        }
        | more
        for day, amount in by_day.items()
    ]


def held(
    state: Path, text: str, *, config: Config | None = CONFIG, suffix: str = "csv", **options: Any
) -> tuple[Reconciliation, list[Differing]]:
    """The account of this text against the ledger, and everything that was told to differ."""
    path = state / f"account.{suffix}"
    path.write_text(text, "utf-8")
    told: list[Differing] = []
    with Ledger.read(state) as ledger:
        found = reconcile(ledger, Asked(file=path, **options), config=config, told=told.append)
    return found, told


def the(found: Reconciliation, kind: str) -> Cause:
    """The one cause of this kind."""
    (cause,) = [each for each in found.causes if each.kind == kind]
    return cause


def lines(*rows: Mapping[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _iso(at_ms: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).isoformat()
