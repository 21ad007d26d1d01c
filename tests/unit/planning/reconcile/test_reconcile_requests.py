"""Request by request: equal to the nano-dollar or not, and if not, which calls and why."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.accounts import (
    NOON_MS,
    asked,
    cost_nusd,
    csv_text,
    held,
    lines,
    of,
    put,
    spend_logs,
    the,
)

from smallfirst.chat import Usage
from smallfirst.errors import ConfigError
from smallfirst.planning.reconcile import by_request
from smallfirst.planning.reconcile.by_request import ids_of

TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
CALLS = [asked(number, at_ms=NOON_MS + number * 1000) for number in range(30)]


def changed(rows, at, **fields):
    return [row | (fields if index == at else {}) for index, row in enumerate(rows)]


def test_equal_accounts_are_equal_to_the_last_digit(tmp_path):
    put(tmp_path, *CALLS)
    found, told = held(tmp_path, csv_text(spend_logs(CALLS)))
    assert (found.equal, found.difference_usd, told, found.causes) == (True, 0, [], ())
    assert found.theirs.count == found.ours.count == found.matched == 30
    assert found.theirs.usd == Decimal(sum(of(each).cost_nusd or 0 for each in CALLS)).scaleb(-9)
    assert found.reported is not None
    assert (found.reported.count, found.reported.ours_usd) == (30, found.theirs.usd)
    assert (found.format, found.by, found.providers) == ("litellm", "request", ("openai",))


def test_ids_are_known_without_what_a_dialect_puts_before_them():
    assert ids_of("chatcmpl-req_7") == ["chatcmpl-req_7", "req_7"]
    assert ids_of("msg_req_7")[1] == "req_7"
    assert ids_of("abc-1") == ["abc-1"]


def test_the_same_call_with_other_tokens(tmp_path):
    put(tmp_path, *CALLS)
    found, told = held(tmp_path, csv_text(changed(spend_logs(CALLS), 4, completion_tokens=99)))
    assert not found.equal
    assert [(each.kind, each.call, each.tokens) for each in told] == [
        ("tokens", CALLS[4].id, {"prompt": 0, "completion": 99 - 24})
    ]
    assert told[0].where == "line 6"
    assert found.difference_tokens == {"prompt": 0, "completion": 75}


def test_what_one_side_alone_has_is_named_with_its_request_or_its_call(tmp_path):
    put(tmp_path, *CALLS)
    rows = spend_logs(CALLS)
    del rows[7]
    strange = rows[3] | {"request_id": "chatcmpl-strange", "spend": "0.5"}
    found, told = held(tmp_path, csv_text([*rows, strange, rows[5]]))
    kinds = {each.kind: each for each in told}
    assert set(kinds) == {"only-theirs", "only-ours", "doubled"}
    assert kinds["only-theirs"].request_id == "chatcmpl-strange"
    assert kinds["only-ours"].call == CALLS[7].id
    assert kinds["doubled"].request_id == of(CALLS[5]).upstream_id
    assert sum(each.difference_usd for each in told) == found.difference_usd


def test_usage_that_nobody_reported_is_paired_by_model_and_time_and_named(tmp_path):
    usage = Usage(input_tokens=90, output_tokens=5)
    cut = {"status": "broken", "usage_source": "estimated", "upstream_model": ""}
    known = asked(50, at_ms=NOON_MS + 50_000, usage=usage, **cut)
    nameless = asked(51, at_ms=NOON_MS + 51_000, usage=usage, upstream_id="", **cut)
    free = asked(
        52, at_ms=NOON_MS + 52_000, usage=usage, upstream_id="", status="timeout", usage_source="estimated"
    )
    put(tmp_path, *CALLS, known, nameless, free)
    theirs = spend_logs([*CALLS, known, nameless])
    theirs[-2] |= {"spend": "0.001"}
    theirs[-1] |= {"spend": "0.002", "request_id": "chatcmpl-unknown-to-us"}
    found, told = held(
        tmp_path, csv_text(changed(theirs, 0, startTime="2026-05-28T11:59:59")), since_ms=NOON_MS - 10_000
    )
    assert {each.kind for each in told} == {"estimated"}
    by_call = {each.call: each for each in told}
    assert by_call[known.id].what == ""
    assert by_call[nameless.id].what == "found by model and time"
    assert by_call[nameless.id].request_id == "chatcmpl-unknown-to-us"
    assert free.id not in by_call  # it was begun after the last line: their account need not have it
    assert found.ours_estimated == 2
    assert the(found, "estimated").difference_usd == found.difference_usd


def test_an_estimate_without_a_line_is_named_too(tmp_path):
    lost = asked(60, at_ms=NOON_MS + 5_500, upstream_id="", status="lost", usage_source="estimated")
    put(tmp_path, *CALLS, lost)
    found, told = held(tmp_path, csv_text(spend_logs(CALLS)))
    assert [(each.kind, each.call, each.status, each.what) for each in told] == [
        ("estimated", lost.id, "lost", "no line of theirs")
    ]
    assert found.difference_nusd == -(of(lost).cost_nusd or 0)


def test_an_unknown_price_is_unknown_and_not_free(tmp_path):
    put(tmp_path, *CALLS, unknown := asked(70, at_ms=NOON_MS + 100, cost_nusd=None))
    found, told = held(
        tmp_path, csv_text([*spend_logs(CALLS), *changed(spend_logs([unknown]), 0, spend="0.25")])
    )
    assert [(each.kind, each.ours_usd, each.difference_usd) for each in told] == [
        ("unknown-price", None, Decimal("0.25"))
    ]
    assert found.ours_unknown == 1


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (
            lambda u: 2000 * u.prompt_tokens + 8000 * u.completion_tokens,
            "the price of input for cached tokens, too",
        ),
        (lambda u: 2000 * u.input_tokens + 8000 * u.completion_tokens, "no charge for cached tokens"),
        (lambda u: cost_nusd(u) // 2, "half of our price for every token"),
        (lambda u: cost_nusd(u) * 3, "3 times our price for every token"),
        (
            lambda u: 1500 * u.input_tokens + 6000 * u.completion_tokens + 100 * u.cache_read_tokens,
            "the price of after its change (config/models.big@2026-06-01)",
        ),
        (
            lambda u: 2500 * u.input_tokens + 7000 * u.completion_tokens + 300 * u.cache_read_tokens,
            "a price of its own: $2.5 input, $0.3 cache read, $7 output a million tokens",
        ),
    ],
    ids=["cached at the input's", "cached free", "batch", "a factor", "another day's", "its own"],
)
def test_another_price_is_found_out(tmp_path, price, said):
    usages = [
        Usage(input_tokens=100 + 2 * n, cache_read_tokens=20 + 2 * (n % 3), output_tokens=20 + 4 * (n % 5))
        for n in range(20)
    ]
    made = [asked(number, at_ms=NOON_MS + number, usage=usage) for number, usage in enumerate(usages)]
    put(tmp_path, *made)
    rows = [
        row | {"spend": f"{Decimal(price(of(each).usage)).scaleb(-9):f}"}
        for row, each in zip(spend_logs(made), made, strict=True)
    ]
    found, told = held(tmp_path, csv_text(rows))
    assert {each.kind for each in told} == {"price"}
    (what,) = the(found, "price").what
    assert what.startswith("big at openai, on 2026-05-28, 20 attempts: they follow ")
    assert said in what


def test_a_price_that_is_none_is_said_to_be_none(tmp_path):
    put(tmp_path, *CALLS[:2])
    rows = [row | {"spend": spend} for row, spend in zip(spend_logs(CALLS[:2]), ("0.1", "0.7"), strict=True)]
    found, _ = held(tmp_path, csv_text(rows))
    assert the(found, "price").what[0].endswith("none of those which we know")
    without, _ = held(tmp_path, csv_text(rows), config=None)
    assert the(without, "price").count == 2


def test_rounding_is_told_apart_from_a_difference(tmp_path):
    put(tmp_path, *CALLS)
    rounded = [row | {"spend": f"{Decimal(row['spend']):.5f}"} for row in spend_logs(CALLS)]
    found, told = held(tmp_path, csv_text(rounded))
    assert (found.equal, told) == (True, [])
    assert found.difference_usd
    assert the(found, "rounding").difference_usd == found.difference_usd
    assert any("rounded to $0.00001" in remark for remark in found.remarks)
    more = changed(rounded, 2, spend=f"{Decimal(rounded[2]['spend']) + Decimal('0.00001'):f}")
    assert not held(tmp_path, csv_text(more))[0].equal


def test_a_simulators_invoice_is_never_rounded_however_round_its_amounts_are(tmp_path):
    """The amounts of a nano-dollar price list may all end in zeros: a nano-dollar more is a difference all the same."""
    calls = [asked(number, at_ms=NOON_MS + number * 1000, simulated=True) for number in range(30)]
    put(tmp_path, *calls)
    rows = [
        {
            "request_id": of(each).upstream_id,
            "model": of(each).upstream_model,
            "at": each.at_ms,
            "outcome": "ok",
            "usage_reported": "True",
            "cost_nusd": of(each).cost_nusd,
            **{name: getattr(of(each).usage, name) for name in TOKENS},
        }
        for each in calls
    ]
    found, _ = held(tmp_path, csv_text(rows))
    assert (found.equal, found.format) == (True, "simulator")
    assert not any("rounded" in remark for remark in found.remarks)
    more, _ = held(tmp_path, csv_text(changed(rows, 4, cost_nusd=rows[4]["cost_nusd"] + 1)))
    assert (more.equal, more.difference_usd) == (False, Decimal("1e-9"))


def test_floats_with_a_noise_in_their_last_digits_are_equal(tmp_path):
    put(tmp_path, *CALLS)
    rows = [row | {"spend": float(row["spend"]) * (1 + 1e-15)} for row in spend_logs(CALLS)]
    found, told = held(tmp_path, lines(*rows), suffix="jsonl")
    assert (found.equal, told) == (True, [])


def test_the_span_may_be_given_and_what_lies_outside_is_said(tmp_path):
    put(tmp_path, *CALLS)
    whole = csv_text(spend_logs(CALLS))
    found, _ = held(tmp_path, whole, since_ms=NOON_MS + 10_000, until_ms=NOON_MS + 20_000)
    assert (found.equal, found.theirs.count, found.ours.count) == (True, 10, 10)
    assert any("outside of the span" in remark for remark in found.remarks)
    with pytest.raises(ConfigError, match="no line of the account lies in this span"):
        held(tmp_path, whole, since_ms=NOON_MS + 10 * 86_400_000)


def test_attempts_before_and_behind_the_account_are_not_missing_in_it(tmp_path):
    put(tmp_path, *CALLS)
    found, told = held(tmp_path, csv_text(spend_logs(CALLS[5:10])))
    assert (found.equal, told, found.ours.count) == (True, [], 5)
    assert any("before the account's first line or after its last" in remark for remark in found.remarks)


def test_lines_and_attempts_that_cost_nothing_are_no_difference(tmp_path):
    refused = asked(80, status="refused", usage=Usage(), usage_source="none", cost_nusd=0, upstream_id="")
    put(tmp_path, *CALLS, refused)
    free = spend_logs(CALLS)[0] | {
        "request_id": "free",
        "spend": "0",
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }
    found, _ = held(tmp_path, csv_text([*spend_logs(CALLS), free]))
    assert (found.equal, found.theirs.count, found.ours.count) == (True, 30, 30)


def test_whose_account_it_is_must_be_clear(tmp_path):
    put(tmp_path, *CALLS, asked(90, provider="other"))
    with pytest.raises(ConfigError, match=r"--provider: say whose account .* openai or other"):
        held(tmp_path, csv_text(spend_logs(CALLS)))
    with pytest.raises(ConfigError, match=r"no attempt of 'opnai'; it has openai, other"):
        held(tmp_path, csv_text(spend_logs(CALLS)), providers=("opnai",))
    assert held(tmp_path, csv_text(spend_logs(CALLS)), providers=("openai",))[0].equal


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_causes_add_up_to_the_whole_difference(tmp_path_factory, data):
    state = tmp_path_factory.mktemp("state")
    made, rows = [], []
    for number in range(data.draw(st.integers(2, 25))):
        source = data.draw(st.sampled_from(["reported", "reported", "estimated"]))
        fields = {"usage_source": source, "upstream_id": data.draw(st.sampled_from(["", f"id-{number}"]))}
        one = asked(number, at_ms=NOON_MS + number * data.draw(st.sampled_from([100, 70_000])), **fields)
        made.append(one)
        row = spend_logs([one])[0]
        for change in data.draw(
            st.lists(st.sampled_from(["spend", "id", "twice", "tokens", "none"]), max_size=2)
        ):
            row = row | {
                "spend": {"spend": data.draw(st.sampled_from(["0.1", "0.0000001234567"]))},
                "id": {"request_id": f"other-{number}"},
                "tokens": {"prompt_tokens": 7},
            }.get(change, {})
            if change == "twice":
                rows.append(row)
            row = None if change == "none" else row
            if row is None:
                break
        if row is not None:
            rows.append(row)
    put(state, *made)
    if not rows:
        return
    found, told = held(state, csv_text(rows))
    assert sum(cause.difference_usd for cause in found.causes) == found.difference_usd
    for name, apart in found.difference_tokens.items():
        assert sum(cause.tokens.get(name, 0) for cause in found.causes) == apart
    assert sum(cause.count for cause in found.causes if cause.kind != "rounding") == len(told)
    assert found.theirs.count - found.matched == sum(not each.call for each in told)
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_pairs_in_time_never_reach_further_than_a_minute(tmp_path):
    late = asked(1, at_ms=NOON_MS + by_request.PAIR_MS + 1, upstream_id="", usage_source="estimated")
    put(tmp_path, late, asked(2, at_ms=NOON_MS + 3 * by_request.PAIR_MS))
    rows = spend_logs([asked(9), asked(2, at_ms=NOON_MS + 3 * by_request.PAIR_MS)])
    _, told = held(tmp_path, csv_text(rows))
    assert sorted(each.kind for each in told) == ["estimated", "only-theirs"]
