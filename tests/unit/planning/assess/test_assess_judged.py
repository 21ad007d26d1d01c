"""A feature is judged by its numbers: three questions, a verdict with its reasons, what it costs, and a task that a configuration takes."""

from __future__ import annotations

import json
import random
from functools import cache

import msgspec
import pytest
from support.features import (
    DAY_MS,
    FIRST_MS,
    HOUR_MS,
    MODEL,
    TODAY,
    call,
    category,
    feature,
    of_tickets,
    prices,
    record,
    summary,
    tickets,
)

from smallfirst.config.check import check
from smallfirst.config.example import starter
from smallfirst.config.load import parse
from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.judging.assessment import Settings, assess
from smallfirst.planning.assess.judging.money import Gpu
from smallfirst.planning.assess.judging.suggestion import task_name
from smallfirst.planning.costs.quote import read_quote

DAYS = 10


def judged(*features, settings=Settings(), **told):
    return assess(list(features), prices(**told), settings)


def one(found, settings=Settings(), **told):
    (alone,) = judged(found, settings=settings, **told).features
    return alone


CATEGORY = of_tickets(category)


@cache
def of_category(settings=Settings()):
    return one(CATEGORY, settings=settings)


def answers(assessed):
    return {question.name: question.answer for question in assessed.questions}


def spread(count, answer="yes", *, days=DAYS, asked="Is it {}?", **told):
    """Calls evenly over whole days."""
    step = int(days * DAY_MS) // count
    return [
        call(asked.format(at % 40), answer, at_ms=FIRST_MS // DAY_MS * DAY_MS + at * step, **told)
        for at in range(count)
    ]


# Volume.


def test_volume_is_the_mean_over_the_whole_stream_and_its_busiest_day():
    calls = [
        *spread(1000),
        *(
            call("again", "yes", at_ms=FIRST_MS // DAY_MS * DAY_MS + 3 * DAY_MS + 7 * HOUR_MS)
            for _ in range(500)
        ),
    ]
    volume = one(feature(calls)).volume
    assert volume.calls_per_day == pytest.approx(150, rel=0.01)
    assert volume.busiest_day_calls == 600
    assert volume.busiest_hour_calls == pytest.approx(504, abs=1)
    assert volume.peak_factor == pytest.approx(504 / 6.25, rel=0.02)


def test_a_feature_that_began_late_is_counted_over_the_same_time():
    early, late = feature(spread(1000)), feature(spread(1000)[900:], name="late")
    volumes = {found.name: found.volume.calls_per_day for found in judged(early, late).features}
    assert volumes["late"] == pytest.approx(volumes["classify support tickets"] / 10, rel=0.01)


def test_less_than_a_day_is_not_known_unless_it_is_enough_already():
    assert answers(one(feature(spread(60, days=0.5))))["volume"] == "unknown"
    busy = feature(spread(60, days=0.5), calls=120_000)
    assert answers(one(busy))["volume"] == "yes"
    undated = one(feature([call("a", "yes")] * 30))
    assert answers(undated)["volume"] == "unknown"
    assert "--calls-per-day" in undated.questions[0].why


def test_what_the_user_says_of_the_volume_is_shared_out():
    report = judged(
        feature([call(str(at), "yes") for at in range(90)]),
        feature([call(str(at), "no") for at in range(10)], name="rare"),
        settings=Settings(calls_per_day=1_000_000),
    )
    assert [found.volume.calls_per_day for found in report.features] == [900_000, 100_000]
    assert all(answers(found)["volume"] == "yes" for found in report.features)


@pytest.mark.parametrize(("a_day", "answer"), [(99_999, "no"), (100_000, "yes")])
def test_the_threshold_is_a_hundred_thousand_a_day(a_day, answer):
    assert answers(one(feature(spread(100)), settings=Settings(calls_per_day=a_day)))["volume"] == answer


# Narrow.


def test_labels_and_one_shape_are_narrow_and_written_text_about_anything_is_not():
    assert answers(of_category())["narrow"] == "yes"
    assert answers(one(of_tickets(record)))["narrow"] == "yes"
    assert answers(one(of_tickets(summary)))["narrow"] == "no"


def test_a_few_kinds_of_question_are_narrow_whatever_is_answered():
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"]
    draw = random.Random(4)
    asked = ["Where is my parcel", "How do I reset my password", "What does the premium plan cost"]
    calls = [call(asked[at % 3], " ".join(draw.choices(words, k=30))) for at in range(150)]
    assert answers(one(feature(calls)))["narrow"] == "yes"


def test_a_small_sample_says_nothing_of_width():
    assert (
        answers(one(feature([call(str(at), "yes" if at % 2 else "no") for at in range(50)])))["narrow"]
        == "unknown"
    )


# Latency.


def test_latency_is_held_against_what_is_wanted():
    assert answers(of_category(Settings(latency_ms=500)))["latency"] == "yes"
    assert (
        answers(one(feature(spread(100, latency_ms=2000.0)), settings=Settings(latency_ms=5000)))["latency"]
        == "no"
    )
    assert answers(of_category())["latency"] == "unknown"
    assert answers(one(feature(spread(100)), settings=Settings(latency_ms=500)))["latency"] == "unknown"


def test_of_streamed_calls_the_first_token_is_what_users_wait_for():
    calls = spread(200, stream=True, latency_ms=9000.0)
    found = feature(calls, first_token={int(16 * 17.6): 200})  # about 200 ms
    assert answers(one(found, settings=Settings(latency_ms=500)))["latency"] == "no"


def test_the_tasks_latency_and_margin_are_taken_from_the_configuration():
    config = parse(
        starter({})
        + '\n[tasks.triage]\nladder = ["frontier"]\nlatency_ms = 700\nmargin = 0.07\ncontract = { type = "label", labels = ["a", "b"] }\n'
    )
    found = feature(spread(120, task="triage", latency_ms=900.0))
    (alone,) = assess([found], prices(), Settings(), config=config).features
    assert alone.latency.budget_ms == 700
    assert alone.small.margin == 0.07
    assert answers(alone)["latency"] == "yes"


# Verdict.


def test_three_times_yes_is_a_candidate_and_twice_a_prototype():
    busy = Settings(latency_ms=500, calls_per_day=200_000)
    assert of_category(settings=busy).verdict.words == "candidate"
    assert of_category(settings=Settings(latency_ms=500)).verdict.words == "two of three: prototype"
    assert one(of_tickets(summary)).verdict.words == "keep it on the frontier"
    assert one(of_tickets(category, days=0.4)).verdict.words == "not known yet"


def test_three_times_yes_is_no_candidate_before_a_small_model_has_shown_something():
    busy = Settings(latency_ms=500, calls_per_day=200_000)
    draw = random.Random(7)
    few_kinds = feature(
        [
            call(f"Where is parcel {at}?", f"It left hub {at * 7} and {row['summary']}", latency_ms=2000)
            for at, row in enumerate(tickets())
        ]
    )
    chance = feature(
        [
            call(row["input"], draw.choice(["red", "green", "blue", "grey"]), latency_ms=2000)
            for row in tickets()
        ]
    )
    for found, missing in ((few_kinds, "how much a small model takes"), (chance, "takes at most")):
        verdict = one(found, settings=busy).verdict
        assert (verdict.yes, verdict.decision, verdict.words) == (3, "prototype", "prototype first")
        assert missing in verdict.missing[0]


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ({"tools": 6}, "6 tools"),
        ({"tool_calls": 130}, "50% of the answers ask for tools"),
        ({"reasoning_tokens": 4_160}, "80% of what is written is reasoning"),
    ],
)
def test_what_speaks_against_a_feature_names_its_number(told, number):
    found = msgspec.structs.replace(feature(spread(260)), **told)
    verdict = one(found, settings=Settings(latency_ms=500, calls_per_day=10**6)).verdict
    assert verdict.decision == "frontier"
    assert any(number in reason for reason in verdict.against), verdict.against


