"""Personal data goes, the task stays learnable: the same placeholder for the same value, in the reference too."""

from __future__ import annotations

import re

import pytest
from support.datasets import ALL_KINDS, row

from smallfirst.config.learning import PERSONAL_DATA
from smallfirst.config.schema import Learning
from smallfirst.datasets.redaction import Redactor
from smallfirst.errors import ConfigError


def redacted(text: str, reference: object = None, *, patterns: tuple[str, ...] = ()) -> tuple[str, object]:
    found = Redactor(ALL_KINDS, patterns).redact(row(text, reference))
    return found.messages[0]["content"], found.reference


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Write to jane.doe+x@example.co.uk!", "Write to <EMAIL_1>!"),
        ("jane@münchen.de", "<EMAIL_1>"),
        ("Call +49 30 901820 now", "Call <PHONE_1> now"),
        ("(415) 555-2671", "<PHONE_1>"),
        ("0044 20 7946 0958", "<PHONE_1>"),
        ("DE89 3704 0044 0532 0130 00 is mine", "<IBAN_1> is mine"),
        ("de89370400440532013000", "<IBAN_1>"),
        ("card 4111-1111-1111-1111.", "card <CREDIT_CARD_1>."),
        ("ssn 536-90-4399", "ssn <SSN_1>"),
        ("from 10.0.0.1 and 2001:db8::1", "from <IP_1> and <IP_2>"),
    ],
)
def test_each_kind_is_found(text: str, wanted: str) -> None:
    assert redacted(text)[0] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3, at 12:30:45 on 2026-11-24",
        "order 4111111111111112 and 1234567890",  # no valid card; a row of digits is no telephone number
        "DE00 3704 0044 0532 0130 00",  # wrong check digits
        "a::b, std::vector, 300.1.1.1",
        "customer@ and @handle",
        "900-11-1111",
        "1,234,567.89 for 12 345 pieces",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redacted(text)[0] == text


def test_a_value_has_one_placeholder_in_all_its_spellings() -> None:
    text, reference = redacted(
        "I am Jo, +1 415 555 2671, jo@x.example. Again: JO@x.example, 415-555-2671; cc al@x.example",
        {"phone": "4155552671", "as number": 14155552671, "mail": "jo@x.example", "other": ["al@x.example"]},
    )
    assert text == "I am Jo, <PHONE_1>, <EMAIL_1>. Again: <EMAIL_1>, <PHONE_1>; cc <EMAIL_2>"
    assert reference == {
        "phone": "<PHONE_1>",
        "as number": "<PHONE_1>",
        "mail": "<EMAIL_1>",
        "other": ["<EMAIL_2>"],
    }


def test_messages_tools_slices_and_ids_are_redacted_and_the_apis_words_are_not() -> None:
    given = row("x", id="jo@x.example", slices={"who": "jo@x.example"})
    parts = [
        {"type": "text", "text": "jo@x.example"},
        {"type": "image_url", "image_url": {"url": "data:jo@x.example"}},
    ]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"to":"jo@x.example"}'}}
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "tool_calls": [call]}]
    redactor = Redactor(ALL_KINDS, ("user|content",))
    found = redactor.redact(
        given.__class__(
            **{name: getattr(given, name) for name in given.__struct_fields__} | {"messages": messages}
        )
    )
    assert found.messages[0]["role"] == "user"
    assert found.messages[0]["content"][0]["text"] == "<EMAIL_1>"
    assert found.messages[0]["content"][1]["image_url"]["url"] == "data:jo@x.example"
    assert found.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"to":"<EMAIL_1>"}'
    assert found.slices == {"who": "<EMAIL_1>"}
    assert found.id == ""
    assert redactor.counts == {"EMAIL": 1}


def test_a_call_s_id_is_ours_whatever_it_looks_like() -> None:
    card = "4111111111111111"
    mine = Redactor(ALL_KINDS).redact(row("hello", id=card, call=card))
    assert (mine.id, mine.call) == (card, card)
    assert Redactor(ALL_KINDS).redact(row("hello", id=card)).id == "", "a file's id may be a customer's"


def test_a_task_s_own_patterns_go_first() -> None:
    assert redacted("INV-123456 of a@x.example", "INV-123456", patterns=(r"INV-\d{6}",)) == (
        "<REDACTED_1> of <EMAIL_1>",
        "<REDACTED_1>",
    )


def test_nothing_is_taken_out_where_nothing_shall_be() -> None:
    given = row("a@x.example")
    assert Redactor(("none",)).redact(given) is given
    assert Redactor(("phone",)).redact(given) is given


def test_national_numbers_of_the_country_that_is_named() -> None:
    text = "Appelez le 01 42 68 53 00"
    assert Redactor(("phone:FR",)).redact(row(text)).messages[0]["content"] == "Appelez le <PHONE_1>"
    with pytest.raises(ConfigError, match=r"learning\.redact: 'phone:XX'"):
        Redactor(("phone:XX",))


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(ConfigError, match=r"learning\.redact: 'passport' is not known"):
        Redactor(("email", "passport"))
    with pytest.raises(ConfigError, match="not a regular expression"):
        Redactor((), ("(",))


def test_the_configuration_knows_every_kind_and_its_default_takes_them_all() -> None:
    assert set(PERSONAL_DATA) == set(ALL_KINDS) == set(Learning().redact)


def test_a_hostile_text_takes_no_time() -> None:
    """Patterns are linear: what nearly fits, over and over, ends soon (it would take hours otherwise)."""
    for piece in ("a.", "1 ", "a@a.", "DE12 ", ":0", "1-", "+1"):
        redacted(piece * (20_000 // len(piece)))


def test_every_placeholder_tells_its_kind() -> None:
    text = redacted(
        "a@x.example, +1 415 555 2671, DE89370400440532013000, 4111111111111111, 10.0.0.1, 536-90-4399"
    )[0]
    assert re.findall(r"<([A-Z_]+)_\d+>", text) == ["EMAIL", "PHONE", "IBAN", "CREDIT_CARD", "IP", "SSN"]
