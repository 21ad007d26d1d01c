"""genai-prices as we read it, against genai-prices as it reads itself."""

import datetime
from decimal import Decimal

from genai_prices import Usage as TableUsage
from genai_prices.types import StartDateConstraint, TieredPrices

from smallfirst.chat import Usage
from smallfirst.money import nusd_from_usd
from smallfirst.pricing import Price, table

DAY = datetime.date(2026, 11, 24)
NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)


def _all() -> list[tuple[table.Entry, Price]]:
    entries = [table.Entry(seller, model) for seller in table.providers() for model in seller.models]
    priced = [(entry, table.price_at(entry, NOON, tier="standard", today=DAY)) for entry in entries]
    return [(entry, price) for entry, price in priced if price is not None]


def test_every_model_that_is_sold_by_the_token_costs_what_the_table_says() -> None:
    """Short and long prompts, all of text and uncached; rounded prices and those of a call are left out."""
    checked = 0
    for entry, price in _all():
        quoted = vars(entry.model.get_prices(NOON)).items()
        if any(key == "requests_kcount" for key, _ in quoted) or "rounded" in price.note:
            continue
        for read in (1000, 600_000):
            theirs = entry.model.calc_price(
                TableUsage(input_tokens=read, output_tokens=100), entry.provider, genai_request_timestamp=NOON
            )
            ours = price.cost_nusd(Usage(input_tokens=read, output_tokens=100))
            assert abs(ours - theirs.total_price * 10**9) <= Decimal("0.5"), price.version
        checked += 1
    assert checked > 1000


def test_a_price_of_a_call_is_read_exactly() -> None:
    by_call = [
        (entry.model.get_prices(NOON).requests_kcount, price)
        for entry, price in _all()
        if entry.model.get_prices(NOON).requests_kcount is not None
    ]
    assert by_call
    for usd_per_thousand, price in by_call:
        assert isinstance(usd_per_thousand, Decimal)
        assert price.cost_nusd(Usage()) == nusd_from_usd(usd_per_thousand / 1000)


def test_tiers_of_a_model_begin_where_the_table_says() -> None:
    for entry, price in _all():
        quoted = vars(entry.model.get_prices(NOON)).values()
        starts = {step.start for value in quoted if isinstance(value, TieredPrices) for step in value.tiers}
        assert [tier.above_tokens for tier in price.tiers] == sorted(starts), price.version


def test_the_day_of_the_table_is_one_from_which_a_price_in_it_holds() -> None:
    day = table.checked(DAY)
    starts = {
        item.constraint.start_date
        for seller in table.providers()
        for model in seller.models
        for item in (*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ()))
        if isinstance(item.constraint, StartDateConstraint)
    }
    assert day in starts
    assert not any(day < start <= DAY for start in starts if day is not None)


def test_versions_differ_where_prices_do() -> None:
    """A price can be found again: no two prices of one model bear the same version."""
    days = [datetime.date(2026, 1, 1), datetime.date(2026, 8, 1), DAY, datetime.date(2027, 2, 1)]
    seen: dict[str, Price] = {}
    for seller in table.providers():
        if seller.id not in {"anthropic", "openai", "google", "mistral", "deepseek", "x-ai"}:
            continue
        for model in seller.models:
            for tier in ("standard", "batch", "priority", "flex"):
                for day in days:
                    price = table.price_of_day(table.Entry(seller, model), day, tier=tier, today=DAY)
                    if price is not None:
                        assert seen.setdefault(price.version, price) == price
    assert len(seen) > 200