def test_five_tools_do_not_speak_against_it():
    assert not one(feature(spread(40), tools=5)).verdict.against


def test_long_answers_in_steps_stay_on_the_frontier():
    steps = "\n".join(
        f"{n}. Then consider what follows from the step before, and why it does so in this case of the two."
        for n in range(1, 30)
    )
    found = feature([call(f"Derive the bound number {at}", f"{steps}\nSo {at}.") for at in range(150)])
    verdict = one(found, settings=Settings(calls_per_day=10**6, latency_ms=1)).verdict
    assert any("go through steps" in reason for reason in verdict.against)


def test_without_answers_there_is_nothing_to_train_on():
    found = one(feature(spread(200, answer="")))
    assert found.verdict.decision == "frontier"
    assert "no data to train on" in found.verdict.against[0]
    assert found.small.known == "unknown"
    assert found.suggestion is None


# What a small model takes.


def test_of_labels_the_share_is_measured_with_an_interval():
    small = of_category().small
    assert small.known == "measured"
    assert small.rows == len(tickets())
    assert small.low is not None
    assert small.middle is not None
    assert small.high is not None
    assert 0.02 < small.low < small.middle < small.high < 0.9
    assert "agreement" in small.told


def test_a_wider_margin_takes_more():
    shares = [of_category(Settings(margin=margin)).small.middle for margin in (0.01, 0.05, 0.2)]
    assert shares == sorted(shares)
    assert shares[0] < shares[2]


