"""Answers to look at: which are shown, what is marked, and that nothing of them runs in a browser."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evals import example, run_of

from smallfirst.errors import EvalError
from smallfirst.evals.inspection import inspect
from smallfirst.evals.page import run_page
from smallfirst.evals.picture import draw_arms
from smallfirst.evals.run_report import run_report
from smallfirst.evals.text_diff import side_by_side

EXAMPLES = [example(at) for at in range(4)]
RUN = run_of({"small": [1, 0, 0.5, 1], "big": [1, 1, 1, 1]}, EXAMPLES)


def test_examples_are_found_by_what_is_wrong_with_them() -> None:
    assert [one.example.id for one in inspect(RUN, EXAMPLES)] == ["e-0", "e-1", "e-2", "e-3"]
    assert [one.example.id for one in inspect(RUN, EXAMPLES, where="wrong")] == ["e-1", "e-2"]
    assert inspect(RUN, EXAMPLES, where="wrong", arm="big") == []
    assert [one.example.id for one in inspect(RUN, EXAMPLES, where="differ")] == ["e-1", "e-2"]
    assert inspect(RUN, EXAMPLES, where="unmet") == []
    assert [one.example.id for one in inspect(RUN, EXAMPLES, example="e-3")] == ["e-3"]
    for wrong in ({"where": "bad"}, {"example": "x"}, {"arm": "medium"}):
        with pytest.raises(EvalError):
            inspect(RUN, EXAMPLES, **wrong)


@given(st.text(max_size=80), st.text(max_size=80))
def test_pieces_are_their_texts(one: str, other: str) -> None:
    left, right = side_by_side(one, other)
    assert "".join(piece.text for piece in left) == one
    assert "".join(piece.text for piece in right) == other
    assert "".join(piece.text for piece in left if piece.same) == "".join(
        piece.text for piece in right if piece.same
    )


def test_what_differs_is_told_apart_by_words() -> None:
    left, _ = side_by_side("refund the second invoice", "refund the first invoice")
    assert [piece.text for piece in left if not piece.same] == ["second"]


class Tags(HTMLParser):
    """The tags of a page, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "action")]


HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\" ' & <!--"


def test_nothing_that_was_asked_or_answered_becomes_markup() -> None:
    examples = [
        example(
            0,
            id=HOSTILE,
            label=HOSTILE,
            messages=[{"role": "user", "content": HOSTILE}],
            slices={HOSTILE: HOSTILE},
        ),
        example(1),
    ]
    run = run_of({HOSTILE: [0, 1], "big": [1, 1]}, examples)
    answers = {
        key: msgspec.structs.replace(
            one, output=HOSTILE, note=HOSTILE, error=HOSTILE, unmet=HOSTILE, model=HOSTILE
        )
        for key, one in run.answers.items()
    }
    run = msgspec.structs.replace(run, answers=answers)
    hostile, plain = Tags(), Tags()
    hostile.feed(run_page(run_report(HOSTILE, run, examples, scorer=None), inspect(run, examples)))
    plain.feed(run_page(run_report("r-1", RUN, EXAMPLES[:2], scorer=None), inspect(RUN, EXAMPLES[:2])))
    assert hostile.tags.count("script") == plain.tags.count("script") == 1
    assert "img" not in hostile.tags
    assert hostile.fetched == []


def test_the_picture_names_its_arms(tmp_path) -> None:
    pytest.importorskip("vl_convert")
    report = run_report("r-1", RUN, EXAMPLES, scorer=None)
    unknown = msgspec.structs.replace(report.arms[0], name="unpriced", cost_usd_per_1000=None)
    assert draw_arms(tmp_path / "arms.svg", [*report.arms, unknown], title="triage") == 1
    text = (tmp_path / "arms.svg").read_text("utf-8")
    assert ">small<" in text
    assert "unpriced" not in text
