"""A release carries what was learned, whole and unaltered, or says which command makes it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.outcomes import fit, outcomes
from support.tickets import tickets, trained

from smallfirst.classify import artifact
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.label_head import load_head
from smallfirst.classify.store import Artifacts, Described
from smallfirst.config.schema import Config, Model, Provider, Task, TaskRouter
from smallfirst.contracts import LabelContract, TextContract
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
from smallfirst.routing.routers import open_router
from smallfirst.routing.thresholds import Thresholds
from smallfirst.training.router_fit import Fit

CONTRACT = LabelContract(labels=("billing", "bug", "how-to"))


def config(
    *ladder: str, contract: LabelContract | TextContract = CONTRACT, router: TaskRouter | None = None
) -> Config:
    return Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1"), "heads": Provider(kind="head")},
        models={
            "small": Model(provider="p"),
            "frontier": Model(provider="p"),
            "triage-head": Model(provider="heads", id="triage"),
        },
        tasks={
            "triage": Task(
                ladder=ladder or ("small", "frontier"), contract=contract, router=router or TaskRouter()
            )
        },
    )


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(outcomes())


@pytest.fixture(scope="module")
def head() -> bytes:
    return trained(tickets()).data


def save(state: Path, data: bytes, kind: str, *, task: str = "triage", at_ms: int = 1) -> str:
    return Artifacts(state).save(data, Described(at_ms=at_ms, kind=kind, task=task))


def built(state: Path, made: Config) -> tuple[str, Release]:
    release = release_from_config(made, LearnedHere(state))
    return Releases(state).save(release, artifacts=Artifacts(state))[0], release


def test_a_release_carries_its_router_and_serves_what_was_fitted(tmp_path: Path, fitted: Fit) -> None:
    sha256 = save(tmp_path, fitted.data, "router")
    name, release = built(tmp_path, config())
    policy = release.policies["triage"].router
    assert policy is not None
    assert (policy.weights_sha256, policy.thresholds, policy.bound) == (
        sha256,
        fitted.fitted.thresholds,
        fitted.fitted.bound,
    )
    assert release.weights == [sha256]
    Artifacts(tmp_path).path(sha256).unlink()
    serving = load_serving(Live(release=name, unproven="x"), state=tmp_path, config=config())
    assert serving.weights is not None
    assert open_router(weights_path(serving.weights, sha256), open_embedder).sha256 == sha256


def test_one_flipped_byte_in_the_weights_is_refused_at_load(tmp_path: Path, fitted: Fit, head: bytes) -> None:
    router, label_head = save(tmp_path, fitted.data, "router"), save(tmp_path, head, "head")
    save(tmp_path, fit(outcomes(), ladder=("small", "frontier"), task="other").data, "router", task="other")
    name, _ = built(tmp_path, config())
    headed, _ = built(tmp_path, config("triage-head", "frontier", router=TaskRouter(fit="none")))
    for release, sha256, load in (
        (name, router, lambda path: open_router(path, open_embedder)),
        (headed, label_head, load_head),
    ):
        path = weights_path(tmp_path / "releases" / release / "weights", sha256)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(ReleaseError, match=f"weights {sha256[:12]} were altered"):
            load(path)
        path.unlink()
        with pytest.raises(ReleaseError, match=f"weights {sha256[:12]} cannot be read"):
            load(path)


def test_other_weights_make_another_release(tmp_path: Path, fitted: Fit) -> None:
    save(tmp_path, fitted.data, "router")
    first, _ = built(tmp_path, config())
    other = fit(outcomes(), margin=0.2)
    save(tmp_path, other.data, "router", at_ms=2)
    second, _ = built(tmp_path, config())
    assert first != second
    pinned, release = built(tmp_path, config(router=TaskRouter(fit=fitted.fitted.sha256)))
    assert pinned == first, "the older one by its hash"
    assert release.policies["triage"].router is not None


def test_fit_none_does_without_whatever_was_fitted(tmp_path: Path, fitted: Fit) -> None:
    save(tmp_path, fitted.data, "router")
    _, release = built(tmp_path, config(router=TaskRouter(fit="none")))
    assert release.policies["triage"].router is None
    assert release.weights == []


def test_without_a_router_there_is_none(tmp_path: Path) -> None:
    _, release = built(tmp_path, config())
    assert release.policies["triage"].router is None


def test_a_router_of_another_ladder_is_refused_with_both_ways_out(tmp_path: Path, fitted: Fit) -> None:
    save(tmp_path, fitted.data, "router")
    three = msgspec.structs.replace(config(), models=config().models | {"middle": Model(provider="p")})
    task = msgspec.structs.replace(three.tasks["triage"], ladder=("small", "middle", "frontier"))
    with pytest.raises(ReleaseError) as caught:
        built(tmp_path, msgspec.structs.replace(three, tasks={"triage": task}))
    said = str(caught.value)
    assert "was fitted for the ladder small, frontier, and the ladder is now small, middle, frontier" in said
    assert "`smallfirst router fit --task triage` fits another" in said
    assert 'tasks.triage.router.fit = "none" does without' in said


def test_a_router_that_judges_answers_is_refused_where_text_is_not_held_back(
    tmp_path: Path, fitted: Fit
) -> None:
    """Its bound was shown with second looks; without them it would not hold. Also where the fit knew nothing of the task's contract."""
    found = artifact.unpack(fitted.data)
    looking = msgspec.structs.replace(fitted.fitted, thresholds=Thresholds((2.0,), (0.5,)), sha256="")
    save(tmp_path, artifact.pack("router", msgspec.to_builtins(looking), found.arrays), "router")
    with pytest.raises(ReleaseError, match=r"judge text answers .* set tasks\.triage\.router\.verify = true"):
        built(tmp_path, config(contract=TextContract()))
    for made in (config(), config(contract=TextContract(), router=TaskRouter(verify=True))):
        _, release = built(tmp_path, made)
        assert release.policies["triage"].router_verifies


