"""Whether what answers is what was compared."""

from __future__ import annotations

import pytest

from smallfirst.gateway.evidence import changed
from smallfirst.ledger.records import Attempt
from smallfirst.releases.verdict import Fingerprint


def attempt(model: str = "", fingerprint: str = "") -> Attempt:
    return Attempt(
        seq=0,
        kind="first",
        rung=0,
        model="small",
        provider="p",
        status="ok",
        started_ms=0.0,
        latency_ms=1.0,
        upstream_model=model,
        system_fingerprint=fingerprint,
    )


KNOWN = Fingerprint(upstream_models=("small-1", "small-1b"), system_fingerprints=("fp_a",))


@pytest.mark.parametrize(
    "answered",
    [attempt(), attempt("small-1"), attempt("small-1b", "fp_a"), attempt("", "fp_a")],
)
def test_the_same_and_the_silent_change_nothing(answered: Attempt) -> None:
    assert changed(KNOWN, answered) == ""


def test_another_name_and_another_fingerprint_are_changes() -> None:
    assert (
        changed(KNOWN, attempt("small-2"))
        == "answers as 'small-2', and was compared as 'small-1', 'small-1b'"
    )
    assert "system_fingerprint 'fp_b'" in changed(KNOWN, attempt("small-1", "fp_b"))


def test_fingerprints_can_be_left_out_and_names_cannot() -> None:
    assert changed(KNOWN, attempt("small-1", "fp_b"), fingerprints=False) == ""
    assert changed(KNOWN, attempt("small-2", "fp_a"), fingerprints=False)


def test_what_the_comparison_did_not_see_is_no_change() -> None:
    assert changed(Fingerprint(), attempt("small-2", "fp_b")) == ""