def test_answers_that_have_nothing_to_do_with_the_input_are_not_taken():
    draw = random.Random(7)
    calls = [call(row["input"], draw.choice(["red", "green", "blue", "grey"])) for row in tickets()]
    small = one(feature(calls)).small
    assert small.high is not None
    assert small.high < 0.2


def test_too_few_inputs_say_how_many_are_needed():
    found = feature([call(f"Question {at % 50}", "yes" if at % 2 else "no") for at in range(1000)])
    small = one(found).small
    assert small.known == "unknown"
    assert "different inputs with an answer: 50" in small.told
    assert "200" in small.told


def test_of_json_a_rough_range_is_given_and_of_text_none():
    fields, text = one(of_tickets(record)).small, one(of_tickets(summary)).small
    assert fields.known == "rough"
    assert fields.high is not None
    assert fields.high > 0.9
    assert text.known == "unknown"
    assert "smallfirst train" in text.told


# A cache.


def test_exact_repeats_are_those_of_all_calls():
    found = one(of_tickets(category, count=800)).cacheable
    assert found.exact == pytest.approx(1 - len({row["input"] for row in _drawn()}) / 800)
    assert found.semantic_high is not None
    assert found.semantic_high >= found.exact
    assert found.within_ttl is not None
    assert found.within_ttl < found.exact


def _drawn():
    return random.Random(0).choices(tickets(), k=800)


def test_repeats_are_of_the_calls_whose_prompts_are_known():
    found = one(feature(spread(400), calls=800, inputs=400, requests=400))
    assert found.width.repeat_share == found.cacheable.exact == 0.9


