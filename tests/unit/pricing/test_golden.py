"""Each provider's invoice: the prices in `tests/golden/pricing`, to the nano-dollar.

They were copied by hand from genai-prices 0.2.3; `also_seen_at` says where else a price was read, and of
what. The expected sums there were made with `decimal` alone from the prices that stand beside them. They are
made once more here, so that nobody can bend one to the code; the prices are what the book must find by
provider, model and day.
"""

import datetime
import json
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from smallfirst.chat import Usage
from smallfirst.config.schema import Config
from smallfirst.pricing import PriceBook, Rates

FOLDER = Path(__file__).parents[2] / "golden" / "pricing"
FILES = sorted(path.stem for path in FOLDER.glob("*.json"))
TODAY = datetime.date(2026, 11, 24)
USAGE_FIELDS = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "input_audio": "input_audio_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "output_audio": "output_audio_tokens",
}
READ = ("input", "cache_read", "cache_write", "cache_write_1h", "input_audio")


def _models() -> list[Any]:
    found = []
    for name in FILES:
        golden = json.loads((FOLDER / f"{name}.json").read_text())
        for model in golden["models"]:
            label = f"{name}/{model['id']}@{model['on']}+{model.get('tier', 'standard')}"
            found.append(pytest.param(golden["provider"], model, id=label))
    return found


def _price(provider: dict[str, Any], model: dict[str, Any]) -> Any:
    declared = {
        "provider": "them",
        "id": model["id"],
        "tier": model.get("tier", "standard"),
        "prices": model.get("overrides", []),
    }
    config = msgspec.convert({"providers": {"them": provider}, "models": {"fast": declared}}, Config)
    on = model["on"]
    moment = datetime.datetime.fromisoformat(on) if "T" in on else datetime.date.fromisoformat(on)
    return PriceBook(config, today=TODAY).at("fast", "them", moment)


def _quoted(rates: Rates) -> dict[str, Decimal]:
    return {name: Decimal(getattr(rates, name)).scaleb(-9) for name in USAGE_FIELDS}


def test_there_is_a_file_for_each_provider() -> None:
    assert FILES == ["anthropic", "deepseek", "google", "mistral", "openai", "override", "xai"]


@pytest.mark.parametrize(("provider", "model"), _models())
def test_the_book_finds_the_published_price(provider: dict[str, Any], model: dict[str, Any]) -> None:
    price = _price(provider, model)
    assert _quoted(price) == {name: Decimal(usd) for name, usd in model["usd_per_million"].items()}
    assert Decimal(price.per_call_fusd).scaleb(-15) == Decimal(model.get("usd_per_call", "0"))
    if "above_prompt_tokens" not in model:
        assert price.tiers == ()
        return
    (tier,) = price.tiers
    assert tier.above_tokens == model["above_prompt_tokens"]
    assert _quoted(tier) == {name: Decimal(usd) for name, usd in model["usd_per_million_above"].items()}


@pytest.mark.parametrize(("provider", "model"), _models())
def test_usage_costs_what_the_invoice_says(provider: dict[str, Any], model: dict[str, Any]) -> None:
    price = _price(provider, model)
    for case in model["cases"]:
        usage = Usage(**{USAGE_FIELDS[name]: tokens for name, tokens in case["usage"].items()})
        assert price.cost_nusd(usage) == case["nusd"], case["why"]


@pytest.mark.parametrize(("provider", "model"), _models())
def test_the_expected_sums_follow_from_the_prices_beside_them(
    provider: dict[str, Any], model: dict[str, Any]
) -> None:
    for case in model["cases"]:
        read = sum(case["usage"].get(name, 0) for name in READ)
        longer = read > model.get("above_prompt_tokens", read)
        quoted = model["usd_per_million_above" if longer else "usd_per_million"]
        usd = Decimal(model.get("usd_per_call", "0"))
        for name, tokens in case["usage"].items():
            usd += Decimal(quoted[name]) * tokens / 10**6
        assert (usd * 10**9).quantize(Decimal(1), ROUND_HALF_EVEN) == case["nusd"], case["why"]
