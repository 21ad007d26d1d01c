"""Models side by side."""

import datetime
from decimal import Decimal
from typing import Any

import msgspec

from smallfirst.config.schema import Config
from smallfirst.pricing import table
from smallfirst.pricing.catalogue import (
    Catalogue,
    by_cost,
    capabilities,
    cost_json,
    row_json,
    usd_per_million,
)

DAY = datetime.date(2026, 11, 24)
FAMILIES = {"Claude", "GPT", "Gemini", "Llama", "Qwen", "Mistral", "DeepSeek", "Phi", "Grok"}


def _catalogue(models: dict[str, Any] | None = None, *, on: datetime.date = DAY) -> Catalogue:
    providers = {"oa": {}, "vllm": {"base_url": "http://localhost:8000"}}
    config = msgspec.convert({"providers": providers, "models": models or {}}, Config)
    return Catalogue(config, on=on, today=DAY)


def test_nine_families_stand_side_by_side_with_a_price_and_a_context() -> None:
    rows = list(_catalogue().families())
    assert {row.capabilities.family for row in rows if row.capabilities} == FAMILIES
    assert all(row.price is not None and row.context_tokens for row in rows)


def test_a_capability_names_its_source_and_day_or_is_unknown() -> None:
    for known in capabilities().values():
        says = (known.tools, known.vision, known.structured_output, known.context_tokens)
        if any(value is not None for value in says):
            assert known.source
            assert known.checked is not None


def test_cheapest_first_then_by_the_hour_then_unknown() -> None:
    catalogue = _catalogue(
        {
            "unknown": {"provider": "vllm"},
            "hourly": {"provider": "vllm", "hourly_usd": "1.20"},
            "dear": {"provider": "oa", "id": "gpt-5"},
            "cheap": {"provider": "oa", "id": "gpt-5-mini"},
        }
    )
    rows = by_cost(catalogue.configured(), input_tokens=800, output_tokens=200)
    assert [row.model for row in rows] == ["cheap", "dear", "hourly", "unknown"]
    costs = [cost_json(row, input_tokens=800, output_tokens=200) for row in rows]
    assert [cost["call_usd"] for cost in costs] == ["0.0006", "0.003", None, None]
    assert [cost["million_calls_usd"] for cost in costs] == ["600", "3000", None, None]
    assert rows[2].hourly_usd == Decimal("1.20")


def test_a_model_is_found_by_name_by_provider_and_by_id() -> None:
    catalogue = _catalogue({"mine": {"provider": "oa", "id": "gpt-5-mini"}})

    def found(name: str) -> tuple[str, str] | None:
        row = catalogue.find(name)
        return (row.provider, row.model) if row is not None else None

    assert found("mine") == ("oa", "mine")
    assert found("azure/phi-4") == ("azure", "phi-4")
    assert found("gpt-5-mini") == ("openai", "gpt-5-mini")
    assert found("groq/qwen/qwen3.8-27b") == ("groq", "qwen/qwen3.8-27b")
    assert found("no-such-model-at-all") is None
    assert "gpt-5-mini" in catalogue.nearest("gpt-5-minni")


def test_rows_are_chosen_by_provider_and_pattern() -> None:
    catalogue = _catalogue({"mine": {"provider": "oa", "id": "gpt-5-mini"}})
    assert [row.model for row in catalogue.rows(provider="oa")] == ["mine"]
    chosen = list(catalogue.rows(provider="anthropic", model="Claude-Haiku-*"))
    assert chosen
    assert all(row.model.startswith("claude-haiku-") for row in chosen)


def test_a_row_for_scripts_has_exact_money_and_days() -> None:
    row = _catalogue().find("anthropic/claude-haiku-5-5")
    assert row is not None
    shown = row_json(row, today=datetime.date(2027, 6, 1))
    price = shown["price"]
    assert price["usd_per_million_tokens"]["cache_write"] == "0.125"
    assert price["length_tiers"][0]["above_prompt_tokens"] == 100_000
    assert price["length_tiers"][0]["usd_per_million_tokens"]["output"] == "2.5"
    assert price["checked"] == str(table.checked(DAY))
    assert price["stale"] is True
    assert row_json(row, today=DAY)["price"]["stale"] is False
    assert shown["structured_output"] is None


def test_prices_are_those_of_the_day_that_is_asked() -> None:
    before, after = (
        _catalogue(on=datetime.date(*day)).find("google/gemini-3.8-flash")
        for day in ((2026, 12, 31), (2027, 1, 1))
    )
    assert before is not None
    assert after is not None
    assert before.price is not None
    assert after.price is not None
    assert (usd_per_million(before.price.input), usd_per_million(after.price.input)) == ("0.75", "1.5")