def test_repeats_that_come_after_the_answers_are_gone_are_not_counted():
    calls = [
        call(f"Question {at % 100}", "yes", at_ms=FIRST_MS + (at // 100) * 3 * DAY_MS + at)
        for at in range(400)
    ]
    found = one(feature(calls)).cacheable
    assert found.exact == 0.75
    assert found.within_ttl is not None
    assert found.within_ttl == 0.0


# Money.


def test_failed_calls_that_tell_no_tokens_count_as_free_and_are_told():
    failed = [call("a", failed=True, input_tokens=None, output_tokens=None) for _ in range(50)]
    answered = [call("a", "yes") for _ in range(50)]
    money, alone = one(feature([*failed, *answered])).money, one(feature(answered)).money
    assert (money.free_calls, money.unknown_calls) == (50, 0)
    assert money.estimated_nusd == alone.estimated_nusd > 0
    assert money.usd_per_call == pytest.approx(alone.usd_per_call / 2)


def test_a_failed_call_that_was_cut_while_it_wrote_is_paid_for():
    cut = one(feature([call("a", failed=True)] * 50)).money
    assert (cut.free_calls, cut.estimated_nusd) == (
        0,
        one(feature([call("a", "yes")] * 50)).money.estimated_nusd,
    )


def test_a_call_is_priced_by_its_models_price_and_a_recorded_cost_is_kept():
    known = [call("a", "yes", at_ms=FIRST_MS + at * DAY_MS // 10, cost_nusd=1_000_000) for at in range(100)]
    money = one(feature(known)).money
    assert (money.known_nusd, money.estimated_nusd, money.unknown_calls) == (100_000_000, 0, 0)
    assert money.usd_per_call == pytest.approx(0.001)
    priced = one(feature(spread(100))).money
    assert priced.usd_per_call == pytest.approx((800 * 2.5 + 20 * 10) / 1e6)  # gpt-4o
    assert priced.usd_per_year == pytest.approx(priced.usd_per_call * 10 * 365, rel=0.02)
    assert priced.versions == ("genai-prices-0.2.3/openai/gpt-4o",)


def test_unknown_prices_are_named_and_in_no_sum():
    calls = [*spread(50), *spread(50, model="in-house-7")]
    money = one(feature(calls)).money
    assert money.unknown_models == ("in-house-7",)
    assert money.unknown_calls == 50
    assert money.priced_calls == 50
    alone = one(feature(spread(50, model="in-house-7"))).money
    assert alone.usd_per_call is None
    assert alone.usd_per_year is None


def test_an_unknown_price_can_be_taken_from_another_model():
    instead = read_quote("1/2", option="--price-as", input_tokens=800)
    money = one(feature(spread(50, model="in-house-7")), instead=instead).money
    assert money.usd_per_call == pytest.approx((800 + 40) / 1e6)
    assert "in its place" in money.versions[0]


def test_what_it_would_cost_follows_the_formula():
    money = one(of_tickets(record, count=800)).money
    less = money.with_small
    assert less is not None
    s, least, most = less.small_price, less.hit_rate_low, less.hit_rate_high
    cheap, dear = less.frontier_share_low, less.frontier_share_high
    assert s == pytest.approx((800 * 0.1 + 20 * 0.5) / (800 * 2.5 + 20 * 10))
    assert cheap is not None
    assert dear is not None
    assert least < most
    assert less.left_low == pytest.approx((1 - most) * (cheap + (1 - cheap) * s))
    assert less.left_high == pytest.approx((1 - least) * (dear + (1 - dear) * s))
    assert less.rough


def test_a_label_head_costs_nothing():
    less = of_category().money.with_small
    assert less is not None
    assert less.small_price == 0
    assert less.version == "in-process"


def test_own_gpus_break_even_where_the_arithmetic_says():
    gpu = Gpu(name="one", usd_per_hour=2.0, planned_rps=24.5, source="given")
    calls = spread(500, input_tokens=800, output_tokens=200, cost_nusd=5_400_000)
    own = one(feature(calls), gpu_for=lambda _: gpu).money.own
    assert own is not None
    # against $0.0054 a call two GPUs do, one of them to spare; against $0.00018 it takes three before it stays cheaper
    assert own.above_frontier == pytest.approx(2 * 48 / 0.0054)
    assert own.above_small == pytest.approx(3 * 48 / 0.00018)
    assert own.peak_assumed


def test_simulated_prices_are_marked():
    assert one(feature(spread(50)), simulated=frozenset({MODEL})).money.simulated


# The task.


@pytest.mark.parametrize(
    "answer",
    [
        category,
        record,
        summary,
        lambda row: row["priority"],
        lambda row: f"{row['category']}, {row['priority']}",
    ],
)
def test_the_suggested_task_is_one_that_a_configuration_takes(answer):
    suggestion = one(of_tickets(answer), settings=Settings(latency_ms=800)).suggestion
    assert suggestion is not None
    config = parse(starter({}) + "\n" + suggestion.toml)
    assert not [finding for finding in check(config) if finding.level == "error"]
    task = config.tasks[suggestion.task]
    assert task.latency_ms == 800
    assert task.keep_bodies


def test_odd_labels_and_names_make_valid_toml():
    labels = ['say "hi"', "back\\slash", "tab\there", "Übung", "[x]"]
    calls = [call(f"q {at}", labels[at % 5]) for at in range(200)]
    suggestion = one(feature(calls, name='</script> "odd"\n[tasks.x]')).suggestion
    assert suggestion is not None
    config = parse(starter({}) + "\n" + suggestion.toml)
    assert set(config.tasks[suggestion.task].contract.labels) == set(labels)
    assert not [finding for finding in check(config) if finding.level == "error"]


@pytest.mark.parametrize(
    ("name", "task"),
    [("Classify support tickets", "classify-support-tickets"), ("…", "feature"), ("a" * 90, "a" * 48)],
)
def test_task_names_are_names(name, task):
    assert task_name(name) == task


# The whole.


def test_only_the_largest_are_looked_at_and_the_rest_is_told():
    seen = (call("odd", "yes"),)
    features = [
        Feature(name=f"feature {n}", words=(), prompt="", calls=n + 1, sample=seen) for n in range(10_000)
    ]
    report = assess(
        features, prices(), Settings(judged=3), unsorted=feature([call("odd")] * 7, name="unsorted")
    )
    assert [found.name for found in report.features] == ["feature 9999", "feature 9998", "feature 9997"]
    assert report.rest.features == 9997
    assert report.rest.unsorted_calls == 7
    assert report.calls == sum(range(1, 10_001)) + 7
    assert report.made_on == TODAY


def test_one_call_is_judged_as_unknown():
    alone = one(feature([call("Hello", "Hi", at_ms=FIRST_MS)]))
    assert set(answers(alone).values()) == {"unknown"}
    assert alone.verdict.decision == "unknown"


def test_calls_without_messages_are_counted():
    calls = [call("", "", at_ms=FIRST_MS + at * HOUR_MS) for at in range(100)]
    for each in calls:
        each.messages.clear()
    alone = one(Feature(name="calls of x", words=(), prompt="", calls=100, sample=tuple(calls)))
    assert alone.width.sample == 0
    assert alone.cacheable.exact is None
    assert alone.tokens is None


def test_examples_are_in_the_report_only_where_they_are_wanted():
    found = of_tickets(category, count=100)
    asked = tickets()[0]["input"].strip()
    plain = json.dumps([str(part) for part in (judged(found),)])
    assert asked[:40] not in plain
    assert judged(found, settings=Settings(examples=True)).features[0].examples[0].input
    assert not judged(found).features[0].prompt


def test_the_same_seed_gives_the_same_report():
    found = of_tickets(category, count=400)
    assert judged(found) == judged(found)
