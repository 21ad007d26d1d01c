"""Calls in Langfuse's exports: generations, alone or inside their traces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smallfirst.datasets.row import Tally
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading.columns import Columns, Facts, with_facts
from smallfirst.planning.assess.reading.exchanged import answered, asked, tokens
from smallfirst.planning.assess.reading.log_calls import reply_of, request_of

_MODELS = ("model", "providedModelName", "provided_model_name", "internalModel")
_USAGES = ("usageDetails", "usage_details", "usage")
_COSTS = ("costDetails", "cost_details")


def read_observation(value: dict[str, Any], columns: Columns, tally: Tally) -> Iterator[Observed]:
    """The generations of one exported object. Raises `BadRequest` and `ValueError` that name the field."""
    inner = value.get("observations")
    if not isinstance(inner, list):
        yield from _generation(value, columns, tally)
        return
    trace = {name: value[name] for name in ("sessionId", "userId") if value.get(name)}
    for observation in inner:
        if isinstance(observation, dict):
            yield from _generation(trace | observation, columns, tally)
        else:
            tally.skip("observations that are only named")


def _generation(value: dict[str, Any], columns: Columns, tally: Tally) -> Iterator[Observed]:
    if str(value.get("type") or "GENERATION").upper() != "GENERATION":
        tally.skip("observations that are no generation")
        return
    given, output = request_of(value.get("input")), value.get("output")
    body = given if isinstance(given, dict) else {"messages": given}
    usage = next((value[name] for name in _USAGES if isinstance(value.get(name), dict) and value[name]), None)
    told = answered(reply_of(output)) if output not in (None, "") else {"answer": ""}
    seen = asked(body) | tokens(usage) | {name: found for name, found in told.items() if found is not None}
    model = next((str(value[name]) for name in _MODELS if value.get(name)), None)
    costs = next((value[name] for name in _COSTS if isinstance(value.get(name), dict)), {})
    extra: dict[str, Any] = {"model": model} if model else {}
    beside = value | ({"cost_usd": costs["total"]} if "total" in costs else {})
    # Langfuse gives `latency` and `timeToFirstToken` in seconds, and both moments beside them, which are finer.
    timed = (
        {"latency_s": value["latency"]}
        if value.get("latency") is not None and not value.get("endTime")
        else {}
    )
    yield with_facts(
        seen | extra, Facts(columns, _without(beside, ("input", "output", "usage", "latency")) | timed)
    )


def _without(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: found for name, found in value.items() if name not in names}
