"""A release carries the examples that its rungs show, or says what is wrong with them; the baseline shows none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.examples import LABELS, Letters, nine, save

from smallfirst.classify.example_index import open_index
from smallfirst.classify.examples import rows_path
from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config, Model, Provider, Retrieve, Rung, Task
from smallfirst.contracts import LabelContract
from smallfirst.errors import ReleaseError
from smallfirst.releases import (
    LearnedHere,
    Live,
    Release,
    Releases,
    baseline,
    load_serving,
    release_from_config,
    weights_path,
)
from smallfirst.releases.difference import differences


def config(
    *, small: Model = Model(provider="p"), contract: LabelContract = LABELS, **retrieve: Any
) -> Config:
    rung = Rung(model="small", retrieve=Retrieve(**({"k": 3} | retrieve)))
    return Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1", engine="vllm")},
        models={"small": small, "frontier": Model(provider="p")},
        tasks={"triage": Task(ladder=(rung, "frontier"), contract=contract)},
    )


def built(state: Path, made: Config) -> tuple[str, Release]:
    release = release_from_config(made, LearnedHere(state))
    return Releases(state).save(release, artifacts=Artifacts(state))[0], release


def test_it_carries_the_index_and_its_rows(tmp_path: Path) -> None:
    sha256 = save(tmp_path, nine(), embedder=Letters())
    name, release = built(tmp_path, config())
    pinned = release.policies["triage"].ladder[0].retrieve
    assert pinned is not None
    assert (pinned.sha256, pinned.k, pinned.embedder, pinned.embedder_sha256) == (
        sha256,
        3,
        "letters",
        Letters.sha256,
    )
    assert release.weights == [sha256]
    path = Artifacts(tmp_path).path(sha256)
    path.unlink()
    rows_path(path).unlink()
    serving = load_serving(Live(release=name, unproven="x"), state=tmp_path, config=config())
    assert serving.weights is not None
    carried = weights_path(serving.weights, sha256)
    assert len(open_index(carried, lambda _: Letters())) == 9
    assert rows_path(carried).stat().st_mode & 0o777 == 0o600


def test_each_of_its_numbers_makes_another_policy(tmp_path: Path) -> None:
    first = save(tmp_path, nine(), embedder=Letters())
    hashes = {
        built(tmp_path, config(**told))[1].policies["triage"].hash
        for told in ({}, {"k": 4}, {"order": "nearest-first"}, {"max_chars": 100})
    }
    save(tmp_path, nine()[:5], embedder=Letters(), at_ms=2)
    newer = built(tmp_path, config())[1].policies["triage"].hash
    assert len(hashes | {newer}) == 5
    pinned = built(tmp_path, config(index=first[:12]))[1].policies["triage"]
    assert pinned.hash in hashes, "the older one by its hash"


def test_what_changes_is_told_in_words(tmp_path: Path) -> None:
    save(tmp_path, nine(), embedder=Letters())
    one, other = (built(tmp_path, config(k=k))[1] for k in (3, 4))
    assert differences(one, other)[0].changes == ("rung small, examples that it is shown.k: 3 → 4",)


def test_a_missing_index_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(
        ReleaseError,
        match="no index of examples was made for 'triage': `smallfirst train triage --method ret",
    ):
        built(tmp_path, config())


def test_one_that_does_not_fit_is_refused_with_the_field(tmp_path: Path) -> None:
    other = save(tmp_path, nine(), task="other", embedder=Letters())
    with pytest.raises(ReleaseError, match="is of examples of task 'other', not 'triage'"):
        built(tmp_path, config(index=other[:12]))
    save(tmp_path, nine(), embedder=Letters())
    with pytest.raises(
        ReleaseError, match=r"tasks\.triage\.ladder\.small\.retrieve\.k: 10 is more than the 9 examples"
    ):
        built(tmp_path, config(k=10))
    with pytest.raises(ReleaseError, match=r"retrieve\.index: .* when the task had another contract"):
        built(tmp_path, config(contract=LabelContract(labels=("billing", "bug", "how-to", "other"))))
    with pytest.raises(ReleaseError, match="tuned without examples in the prompt; leave `retrieve` or `adap"):
        built(tmp_path, config(small=Model(provider="p", id="base", adapter="triage")))


@pytest.mark.parametrize("altered", [None, b"\x91\xc4\x01x"])
def test_rows_that_are_gone_or_altered_make_no_release(tmp_path: Path, altered: bytes | None) -> None:
    sha256 = save(tmp_path, nine(), embedder=Letters())
    path = rows_path(Artifacts(tmp_path).path(sha256))
    path.unlink()
    if altered is not None:
        path.write_bytes(altered)
    with pytest.raises(ReleaseError, match="altered" if altered else "cannot be read"):
        built(tmp_path, config())
    assert not (tmp_path / "releases").exists()


def test_the_baseline_shows_none(tmp_path: Path) -> None:
    made = config()
    last = msgspec.structs.replace(made.tasks["triage"], ladder=(made.tasks["triage"].ladder[0],))
    policy = baseline(msgspec.structs.replace(made, tasks={"triage": last})).policies["triage"]
    assert (policy.ladder[0].retrieve, policy.weights) == (None, ())
