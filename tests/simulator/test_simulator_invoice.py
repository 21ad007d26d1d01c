"""The invoice against figures worked out by hand."""

import csv
import io
import json
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulator import SimulatorProcess

from smallfirst.simulator.prices import Usage, load_prices, usd_text

PRICES = load_prices()


@pytest.mark.parametrize(
    ("model", "usage", "nusd"),
    [
        ("sim-frontier", Usage(input_tokens=1000, cache_read_tokens=2048, output_tokens=10), 3_112_000),
        ("sim-frontier", Usage(output_tokens=10, reasoning_tokens=5), 150_000),
        ("sim-claude", Usage(10, 20, 30, 40, 50), 10 * 3000 + 20 * 300 + 30 * 3750 + 40 * 6000 + 50 * 15000),
        ("sim-nano", Usage(input_tokens=1), 38),  # 37.5: half to even, up
        ("sim-nano", Usage(input_tokens=3), 112),  # 112.5: half to even, down
        ("sim-nano", Usage(cache_read_tokens=1), 4),  # 3.75
        ("sim-nano", Usage(input_tokens=1, output_tokens=1), 188),  # 37.5 + 150.5, rounded once
        ("sim-nano", Usage(cache_write_tokens=2), 94),  # 93.75
        ("sim-embed", Usage(input_tokens=7), 140),
        ("sim-claude", Usage(), 0),
    ],
)
def test_costs_by_hand(model: str, usage: Usage, nusd: int) -> None:
    assert PRICES[model].cost_nusd(usage) == nusd


TOKENS = st.integers(0, 10**7)


@given(st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS), st.sampled_from(sorted(PRICES)))
def test_a_cost_is_never_half_a_nano_dollar_off(usage: Usage, model: str) -> None:
    price = PRICES[model]
    exact = 1000 * (
        price.input * usage.input_tokens
        + price.cache_read * usage.cache_read_tokens
        + price.cache_write * usage.cache_write_tokens
        + price.cache_write_1h * usage.cache_write_1h_tokens
        + price.output * usage.generated_tokens
    )
    assert abs(price.cost_nusd(usage) - exact) <= Decimal("0.5")


def test_dollars_are_plain_decimals() -> None:
    assert usd_text(1) == "0.000000001"
    assert usd_text(12_345_678_901_234_567_891) == "12345678901.234567891"


def test_the_invoice_adds_up_in_every_form(tmp_path: Path) -> None:
    file = tmp_path / "invoice.jsonl"
    messages: Any = [{"role": "user", "content": "one two three"}]
    with SimulatorProcess({"invoice": file}) as process:
        with openai.OpenAI(base_url=f"{process.base_url}/v1", api_key="k", max_retries=0) as client:
            for limit in (1, 2, 3):
                client.chat.completions.create(
                    model="sim-nano",
                    messages=messages,
                    max_tokens=limit,
                    extra_headers={"x-smallfirst-attempt": f"attempt-{limit}"},
                )
        invoice = process.invoice()
        with urllib.request.urlopen(f"{process.base_url}/simulator/invoice?format=csv") as response:
            rows = list(csv.DictReader(io.StringIO(response.read().decode())))
    # the prompt: user message 3 + 3 words, answer's opening 3 = 9 tokens of 37.5; each token out is 150.5
    assert [line["input_tokens"] for line in invoice["lines"]] == [9, 9, 9]
    assert [line["cost_nusd"] for line in invoice["lines"]] == [488, 638, 789]  # 488, 638.5, 789
    assert invoice["total_nusd"] == 1915
    assert invoice["total_usd"] == "0.000001915"
    assert [line["client_request_id"] for line in invoice["lines"]] == ["attempt-1", "attempt-2", "attempt-3"]
    assert [json.loads(line) for line in file.read_text().splitlines()] == invoice["lines"]
    assert [int(row["cost_nusd"]) for row in rows] == [488, 638, 789]


def test_reset_starts_a_new_invoice(chat: openai.OpenAI, simulator: SimulatorProcess) -> None:
    chat.embeddings.create(model="sim-embed", input="hello")
    assert simulator.invoice()["total_nusd"] == 20
    simulator.reset()
    assert simulator.invoice()["lines"] == []
    assert simulator.invoice()["total_nusd"] == 0