def test_a_router_of_another_task_or_of_another_kind_is_refused(
    tmp_path: Path, fitted: Fit, head: bytes
) -> None:
    other = fit(outcomes(), task="other")
    save(tmp_path, other.data, "router", task="other")
    with pytest.raises(ReleaseError, match="was fitted for task 'other', not 'triage'"):
        built(tmp_path, config(router=TaskRouter(fit=other.fitted.sha256[:12])))
    sha256 = save(tmp_path, head, "head")
    with pytest.raises(ReleaseError, match="is a head, not a router"):
        built(tmp_path, config(router=TaskRouter(fit=sha256[:12])))
    with pytest.raises(ReleaseError, match=r"no weights begin with 'ffffffffffff' \(known: "):
        built(tmp_path, config(router=TaskRouter(fit="f" * 12)))


def test_a_missing_head_names_the_command_that_trains_it(tmp_path: Path) -> None:
    with pytest.raises(
        ReleaseError, match="no head was trained for 'triage': `smallfirst train triage --method head`"
    ):
        built(tmp_path, config("triage-head", "frontier"))


def test_a_head_is_carried_and_known_by_its_hash(tmp_path: Path, head: bytes) -> None:
    sha256 = save(tmp_path, head, "head")
    name, release = built(tmp_path, config("triage-head", "frontier"))
    rung = release.policies["triage"].ladder[0]
    assert (rung.head, rung.weights_sha256) == (True, sha256)
    Artifacts(tmp_path).path(sha256).unlink()
    serving = load_serving(
        Live(release=name, unproven="x"), state=tmp_path, config=config("triage-head", "frontier")
    )
    assert serving.weights is not None
    assert load_head(weights_path(serving.weights, sha256)).answer("refund my payment").label == "billing"


def test_the_head_that_a_router_was_fitted_with_stays_with_it(tmp_path: Path, head: bytes) -> None:
    """A head that was trained later has not been measured."""
    old = save(tmp_path, head, "head")
    renamed = [
        msgspec.structs.replace(
            one,
            row=msgspec.structs.replace(
                one.row,
                outcomes={"triage-head": one.row.outcomes["small"], "frontier": one.row.outcomes["frontier"]},
            ),
        )
        for one in outcomes()
    ]
    found = fit(renamed, ladder=("triage-head", "frontier"))
    pinned = msgspec.structs.replace(found.fitted, heads=(old, ""), sha256="")
    save(
        tmp_path,
        artifact.pack("router", msgspec.to_builtins(pinned), artifact.unpack(found.data).arrays),
        "router",
    )
    newer = save(tmp_path, trained(tickets(elsewhere=True)).data, "head", at_ms=2)
    _, release = built(tmp_path, config("triage-head", "frontier"))
    assert release.policies["triage"].ladder[0].weights_sha256 == old != newer
    _, without = built(tmp_path, config("triage-head", "frontier", router=TaskRouter(fit="none")))
    assert without.policies["triage"].ladder[0].weights_sha256 == newer


def test_the_baseline_needs_nothing_that_was_learned(tmp_path: Path, fitted: Fit) -> None:
    save(tmp_path, fitted.data, "router")
    policy = baseline(config()).policies["triage"]
    assert (policy.router, policy.weights) == (None, ())
    assert load_serving(Live(), state=tmp_path, config=config()).weights is None


@pytest.mark.parametrize(("left", "said"), [(None, "cannot be read"), (b"altered", "were altered")])
def test_weights_that_are_gone_or_altered_make_no_release(
    tmp_path: Path, fitted: Fit, left: bytes | None, said: str
) -> None:
    sha256 = save(tmp_path, fitted.data, "router")
    release = release_from_config(config(), LearnedHere(tmp_path))
    path = Artifacts(tmp_path).path(sha256)
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    with pytest.raises(ReleaseError, match=f"weights {sha256[:12]} {said}"):
        Releases(tmp_path).save(release, artifacts=Artifacts(tmp_path))
    assert not (tmp_path / "releases").exists()


def test_a_router_fitted_to_outcomes_of_another_model_is_refused(tmp_path: Path) -> None:
    save(tmp_path, fit(outcomes(), asked_as=("p/small-v1", "p/frontier")).data, "router")
    with pytest.raises(
        ReleaseError, match=r"fitted to outcomes of p/small-v1, and 'small' is now p/small; .*router fit"
    ):
        release_from_config(config(), LearnedHere(tmp_path))


def test_a_router_is_no_head(tmp_path: Path, fitted: Fit) -> None:
    sha256 = save(tmp_path, fitted.data, "router")
    made = config("triage-head", "frontier")
    made = msgspec.structs.replace(
        made, models=made.models | {"triage-head": Model(provider="heads", id=sha256[:16])}
    )
    with pytest.raises(ReleaseError, match="is a router, not a head"):
        release_from_config(made, LearnedHere(tmp_path))
