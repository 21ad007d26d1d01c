"""A label head from its artifact: the same answers, no texts, and no other embedder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from support.tickets import ELSEWHERE, SAID, WHERE, tickets, trained

from smallfirst.classify import artifact
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.label_head import LabelHead, head_from, load_head, read_header
from smallfirst.classify.store import Artifacts, Described
from smallfirst.errors import ReleaseError
from smallfirst.training.label_head import HeadFit

PLAIN = [
    "My bill was charged twice",
    "It crashes with a strange error",
    "How can I invite somebody",
    "refund the payment please " * 400,
    "",
    "?",
    "請求書",
    "zzz qqq",
]


@pytest.fixture(scope="module")
def fitted() -> HeadFit:
    return trained(tickets())


@pytest.fixture(scope="module")
def rejecting() -> HeadFit:
    return trained(tickets(elsewhere=True))


def head_of(fitted: HeadFit) -> LabelHead:
    return head_from(artifact.unpack(fitted.data), [open_embedder("wordllama")])


def test_it_has_learned_its_labels(fitted: HeadFit) -> None:
    head = head_of(fitted)
    assert (head.task, head.labels) == ("triage", ("billing", "bug", "how-to"))
    assert [head.answer(text).label for text in PLAIN[:4]] == ["billing", "bug", "how-to", "billing"]
    assert fitted.report["accuracy"] > 0.9, "each row unseen"


def test_whatever_is_asked_its_figures_are_probabilities(fitted: HeadFit) -> None:
    for text in PLAIN:
        answer = head_of(fitted).answer(text)
        assert answer.label in (*SAID, "oos")
        assert 0 <= answer.confidence <= 1
        assert 0 <= answer.out_of_scope <= 1


def test_it_answers_the_same_from_its_artifact(tmp_path: Any, fitted: HeadFit) -> None:
    store = Artifacts(tmp_path)
    sha256 = store.save(fitted.data, Described(at_ms=1, kind="head", task="triage"))
    loaded, here = load_head(store.path(sha256)), head_of(fitted)
    assert loaded.sha256 == sha256
    assert [loaded.answer(text) for text in PLAIN] == [here.answer(text) for text in PLAIN]


def test_the_same_rows_make_the_same_bytes(fitted: HeadFit) -> None:
    assert trained(tickets()).data == fitted.data


def test_a_text_is_answered_alone_as_among_others(rejecting: HeadFit) -> None:
    head = head_of(rejecting)
    for text, among in zip(PLAIN, head.answer_all(PLAIN, lambda *_: None), strict=True):
        alone = head.answer(text)
        assert alone.label == among.label
        assert alone.confidence == pytest.approx(among.confidence, abs=1e-5)
        assert alone.out_of_scope == pytest.approx(among.out_of_scope, abs=1e-5)


def test_what_is_elsewhere_is_rejected_where_that_was_shown(rejecting: HeadFit) -> None:
    head = head_of(rejecting)
    assert head.header.rejects
    assert "oos" not in head.labels
    said = [f"{one} {where}" for one in ELSEWHERE for where in ("yesterday", "today")]
    assert sum(head.answer(text).label == "oos" for text in said) >= 7
    assert all(head.answer(text).label != "oos" for some in SAID.values() for text in some)


def test_without_such_rows_nothing_is_rejected_but_the_score_still_tells(fitted: HeadFit) -> None:
    head = head_of(fitted)
    assert not head.header.rejects
    inside = [head.answer(row.text) for row in tickets()]
    outside = [head.answer(text) for text in ELSEWHERE]
    assert all(answer.label != "oos" for answer in inside + outside)
    assert np.median([a.out_of_scope for a in outside]) > np.median([a.out_of_scope for a in inside])


def test_no_text_of_its_examples_is_in_it(rejecting: HeadFit) -> None:
    """Weights travel with a release; what customers wrote stays."""
    held = rejecting.data.lower()
    for sentence in (*(one for some in SAID.values() for one in some), *ELSEWHERE, *WHERE):
        for word in sentence.lower().split():
            if len(word) > 4:
                assert word.encode() not in held, word
    assert b"t-17" not in held


def test_another_embedder_is_refused(fitted: HeadFit) -> None:
    other = SimpleNamespace(name="wordllama", sha256="f" * 64, dimensions=256, slow=False)
    with pytest.raises(ReleaseError, match=r"trained with embedder wordllama .* and here it is ffffffffffff"):
        head_from(artifact.unpack(fitted.data), [other])  # type: ignore[list-item]


def test_another_artifact_is_refused(fitted: HeadFit) -> None:
    found = artifact.unpack(fitted.data)
    with pytest.raises(ReleaseError, match="is a router, not a head"):
        read_header(msgspec.structs.replace(found, kind="router"))
    with pytest.raises(ReleaseError, match=r"trained by another version of smallfirst: .*later"):
        read_header(msgspec.structs.replace(found, header=found.header | {"later": 1}))
