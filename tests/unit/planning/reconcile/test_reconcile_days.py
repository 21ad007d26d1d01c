"""Day by day and model by model: sums that are equal, and what explains those that are not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from support.accounts import (
    DAY_MS,
    MODEL,
    NOON_MS,
    asked,
    cost_rows,
    csv_text,
    held,
    of,
    put,
    the,
    usage_rows,
)

from smallfirst.chat import Usage
from smallfirst.errors import ConfigError
from smallfirst.planning.reconcile.names import ModelNames, common_name

MIDNIGHT_MS = NOON_MS + DAY_MS // 2
CALLS = [asked(number, at_ms=NOON_MS + number * 7_200_000) for number in range(24)]  # two days


def test_equal_days_are_equal_by_tokens_and_by_money(tmp_path):
    put(tmp_path, *CALLS)
    for text in (csv_text(usage_rows(CALLS)), csv_text(cost_rows(CALLS))):
        found, told = held(tmp_path, text)
        assert (found.equal, told, found.by) == (True, [], "day and model")
        assert found.ours.count == 24
    assert found.difference_usd == 0


def test_a_page_of_the_api_says_the_same_as_the_dashboards_file(tmp_path):
    put(tmp_path, *CALLS)
    buckets = [
        {
            "object": "bucket",
            "start_time": row["start_time"],
            "end_time": row["end_time"],
            "results": [
                {"object": "organization.usage.completions.result", "batch": None, "service_tier": None}
                | {name: value for name, value in row.items() if "time" not in name}
                | {"num_model_requests": 1}
            ],
        }
        for row in usage_rows(CALLS)
    ]
    page = {"object": "page", "data": buckets, "has_more": False, "next_page": None}
    for text in (json.dumps(page), json.dumps(page, indent=1)):
        found, _ = held(tmp_path, text, suffix="json")
        assert (found.equal, found.theirs.count) == (True, 24)
    half = {"data": buckets[:12], "has_more": True}
    with pytest.raises(ConfigError, match="is not all of it"):
        held(tmp_path, json.dumps(half), suffix="json")
    both = json.dumps(half) + "\n" + json.dumps({"data": buckets[12:], "has_more": False}) + "\n"
    assert held(tmp_path, both, suffix="jsonl")[0].equal


def test_another_application_on_the_account_is_found(tmp_path):
    put(tmp_path, *CALLS)
    theirs = usage_rows(CALLS) + usage_rows(
        CALLS[:1], project_id="proj_b", input_tokens=5000, output_tokens=1
    )
    found, told = held(tmp_path, csv_text(theirs))
    assert [(each.kind, each.at) for each in told] == [("only-theirs", "2026-05-28")]
    assert "all that proj_b used" in told[0].what
    theirs = usage_rows(CALLS) + usage_rows(CALLS[:1], model="gpt-z")
    found, told = held(tmp_path, csv_text(theirs))
    assert [(each.kind, each.model) for each in told] == [("only-theirs", "gpt-z")]
    assert the(found, "only-theirs").tokens == found.difference_tokens


def test_a_model_that_they_do_not_have(tmp_path):
    other = asked(40, model="small", upstream_model="gpt-y")
    put(tmp_path, *CALLS, other)
    _, told = held(tmp_path, csv_text(usage_rows(CALLS)))
    assert [(each.kind, each.model) for each in told] == [("only-ours", "gpt-y")]


def test_one_call_that_is_missing_or_there_twice_is_named(tmp_path):
    put(tmp_path, *CALLS)
    _, told = held(tmp_path, csv_text(usage_rows(CALLS[:9] + CALLS[10:])))
    assert [(each.kind, each.calls) for each in told] == [("only-ours", (CALLS[9].id,))]
    _, told = held(tmp_path, csv_text(usage_rows([*CALLS, CALLS[3]])))
    assert [(each.kind, each.calls) for each in told] == [("only-theirs", (CALLS[3].id,))]
    _, told = held(tmp_path, csv_text(cost_rows(CALLS[:9] + CALLS[10:])))
    assert [(each.kind, each.calls) for each in told] == [("only-ours", (CALLS[9].id,))]


def test_calls_near_midnight_that_they_have_on_the_other_day(tmp_path):
    near = [asked(100 + number, at_ms=MIDNIGHT_MS - 60_000 + number * 10_000) for number in range(5)]
    put(tmp_path, *CALLS, *near)
    late = usage_rows(near[3:], start_time=MIDNIGHT_MS // 1000, end_time=MIDNIGHT_MS // 1000 + 60)
    found, told = held(tmp_path, csv_text(usage_rows([*CALLS, *near[:3]]) + late))
    assert [(each.kind, each.at) for each in told] == [("midnight", "2026-05-28"), ("midnight", "2026-05-29")]
    assert {call for each in told for call in each.calls} == {near[3].id, near[4].id}
    assert set(found.difference_tokens.values()) == {0}


def test_a_call_that_goes_on_over_midnight_may_be_charged_when_it_ends(tmp_path):
    made = asked(100, at_ms=MIDNIGHT_MS - 400_000, latency_ms=500_000.0)
    between = [asked(101 + number, at_ms=MIDNIGHT_MS - 1000 + number) for number in range(3)]
    put(tmp_path, *CALLS, made, *between)
    moved = usage_rows([made], start_time=MIDNIGHT_MS // 1000 + 60, end_time=MIDNIGHT_MS // 1000 + 120)
    _, told = held(tmp_path, csv_text(usage_rows([*CALLS, *between]) + moved))
    assert [(each.kind, each.calls) for each in told] == [("midnight", (made.id,))] * 2


def test_estimates_are_named_where_nothing_surer_explains_it(tmp_path):
    nameless: dict[str, Any] = {
        "usage_source": "estimated",
        "status": "broken",
        "upstream_model": "",
        "upstream_id": "",
    }
    cut = asked(50, usage=Usage(input_tokens=500, output_tokens=3), **nameless)
    put(tmp_path, *CALLS, cut)
    theirs = usage_rows(CALLS) + usage_rows([cut], input_tokens=480, output_tokens=9)
    _, told = held(tmp_path, csv_text(theirs))
    assert [(each.kind, each.what) for each in told] == [
        ("estimated", "1 attempts whose usage was not reported to us")
    ]


def test_the_same_tokens_at_another_price(tmp_path):
    put(tmp_path, *CALLS)
    rows = cost_rows(CALLS)
    found, told = held(
        tmp_path, csv_text([row | {"amount_value": f"{Decimal(row['amount_value']) / 2:f}"} for row in rows])
    )
    assert {each.kind for each in told} == {"price"}
    assert "half of our price" in the(found, "price").what[0]


def test_nothing_explains_it(tmp_path):
    put(tmp_path, *CALLS)
    found, told = held(tmp_path, csv_text(usage_rows(CALLS[1:]) + usage_rows(CALLS[:1], input_tokens=999)))
    assert [each.kind for each in told] == ["unexplained"]
    assert the(found, "unexplained").tokens == {"input": 889}


def test_an_account_that_does_not_divide_by_model_is_compared_as_a_whole(tmp_path):
    put(tmp_path, *CALLS, asked(40, model="small", upstream_model="gpt-y"))
    rows = usage_rows([*CALLS, asked(40)], model="")
    found, told = held(tmp_path, csv_text(rows))
    assert (found.equal, told) == (True, [])


def test_amounts_in_cents_are_equal_within_a_cent_a_line(tmp_path):
    many = [
        asked(number, at_ms=NOON_MS + number, usage=Usage(input_tokens=12_345, output_tokens=678))
        for number in range(50)
    ]
    put(tmp_path, *many)
    total = Decimal(sum(of(each).cost_nusd or 0 for each in many)).scaleb(-9)
    found, told = held(tmp_path, csv_text(cost_rows(many, amount_value=f"{total:.2f}")))
    assert (found.equal, told) == (True, [])
    assert found.causes[0].kind == "rounding"
    assert not held(tmp_path, csv_text(cost_rows(many, amount_value=f"{total + Decimal('0.02'):.2f}")))[
        0
    ].equal


def test_days_must_be_utcs_and_no_longer(tmp_path):
    put(tmp_path, *CALLS)
    with pytest.raises(ConfigError, match=r"line 2: begins at 07:00 UTC and ends on the next day"):
        held(tmp_path, csv_text(cost_rows(CALLS[:1], start_time=7 * 3600, end_time=31 * 3600)))
    with pytest.raises(ConfigError, match=r"line 2: is of more than a day"):
        held(tmp_path, csv_text(cost_rows(CALLS[:1], end_time=NOON_MS // 1000 + 40 * 86_400)))


def test_models_have_one_name_however_they_are_written():
    names = (
        "anthropic/claude-haiku-4.5",
        "Claude Haiku 4.5",
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5",
    )
    assert {common_name(name) for name in names} == {"claude-haiku-4-5"}
    assert common_name(MODEL) == "gpt-x"
    known = ModelNames({"big": "gpt-x"})
    assert known.of("openai", "big", "") == "gpt-x"
    assert known.of("openai", "huge", "") == "huge"
    known.learn("openai", "huge", "gpt-xx-2026-02-02")
    assert known.of("openai", "huge", "") == "gpt-xx"


def test_rows_that_are_gone_are_said_to_be_in_the_sums(tmp_path):
    from smallfirst.ledger import Erasure, erase

    put(tmp_path, *CALLS)
    erase(tmp_path, Erasure(at_ms=NOON_MS, call=CALLS[0].id))
    found, told = held(tmp_path, csv_text(usage_rows(CALLS)))
    assert [each.kind for each in told] == ["unexplained"]
    assert any("erased calls" in remark for remark in found.remarks)
