"""Which price holds for a model on a day."""

import datetime
from typing import Any

import msgspec
import pytest

from smallfirst import limits
from smallfirst.config.schema import Config
from smallfirst.errors import ConfigError
from smallfirst.pricing import Price, PriceBook

DAY = datetime.date(2026, 11, 24)
PROVIDERS = {
    "oa": {},
    "an": {"kind": "anthropic"},
    "az": {"kind": "azure", "base_url": "https://us.openai.azure.com"},
    "or": {"base_url": "https://openrouter.ai/api/v1"},
    "vllm": {"base_url": "http://10.0.0.7:8000/v1", "engine": "vllm"},
    "proxy": {"base_url": "http://litellm:4000", "price_as": "anthropic"},
    "in": {"kind": "embedded"},
    "heads": {"kind": "head"},
}


def _book(models: dict[str, Any], **providers: Any) -> PriceBook:
    config = msgspec.convert({"providers": PROVIDERS | providers, "models": models}, Config)
    return PriceBook(config, today=DAY)


def _version(price: Price | None) -> str:
    return price.version.partition("/")[2] if price is not None else "unknown"


def test_overrides_come_first_and_the_latest_that_has_come_holds() -> None:
    book = _book(
        {
            "m": {
                "provider": "oa",
                "id": "gpt-5-mini",
                "prices": [
                    {"since": "2026-09-01", "input": "3", "output": "4"},
                    {"since": "2026-07-01", "input": "1", "output": "2"},
                    {"since": "2026-08-01", "input": "9", "output": "9", "tier": "batch"},
                ],
            }
        }
    )
    versions = [
        _version(book.at("m", "oa", datetime.date(2026, month, day)))
        for month, day in ((6, 30), (7, 1), (8, 31), (9, 1))
    ]
    assert versions == [
        "openai/gpt-5-mini",
        "models.m@2026-07-01",
        "models.m@2026-07-01",
        "models.m@2026-09-01",
    ]


def test_a_model_of_a_tier_takes_that_tiers_prices_and_no_other() -> None:
    price = {"since": "2026-07-01", "input": "1", "output": "2"}
    book = _book(
        {
            "batch": {"provider": "oa", "id": "gpt-5.4-mini", "tier": "batch"},
            "own": {
                "provider": "oa",
                "id": "gpt-5.4-mini",
                "tier": "batch",
                "prices": [price | {"tier": "batch"}],
            },
            "standard-only": {"provider": "vllm", "tier": "batch", "prices": [price]},
            "priority": {"provider": "an", "id": "claude-sonnet-5-5", "tier": "priority"},
            "elsewhere": {"provider": "az", "id": "gpt-5.4-mini", "tier": "batch"},
        }
    )
    assert _version(book.at("batch", "oa", DAY)) == "openai/gpt-5.4-mini@2026-10-14+batch"
    assert _version(book.at("own", "oa", DAY)) == "models.own@2026-07-01+batch"
    assert book.at("standard-only", "vllm", DAY) is None
    assert book.at("priority", "an", DAY) is None  # the table has none: not the standard price
    assert book.at("elsewhere", "az", DAY) is None  # OpenAI's discount says nothing of Azure's
    assert book.at("batch", "oa", datetime.date(2026, 10, 13)) is None


def test_a_machine_billed_by_the_hour_has_free_tokens() -> None:
    book = _book(
        {"small": {"provider": "vllm", "hourly_usd": "2.5"}, "cpu": {"provider": "in", "hourly_usd": "0"}}
    )
    for name, provider in (("small", "vllm"), ("cpu", "in")):
        price = book.at(name, provider, DAY)
        assert price is not None
        assert price.version == "own"
        assert price.worst_case_nusd(10**6, 10**6) == 0


def test_an_override_beats_the_hour() -> None:
    override = {"since": "2026-07-01", "input": "1", "output": "2"}
    book = _book({"small": {"provider": "vllm", "hourly_usd": "2.5", "prices": [override]}})
    assert _version(book.at("small", "vllm", DAY)) == "models.small@2026-07-01"
    before = book.at("small", "vllm", datetime.date(2026, 6, 30))
    assert before is not None
    assert before.version == "own"


@pytest.mark.parametrize(
    ("model", "provider", "version"),
    [
        ("gpt-5-mini", "oa", "openai/gpt-5-mini"),
        ("gpt-5-mini", "az", "azure/gpt-5-mini"),
        ("openai/gpt-5-mini", "or", "openrouter/openai/gpt-5-mini"),
        ("claude-sonnet-5-5", "an", "anthropic/claude-sonnet-5-5"),
        ("claude-sonnet-5-5", "proxy", "anthropic/claude-sonnet-5-5"),
        ("gpt-5-mini", "vllm", "unknown"),
        ("gpt-5-mini", "in", "unknown"),
        ("gpt-5-mini", "heads", "unknown"),
        ("gpt-5-mini", "nobody", "unknown"),
        ("no-such-model", "oa", "unknown"),
        ("whisper-1", "oa", "unknown"),  # sold by the hour of audio, not by the token
        ("deepseek/deepseek-r1:free", "or", "unknown"),  # an empty entry is no price
    ],
)
def test_the_table_is_read_at_the_provider_that_is_asked(model: str, provider: str, version: str) -> None:
    assert _version(_book({}).at(model, provider, DAY)) == version


