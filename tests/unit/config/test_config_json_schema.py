"""The JSON Schema for editors agrees with the reader."""

from __future__ import annotations

import json
import tomllib

import jsonschema_rs
import pytest
from wrong_shapes import WRONG

from smallfirst.config.example import starter
from smallfirst.config.json_schema import json_schema

VALIDATOR = jsonschema_rs.validator_for(json_schema())


def _as_json(text: str) -> object:
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def test_it_accepts_what_the_reader_accepts() -> None:
    VALIDATOR.validate(_as_json(starter({}, installed=lambda _: True)))
    VALIDATOR.validate(
        _as_json("[tenants.t.budget]\nusd_per_day = 2.5\n[tenants.u.budget]\nusd_per_day = '2.5'")
    )


# JSON has no dates, no NaN and no difference between 8080 and 8080.0; a schema knows no calendar.
BEYOND = ("nan", "inf", "1e999", "2026-02-30", "2026-01-01", "8080.0", "1e99", "'much'", "'$5'", "'1,000'")


@pytest.mark.parametrize("text", [text for text, _ in WRONG if not any(word in text for word in BEYOND)])
def test_it_refuses_what_the_reader_refuses(text: str) -> None:
    assert not VALIDATOR.is_valid(_as_json(text))


def test_docstrings_and_comments_become_descriptions() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["Task"]["description"].startswith("A named kind of call.")
    assert (
        definitions["Task"]["properties"]["margin"]["description"] == "the loss of quality that is acceptable"
    )
    assert definitions["Model"]["properties"]["hourly_usd"]["description"].startswith(
        "what an hour of the machine costs"
    )
    assert definitions["LabelContract"]["description"].startswith("One label, several")
