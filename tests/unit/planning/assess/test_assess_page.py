"""The report as a page and as a picture: whole, readable without a script, and safe whatever calls hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from support.features import call, category, feature, of_tickets, prices, record, summary, tickets

from smallfirst.errors import ConfigError
from smallfirst.planning.assess.judging.assessment import Settings, assess
from smallfirst.planning.assess.page import assess_page
from smallfirst.planning.assess.picture import draw_features

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[31m\x00"
_VOID = {"meta", "br", "rect", "input"}


@pytest.fixture(scope="module")
def report():
    features = [
        of_tickets(category),
        of_tickets(record, name="extract fields from tickets"),
        of_tickets(summary, name="summarise tickets", days=0.3),
        feature([call("a", "b", model="nobody-knows")] * 30, name="odd"),
    ]
    return assess(
        features, prices(), Settings(latency_ms=500), unsorted=feature([call("x")] * 3, name="unsorted")
    )


def hostile():
    calls = [
        call(f"{HOSTILE} {at} {row['input']}", f"{HOSTILE[:24]}{at % 3}", model=HOSTILE)
        for at, row in enumerate(tickets(60))
    ]
    found = feature(calls, name=f"classify {HOSTILE}", tasks={HOSTILE: 60})
    return assess([found], prices(), Settings(examples=True))


class Reader(HTMLParser):
    """Notes the elements, and that each is closed in its turn."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_says_what_to_do(report):
    page = assess_page(report)
    read = Reader(page)
    for told in (
        "classify support tickets",
        "two of three: prototype",
        "keep it on the frontier",
        "Is there enough of it?",
        "labels: ",
        "JSON of 6 fields",
        "[tasks.classify-support-tickets]",
        "nobody-knows",
        "Unsorted: 3 calls",
        "Prices of 2026-11-26",
        "agreement with the recorded answers",
    ):
        assert told in read.text, told
    assert sum(tag == "rect" for tag, _ in read.seen) == 4


def test_the_page_fetches_and_runs_nothing(report):
    page = assess_page(report)
    tags = {tag for tag, _ in Reader(page).seen}
    assert not tags & {"script", "img", "link", "iframe", "object", "form", "input"}
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)


def test_hostile_texts_are_shown_and_do_nothing():
    page = assess_page(hostile())
    read = Reader(page)
    assert not {tag for tag, _ in read.seen} & {"script", "img"}
    assert not [attrs for _, attrs in read.seen if any(name.startswith("on") for name in attrs)]
    assert "<script>alert(1)</script>" in read.text


def test_without_examples_nobodys_words_are_on_the_page(report):
    page = assess_page(report)
    for row in tickets(50):
        assert row["input"][:60] not in page
        assert row["summary"][:40] not in page


def test_no_features_make_a_page_too():
    report = assess([], prices(), Settings())
    assert "No feature was found" in assess_page(report)


@pytest.mark.parametrize("name", ["features.svg", "features.png"])
def test_the_picture_is_drawn(report, tmp_path, name):
    draw_features(tmp_path / name, report)
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith(b"<svg" if name.endswith("svg") else b"\x89PNG")
    if name.endswith("svg"):
        assert b"classify support tickets" in drawn
        assert b"keep it on the frontier" in drawn


def test_a_picture_of_hostile_names_is_a_picture(tmp_path):
    draw_features(tmp_path / "a.svg", hostile())
    assert b"<script>" not in (tmp_path / "a.svg").read_bytes()


def test_a_picture_of_another_kind_is_refused(report, tmp_path):
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        draw_features(tmp_path / "a.pdf", report)