def test_a_dated_id_is_the_configured_model_without_its_date() -> None:
    override = {"since": "2026-07-01", "input": "1", "output": "2"}
    book = _book(
        {
            "mini": {"provider": "oa", "id": "gpt-5-mini", "prices": [override]},
            "old": {"provider": "oa", "id": "gpt-4o", "prices": [override]},
            "mine": {"provider": "vllm", "prices": [override]},
        }
    )
    assert _version(book.at("gpt-5-mini", "oa", DAY)) == "models.mini@2026-07-01"
    assert _version(book.at("gpt-5-mini-2025-08-07", "oa", DAY)) == "models.mini@2026-07-01"
    assert _version(book.at("gpt-5-mini-2025-08-07", "az", DAY)) == "azure/gpt-5-mini"
    assert _version(book.at("mine-20260101", "vllm", DAY)) == "models.mine@2026-07-01"
    # A snapshot that the table sells at another price is another model.
    assert _version(book.at("gpt-4o-2024-05-13", "oa", DAY)) == "openai/gpt-4o-2024-05-13"


def test_a_configured_name_may_hide_an_id() -> None:
    book = _book({"gpt-5": {"provider": "oa", "id": "gpt-5-mini"}})
    assert _version(book.at("gpt-5", "oa", DAY)) == "openai/gpt-5-mini"


def test_a_price_that_changes_by_the_hour() -> None:
    book = _book({}, ds={"base_url": "https://api.deepseek.com/v1"})
    day = book.at("deepseek-flash", "ds", DAY)
    peak = book.at("deepseek-flash", "ds", datetime.datetime(2026, 11, 24, 9, 59, 59, tzinfo=datetime.UTC))
    calm = book.at("deepseek-flash", "ds", datetime.datetime(2026, 11, 24, 10, tzinfo=datetime.UTC))
    assert day is not None
    assert peak is not None
    assert calm is not None
    assert (day.input, peak.input, calm.input) == (300_000_000, 300_000_000, 150_000_000)
    assert "dearest hours" in day.note
    assert (_version(peak), _version(calm)) == ("deepseek/deepseek-flash~06:00", "deepseek/deepseek-flash")


def test_a_claude_elsewhere_writes_for_an_hour_at_twice_the_input() -> None:
    book = _book({}, aws={"base_url": "https://bedrock-runtime.us-east-1.amazonaws.com"})
    price = book.at("anthropic.claude-3-7-sonnet-20250219-v1:0", "aws", DAY)
    assert price is not None
    assert price.cache_write_1h == 2 * price.input


def test_a_quotation_of_too_many_places_is_rounded_and_says_so() -> None:
    price = _book({}).at("google/gemini-2.5-flash", "or", DAY)
    assert price is not None
    assert price.cache_write == 83_333_333
    assert "rounded" in price.note


def test_found_prices_are_kept_but_not_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PRICES_KEPT", 4)
    book = _book({})
    first = book.at("gpt-5-mini", "oa", DAY)
    assert book.at("gpt-5-mini", "oa", DAY) is first
    for number in range(10):
        book.at(f"made-up-{number}", "oa", DAY)
        assert len(book._found) <= 4
    assert book.at("gpt-5-mini", "oa", DAY) == first


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            {"since": "2026-13-01", "input": "1", "output": "2"},
            r"models\.m\.prices\[0\]\.since: expected a day",
        ),
        ({"since": "2026-07-01", "input": "-1", "output": "2"}, r"models\.m\.prices\[0\]: a price must be"),
        ({"since": "2026-07-01", "input": "0.0000000001", "output": "2"}, r"nine decimal places"),
        ({"since": "2026-07-01", "input": "1", "output": "2", "per_call": "-0.1"}, r"negative"),
    ],
)
def test_an_override_that_cannot_be_read_is_refused(override: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _book({"m": {"provider": "oa", "prices": [override]}})


def test_two_overrides_of_one_day_and_tier_are_refused() -> None:
    override = {"since": "2026-07-01", "input": "1", "output": "2"}
    with pytest.raises(ConfigError, match=r"models\.m\.prices: two prices"):
        _book({"m": {"provider": "oa", "prices": [override, override]}})


def test_a_label_head_costs_nothing_which_is_known() -> None:
    book = _book(
        {
            "free": {"provider": "heads", "id": "triage"},
            "hourly": {"provider": "heads", "hourly_usd": "0.1"},
            "sold": {
                "provider": "heads",
                "prices": [{"since": "2026-01-01", "input": 0, "output": 0, "per_call": "0.001"}],
            },
        }
    )
    prices = {name: book.at(name, "heads", DAY) for name in ("free", "hourly", "sold")}
    assert {name: price and price.version for name, price in prices.items()} == {
        "free": "in-process",
        "hourly": "own",
        "sold": "config/models.sold@2026-01-01",
    }
    assert prices["free"] is not None
    assert prices["free"].worst_case_nusd(10**9, 10**9) == 0
    assert "own process" in prices["free"].note


def test_an_unknown_price_as_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"providers\.p\.price_as: no provider 'mistrall'.*'mistral'"):
        _book({}, p={"price_as": "mistrall"})
