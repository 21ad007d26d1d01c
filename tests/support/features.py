"""Features as `assess` judges them, made by hand of the helpdesk's tickets."""

from __future__ import annotations

import datetime
import json
import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from smallfirst.ledger.buckets import bucket
from smallfirst.planning.assess.feature import SAMPLE_CALLS, Feature
from smallfirst.planning.assess.finding.passing import Recent, passing
from smallfirst.planning.assess.judging.money import Prices
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.costs.quote import read_quote
from smallfirst.pricing.catalogue import Catalogue

HELPDESK = Path(__file__).resolve().parents[2] / "examples" / "helpdesk"
TODAY = datetime.date(2026, 11, 26)
FIRST_MS = 1_764_000_000_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MODEL = "gpt-4o"

Answer = Callable[[dict[str, Any]], str]


@cache
def tickets(most: int = 260) -> tuple[dict[str, Any], ...]:
    """The first of the helpdesk's train part, which are enough to fit a head to."""
    return tuple(json.loads(line) for line in (HELPDESK / "train.jsonl").read_bytes().splitlines()[:most])


def category(row: dict[str, Any]) -> str:
    return row["category"]


def record(row: dict[str, Any]) -> str:
    return json.dumps(row["record"])


def summary(row: dict[str, Any]) -> str:
    return row["summary"]


def call(asked: str, answer: str = "", **told: Any) -> Observed:
    """A call of one message, with a model and its tokens."""
    told = {"model": MODEL, "input_tokens": 800, "cached_tokens": 0, "output_tokens": 20} | told
    return Observed(messages=[{"role": "user", "content": asked}], answer=answer, **told)


def feature(seen: list[Observed], *, name: str = "classify support tickets", **told: Any) -> Feature:
    """Their sums, as `find_features` counts them."""
    counted: dict[str, Any] = {
        "calls": len(seen),
        "failed_calls": sum(one.failed for one in seen),
        "streamed_calls": sum(bool(one.stream) for one in seen),
        "tool_calls": sum(one.calls_tools for one in seen),
        "models": dict(Counter(one.model for one in seen if one.model)),
        "tasks": dict(Counter(one.task for one in seen if one.task)),
        "hours": dict(Counter(one.at_ms // HOUR_MS for one in seen if one.at_ms)),
        "latency": dict(Counter(bucket(one.latency_ms * 1000) for one in seen if one.latency_ms is not None)),
        "input_tokens": sum(one.input_tokens or 0 for one in seen),
        "cached_tokens": sum(one.cached_tokens or 0 for one in seen),
        "output_tokens": sum(one.output_tokens or 0 for one in seen),
        "token_calls": sum(one.input_tokens is not None for one in seen),
        "cost_nusd": sum(one.cost_nusd or 0 for one in seen),
        "unknown_cost_calls": sum(one.cost_nusd is None for one in seen),
        **_repeats(seen),
        "sample": tuple(seen[:SAMPLE_CALLS]),
    }
    return Feature(name=name, words=("ticket",), prompt="Sort the ticket", **(counted | told))


def _repeats(seen: list[Observed]) -> dict[str, int]:
    asked = [one.messages[-1]["content"] for one in seen]
    recent = Recent()
    again = [
        passing(one, lot=0.0, order=0, recent=recent).again for one in sorted(seen, key=lambda one: one.at_ms)
    ]
    return {
        "inputs": len(seen),
        "distinct_inputs": len(set(asked)),
        "requests": len(seen),
        "distinct_requests": len(set(asked)),
        "dated_requests": sum(one.at_ms > 0 for one in seen),
        "repeated_requests": sum(again),
    }


def of_tickets(answer: Answer, *, count: int | None = None, days: float = 8.0, **told: Any) -> Feature:
    """Each of 260 tickets once, or `count` of them drawn with repeats, over so many days."""
    draw = random.Random(0)
    rows = tickets() if count is None else draw.choices(tickets(), k=count)
    calls = [
        call(
            row["input"],
            answer(row),
            at_ms=FIRST_MS + int(draw.random() * days * DAY_MS),
            latency_ms=draw.gauss(2000, 300),
        )
        for row in rows
    ]
    return feature(calls, **told)


def prices(**told: Any) -> Prices:
    """Today's, with a hosted small model at $0.10 and $0.50 a million."""
    small = read_quote("0.10/0.50", option="--small", input_tokens=800)
    return Prices(catalogue=Catalogue(on=TODAY, today=TODAY), small=small, **told)
