"""What a candidate was taught, beside what it is examined on; and reads that other seals' reads count for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.datasets import LABELS, make, row

from smallfirst.classify.store import Artifacts, Described
from smallfirst.datasets import Dataset, Datasets
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.members import key_of, texts_of
from smallfirst.errors import ReleaseError
from smallfirst.gate.reads import Reads
from smallfirst.gate.unseen import check_unseen
from smallfirst.releases import Policy, RungPolicy


def rows(first: int = 0, count: int = 100):
    return [
        row(f"question number {at} about {at * 7919} things", LABELS.labels[at % 3])
        for at in range(first, first + count)
    ]


def made(state: Path, *, first: int = 0, seed: int = 0) -> Dataset:
    return Datasets(state).open(make(state, rows(first), rule=Rule(seed=seed)).id)


def policy_with(state: Path, **report: str) -> Policy:
    """A policy whose one head was described so."""
    sha256 = Artifacts(state).save(b"weights", Described(at_ms=1, kind="head", task="triage", report=report))
    rung = RungPolicy(model="head", provider="here", upstream_id="head", weights_sha256=sha256, head=True)
    return Policy(task="triage", contract=LABELS, ladder=(rung,))


def test_a_head_trained_on_what_is_held_out_cannot_be_examined(tmp_path):
    source, dealt_anew = made(tmp_path), made(tmp_path, seed=1)
    policy = policy_with(tmp_path, dataset=source.id)
    assert check_unseen(policy, source, tmp_path) == ()
    with pytest.raises(ReleaseError, match=r"of the 20 texts .*`smallfirst train triage --dataset"):
        check_unseen(policy, dealt_anew, tmp_path)
    assert check_unseen(policy, made(tmp_path, first=1000), tmp_path) == ()


def test_a_head_of_which_nothing_is_known_is_said(tmp_path):
    dataset = made(tmp_path)
    for told in ({}, {"dataset": "f" * 64}):
        (caution,) = check_unseen(policy_with(tmp_path, **told), dataset, tmp_path)
        assert "whether it has seen held-out examples cannot be said" in caution


def test_a_held_out_part_that_is_dealt_anew_is_not_fresh(tmp_path):
    first, anew, other = made(tmp_path), made(tmp_path, seed=1), made(tmp_path, first=1000)
    reads = Reads(tmp_path, alpha=0.06)
    reads.claim(first.manifest.seal, "one", {"task": "triage"})
    assert reads.kin(anew) == {first.manifest.seal}
    assert reads.of(anew.manifest.seal, "two", kin=reads.kin(anew)).number == 2
    assert reads.of(anew.manifest.seal, "one", kin=reads.kin(anew)).claimed
    assert reads.kin(other) == frozenset()
    assert reads.elsewhere("triage", {other.manifest.seal}) == 1
    assert reads.elsewhere("another", {other.manifest.seal}) == 0


def test_reads_of_a_dataset_that_is_gone_count(tmp_path):
    gone, now = made(tmp_path), made(tmp_path, first=1000)
    reads = Reads(tmp_path, alpha=0.06)
    reads.claim(gone.manifest.seal, "one", {"task": "triage"})
    Datasets(tmp_path).remove(gone.id)
    assert reads.of(now.manifest.seal, "two", kin=reads.kin(now)).number == 2


def test_a_few_texts_that_recur_do_not_make_parts_one(tmp_path):
    first = made(tmp_path)
    held = texts_of(first.members(), "heldout")
    common = next(one for one in rows() if key_of(one.messages[0]["content"]) in held)
    again = make(tmp_path, [*rows(1000), msgspec.structs.replace(common, split="heldout")])
    now = Datasets(tmp_path).open(again.id)
    assert len(held & texts_of(now.members(), "heldout")) == 1
    assert Reads(tmp_path, alpha=0.06).kin(now) == frozenset()
