"""What inputs and answers look like: frames are taken off; labels, scales, lists and JSON are told apart; what is open is not called closed."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from support.features import call, category, of_tickets, record, summary, tickets

from smallfirst.classify.embedders import open_embedder
from smallfirst.planning.assess.judging.inputs import inputs_of
from smallfirst.planning.assess.judging.json_shape import Shape, read_value
from smallfirst.planning.assess.judging.output import in_order, output_of
from smallfirst.planning.assess.judging.share import covering, unseen
from smallfirst.planning.assess.judging.width import entropy_bits, kinds_of, near_repeats, width_of


def vectors(texts):
    return open_embedder("wordllama").embed(texts)


# Inputs.


def test_a_prompt_that_is_written_into_the_users_message_is_taken_off():
    rows = tickets()[:60]
    draw = random.Random(1)
    framed = [
        call(
            f"Today is 2026-11-{draw.randrange(10, 30)}, request {draw.randrange(10**6)}.\n"
            f"Sort this ticket of Quillstock into one of 16 categories. Ticket: {row['input']}\n\nAnswer with the label alone."
        )
        for row in rows
    ]
    found = inputs_of(framed)
    assert sum(text == row["input"].strip() for text, row in zip(found, rows, strict=True)) >= 57
    assert not any("Quillstock into one of 16" in text or "label alone" in text for text in found)


def test_texts_without_a_frame_stay_as_they_are():
    rows = tickets()[:60]
    assert inputs_of([call(row["input"]) for row in rows]) == [row["input"].strip() for row in rows]


def test_a_text_of_nothing_but_frame_stays_whole():
    assert (
        inputs_of([call("What is the status of the system?")] * 20)
        == ["What is the status of the system?"] * 20
    )


def test_odd_messages_are_read_as_nothing():
    odd = [call("x") for _ in range(3)]
    odd[0].messages[0]["content"] = None
    odd[1].messages[0]["content"] = [{"type": "text", "text": "see"}, {"type": "image_url"}, "this", 3]
    odd[2].messages.clear()
    assert inputs_of(odd) == ["", "see\nthis", ""]


def test_a_huge_text_is_looked_at_at_both_ends():
    (text,) = inputs_of([call("a" * 50_000 + "b" * 50_000)])
    assert len(text) < 21_000
    assert text.startswith("aaa")
    assert text.endswith("bbb")


# Width.


def test_kinds_are_what_people_would_call_so():
    kinds = (
        ["Where is my parcel", "When will my parcel arrive", "Has my parcel been shipped"],
        ["How do I reset my password", "I forgot my password", "Please reset my password"],
        ["What is the weather in Berlin", "Will the weather be sunny in Berlin", "Weather forecast Berlin"],
    )
    texts = [text for kind in kinds for text in kind]
    found = kinds_of(vectors(texts))
    assert len(set(found.tolist())) == 3
    assert [len(set(found[at : at + 3].tolist())) for at in (0, 3, 6)] == [1, 1, 1]


def test_width_counts_kinds_by_their_share():
    texts = (
        ["Where is my parcel"] * 90 + ["How do I reset my password"] * 9 + ["Sing about elephants in Latin"]
    )
    width = width_of(texts, vectors(texts), repeat_share=0.97)
    assert (width.kinds, width.kinds_80, width.kinds_90, width.kinds_95) == (3, 1, 1, 2)
    assert width.unseen is not None
    assert width.unseen.value == 0.01
    assert 0.4 < width.entropy_bits < 0.7
    assert width.near_repeats is not None
    assert width.near_repeats.value == 0.97


def test_wide_inputs_have_kinds_that_the_sample_lacks():
    texts = [row["input"] for row in tickets(300)]
    width = width_of(texts, vectors(texts), repeat_share=0.0)
    assert width.kinds_90 > 100
    assert width.unseen is not None
    assert width.unseen.value > 0.3
    assert near_repeats(texts) == 0


def test_no_inputs_have_no_width():
    width = width_of([], np.zeros((0, 256), np.float32), repeat_share=0.0)
    assert width.sample == 0
    assert width.unseen is None


def test_near_repeats_are_those_that_come_again():
    first = "my scanner shows error E42 when I scan the second shelf in the cold room every morning before the shop opens at nine"
    assert (
        near_repeats(
            [first, first, first + " today", "something else that has no word in common at all here"]
        )
        == 2
    )


@pytest.mark.parametrize(
    ("counts", "bits"), [([1000, 1000], 1.0), ([2000], 0.0), ([500] * 8, 3.0), ([], 0.0)]
)
def test_entropy_is_in_bits(counts, bits):
    assert entropy_bits(counts) == pytest.approx(bits, abs=0.003)


def test_covering_takes_the_largest_first():
    assert [covering([1, 80, 15, 4], part) for part in (0.8, 0.9, 0.95, 1.0)] == [1, 2, 2, 4]


# Answers.


def test_labels_are_found_with_how_far_answers_keep_to_them():
    found = output_of(of_tickets(category).sample)
    assert found.form == "label"
    assert found.pick == "one"
    assert {label for label, _ in found.labels} == {row["category"] for row in tickets()}
    assert found.fits is not None
    assert found.fits.value == 1.0
    assert 3.9 < found.entropy_bits <= 4.05


def test_a_label_that_strays_is_counted_and_left_out():
    calls = [call(str(at), "yes" if at % 3 else "no") for at in range(300)]
    calls[7] = call("7", "I cannot say, since the picture is missing from the message that you sent")
    found = output_of(calls)
    assert {label for label, _ in found.labels} == {"yes", "no"}
    assert found.fits is not None
    assert found.fits.value == pytest.approx(299 / 300)
    assert found.new is not None
    assert found.new.value == pytest.approx(1 / 300)


def test_labels_that_keep_coming_are_no_set():
    assert output_of([call(str(at), f"tag-{at // 2}") for at in range(400)]).form == "text"
    draw = random.Random(5)
    growing = [call(str(at), f"tag-{int(draw.paretovariate(0.7))}") for at in range(600)]
    assert output_of(growing).form == "text"
    assert (
        output_of([call(str(at), f"name {at}" if at % 8 == 0 else "none") for at in range(400)]).form
        == "text"
    )


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (("high", "low", "urgent", "normal"), ["low", "normal", "high", "urgent"]),
        (("3", "1", "2", "10"), ["1", "2", "3", "10"]),
        (("Positive", "Negative", "Neutral"), ["Negative", "Neutral", "Positive"]),
    ],
)
def test_a_scale_is_told_from_its_words(labels, ordered):
    assert in_order(labels) == ordered
    found = output_of([call(str(at), labels[at % len(labels)]) for at in range(120)])
    assert found.pick == "ordinal"
    assert [label for label, _ in found.labels] == ordered


def test_two_labels_are_no_scale():
    assert in_order(["1", "0"]) is None
    assert in_order(["billing", "bug", "login"]) is None


def test_several_labels_and_ranked_ones_are_told_apart():
    draw = random.Random(2)
    names = ["red", "green", "blue", "grey"]
    several = [call(str(at), ", ".join(draw.sample(names, draw.choice((1, 2, 3))))) for at in range(200)]
    ranked = [call(str(at), json.dumps(draw.sample(names, 4))) for at in range(200)]
    assert (output_of(several).form, output_of(several).pick) == ("label", "several")
    assert (output_of(ranked).form, output_of(ranked).pick) == ("label", "ranked")


def test_json_gets_a_schema_with_its_enumerations_and_codes():
    found = output_of([call(row["input"], record(row)) for row in tickets(910)])
    assert found.form == "json"
    assert found.fits is not None
    assert found.fits.value > 0.99
    assert found.schema is not None
    properties = found.schema["properties"]
    assert properties["order_id"] == {"type": ["string", "null"], "pattern": "^QS-[0-9]{5}$"}
    assert "L4 Printer" in properties["product"]["anyOf"][0]["enum"]
    assert found.schema["additionalProperties"] is False


def test_json_of_many_shapes_does_not_fit():
    calls = [call(str(at), json.dumps({f"key{at}": at, f"other{at}": [at]})) for at in range(100)]
    found = output_of(calls)
    assert found.form == "json"
    assert found.fits is not None
    assert found.fits.value == 0.0


def test_fenced_json_is_read_and_counted():
    calls = [call(str(at), '```json\n{"a": 1}\n```' if at % 2 else '{"a": 2}') for at in range(60)]
    found = output_of(calls)
    assert found.form == "json"
    assert found.fenced == 30


def test_json_that_is_none_is_text():
    assert read_value('{"a": ') == (None, False)
    assert read_value("[" * 100_000) == (None, False)
    assert output_of([call(str(at), "{" + f"not json {at}") for at in range(60)]).form == "text"


def test_a_schema_says_numbers_lists_and_nulls():
    shape = Shape.of([{"a": 1, "b": [1, 2.5], "c": None}, {"a": 2.5, "b": [], "c": {"d": True}}])
    assert shape.schema() == {
        "type": "object",
        "additionalProperties": False,
        "required": ["a", "b", "c"],
        "properties": {
            "a": {"type": "number"},
            "b": {"type": "array", "items": {"type": "number"}},
            "c": {
                "type": ["object", "null"],
                "additionalProperties": False,
                "required": ["d"],
                "properties": {"d": {"type": "boolean"}},
            },
        },
    }
    assert (
        shape.valid([{"a": 3, "b": [4], "c": None}, {"a": "x", "b": [], "c": None}, {"b": [], "c": None}])
        == 1
    )


def test_summaries_are_text():
    assert output_of(of_tickets(summary).sample).form == "text"


def test_failed_calls_and_tool_calls_are_no_answers():
    calls = [call("a", "yes", failed=True)] * 30 + [call("b", "yes", calls_tools=True)] * 30
    found = output_of(calls)
    assert found.form == "none"
    assert found.tool_calls == 30


def test_few_answers_have_no_form():
    assert output_of([call("a", "yes")] * 5).form == "unknown"


def test_the_interval_of_what_a_sample_lacks_holds_it_as_often_as_it_says():
    """Of kinds as common as words are; a binomial interval holds it in three of four samples."""
    random = np.random.default_rng(0)
    part = 1 / np.arange(1, 301)
    part /= part.sum()
    held = 0
    for _ in range(400):
        counts = random.multinomial(2000, part)
        found = unseen(counts.tolist(), 2000)
        assert found is not None
        held += found.low <= part[counts == 0].sum() <= found.high
    assert held / 400 == pytest.approx(0.95, abs=0.035)


def test_where_nothing_stands_alone_the_interval_goes_up_from_nothing():
    found = unseen([50, 50], 100)
    assert found is not None
    assert (found.value, found.low) == (0.0, 0.0)
    assert 0.02 < found.high < 0.05
    assert unseen([], 0) is None


def test_json_around_written_text_is_not_narrow_for_being_json():
    draw, words = (
        random.Random(0),
        [
            "the",
            "a",
            "parcel",
            "left",
            "our",
            "hub",
            "on",
            "monday",
            "and",
            "is",
            "due",
            "with",
            "you",
            "by",
            "noon",
        ],
    )
    plain = [call(f"Question {at}", json.dumps({"reply": "yes", "code": at % 9})) for at in range(120)]
    wordy = [
        call(f"Question {at}", json.dumps({"reply": " ".join(draw.choices(words, k=40))}))
        for at in range(120)
    ]
    assert output_of(plain).closed
    found = output_of(wordy)
    assert (found.form, found.closed) == ("json", False)
    assert found.prose is not None
    assert found.prose.value == 1.0
