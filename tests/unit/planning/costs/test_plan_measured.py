"""What the ledger has measured: the shares, tokens and peak of a plan, from calls whose figures are known."""

import msgspec
import pytest
from support.ledger import AT_MS, HOUR_MS, attempt, call, settlement

from smallfirst.chat import Usage
from smallfirst.config.load import parse
from smallfirst.errors import StateError
from smallfirst.ledger.ledger import Ledger
from smallfirst.planning.costs.measured import measured

CONFIG = parse("""
[providers.sold]
kind = "openai"
[models.frontier]
provider = "sold"
[models.small]
provider = "sold"
[models.own]
provider = "sold"
hourly_usd = 2
""")
HOUR = AT_MS // HOUR_MS
LONG = Usage(input_tokens=600, cache_read_tokens=200, output_tokens=150, reasoning_tokens=50)


def small(model="small"):
    return attempt(0, model=model, frontier=False, cost_nusd=10)


def unasked(one):
    return msgspec.structs.replace(one, attempts=())


def hour_of(hour, times=1):
    """Ten calls: two from the cache, two climb, one goes to the frontier at once, five stay small."""
    at = {"at_ms": AT_MS + hour * HOUR_MS}
    for _ in range(times):
        yield from (call(small(), cache="miss", **at) for _ in range(5))
        yield from (call(small(), attempt(1, usage=LONG), cache="miss", **at) for _ in range(2))
        yield call(attempt(0, usage=LONG), cache="miss", **at)
        for _ in range(2):
            yield unasked(call(cache="exact", saved_nusd=5, cost_nusd=0, **at))


def put(state, calls):
    ledger = Ledger.open(state)
    for one in calls:
        ledger.journal.append_settlement(settlement(one))
    ledger.close()


def test_every_share_is_what_was_recorded(tmp_path):
    others = [
        call(small("own"), task="other", at_ms=AT_MS),
        call(origin="eval"),
        unasked(call(status="refused", http_status=429)),
    ]
    put(
        tmp_path,
        [*(one for hour in range(30) for one in hour_of(hour, times=4 if hour == 12 else 1)), *others],
    )
    with Ledger.read(tmp_path) as ledger:
        found = measured(ledger, CONFIG, task="triage")
        everything = measured(ledger, CONFIG)
        later = measured(ledger, CONFIG, task="triage", since_hour=HOUR + 20)
    values = {name: value for name, (value, _) in found.inputs.items()}
    assert values == {
        "calls_per_day": pytest.approx(330 / 30 * 24),
        "peak_factor": pytest.approx(40 / 11),
        "cache_hit_rate": pytest.approx(0.2),
        "frontier_share": pytest.approx(3 / 8),
        "climbed_share": pytest.approx(2 / 3),
        "cached_share": pytest.approx(0.25),
        "input_tokens": pytest.approx(800),
        "output_tokens": pytest.approx(200),
        "frontier": "frontier",
        "hosted": "small",
    }
    assert found.inputs["cache_hit_rate"][1] == "the cache answered 66 of 330 calls"
    assert everything.inputs["calls_per_day"][0] == pytest.approx(331 / 30 * 24)
    assert later.inputs["calls_per_day"][0] == pytest.approx(240)
    assert {one.model for one in found.latency} == {"frontier", "small"}
    assert any("only 30 h were" in remark for remark in found.remarks)


def test_nothing_to_measure_is_said(tmp_path):
    put(tmp_path, [call(status="error", http_status=502, task="broken"), *hour_of(0)])
    with Ledger.read(tmp_path) as ledger:
        with pytest.raises(StateError, match="no calls of the task 'nobody'"):
            measured(ledger, CONFIG, task="nobody")
        with pytest.raises(StateError, match="no calls"):
            measured(ledger, CONFIG, since_hour=HOUR + 10)
