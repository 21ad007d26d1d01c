"""A rung with an adapter: the one that is deployed where its model is, trained for what the rung asks; anything else is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.adapters import BASE, plain_adapter
from support.datasets import AT_MS, LABELS

from smallfirst.config.schema import Config, Model, Provider, Rung, Task
from smallfirst.contracts import LabelContract
from smallfirst.errors import ReleaseError
from smallfirst.models.adapters.adapter import BaseTold, Form
from smallfirst.models.adapters.deployments import Deployment, add_deployment, remove_deployment
from smallfirst.models.adapters.store import Adapter
from smallfirst.models.weights import WEIGHTS
from smallfirst.releases import Live, Policy, Release, Releases, load_serving, release_from_config
from smallfirst.releases.difference import differences
from smallfirst.releases.learned import LearnedHere
from smallfirst.releases.policy import asked_as, misfits, policy_from_task, rungs_asked_as, undeployed

GPU, OTHER_GPU = "http://10.0.0.7:8000/v1", "http://10.0.0.8:8000/v1"
SMOL = "smollm2-135m"
SMOL_SHA256 = WEIGHTS[SMOL].files[0].sha256
OVER_SMOL = msgspec.structs.replace(BASE, gguf_sha256=SMOL_SHA256)
TASK = Task(ladder=("small", "large"), contract=LABELS)
EMBEDDED = Model(provider="local", id=SMOL, adapter="triage")
ON_GPUS = Model(provider="gpu", id="base-8b", adapter="triage", endpoints=(GPU, OTHER_GPU))


def config(small: Model = EMBEDDED, task: Task = TASK) -> Config:
    return Config(
        providers={
            "local": Provider(kind="embedded"),
            "gpu": Provider(base_url=GPU, engine="vllm"),
            "api": Provider(base_url="https://api.example/v1"),
        },
        models={"small": small, "large": Model(provider="api")},
        tasks={"triage": task},
    )


def deploy(
    state: Path,
    adapter: Adapter,
    *targets: str,
    form: Form = "lora",
    base: str = SMOL,
    sha256: str = "a" * 64,
) -> None:
    for target in targets or ("embedded",):
        add_deployment(
            state,
            Deployment(
                adapter=adapter.id,
                task=adapter.manifest.task,
                form=form,
                sha256=sha256,
                target=target,
                base=base,
                at_ms=1,
                by="a test",
                probes=1,
                same=1.0,
            ),
        )


def policy(state: Path, config: Config) -> Policy:
    return policy_from_task("triage", config, LearnedHere(state))


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    return plain_adapter(tmp_path, base=OVER_SMOL)


def test_where_one_answer_is_right_an_adapter_is_asked_for_its_likeliest(
    tmp_path: Path, adapter: Adapter
) -> None:
    """It was probed so; a rung that says otherwise, and a text to be written, stay as they are."""
    deploy(tmp_path, adapter)
    assert [rung.temperature for rung in policy(tmp_path, config()).ladder] == [0.0, None]
    warm = msgspec.structs.replace(TASK, ladder=(Rung(model="small", temperature=0.7), "large"))
    assert policy(tmp_path, config(task=warm)).ladder[0].temperature == 0.7


def test_a_rung_pins_the_artefact_that_is_served(tmp_path: Path, adapter: Adapter) -> None:
    deploy(tmp_path, adapter)
    rung = policy(tmp_path, config()).ladder[0]
    assert rung.adapter is not None
    assert msgspec.to_builtins(rung.adapter) == {
        "id": adapter.id,
        "task": "triage",
        "form": "lora",
        "sha256": "a" * 64,
    }
    assert rung.upstream_id == SMOL
    assert rung.adapter.served_name == f"triage@{adapter.id[:12]}"
    assert policy(tmp_path, config()).ladder[1].adapter is None


def test_a_hash_names_it_too(tmp_path: Path, adapter: Adapter) -> None:
    newer = plain_adapter(tmp_path, base=OVER_SMOL, seed=2, at_ms=AT_MS + 1)
    deploy(tmp_path, adapter)
    deploy(tmp_path, newer)
    by_task = policy(tmp_path, config()).ladder[0].adapter
    by_hash = (
        policy(tmp_path, config(msgspec.structs.replace(EMBEDDED, adapter=adapter.id[:12]))).ladder[0].adapter
    )
    assert by_task is not None
    assert by_hash is not None
    assert (by_task.id, by_hash.id) == (newer.id, adapter.id)


def test_the_newest_counts_also_where_an_older_one_is_deployed(tmp_path: Path, adapter: Adapter) -> None:
    newer = plain_adapter(tmp_path, base=OVER_SMOL, seed=2, at_ms=AT_MS + 1)
    deploy(tmp_path, adapter)
    with pytest.raises(ReleaseError, match=f"adapters deploy {newer.id[:12]} --to embedded --form lora"):
        policy(tmp_path, config())


@pytest.mark.parametrize(
    ("small", "why"),
    [
        (
            msgspec.structs.replace(EMBEDDED, adapter="nothing"),
            r"models\.small\.adapter: there is no adapter 'nothing'",
        ),
        (msgspec.structs.replace(EMBEDDED, adapter="f" * 12), "train triage --method lora"),
        (
            EMBEDDED,
            r"is not deployed as lora to embedded: `smallfirst adapters deploy [0-9a-f]{12} --to embedded --form lora",
        ),
        (ON_GPUS, f"is not deployed as peft to {GPU}, {OTHER_GPU}"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, adapter: Adapter, small: Model, why: str) -> None:
    with pytest.raises(ReleaseError, match=why):
        policy(tmp_path, config(small))


@pytest.mark.parametrize("fields", [{"form": "q8_0"}, {"base": "another-base"}])
def test_another_form_or_base_is_another_deployment(
    tmp_path: Path, adapter: Adapter, fields: dict[str, str]
) -> None:
    deploy(tmp_path, adapter, **fields)  # type: ignore[arg-type]
    with pytest.raises(ReleaseError, match="is not deployed as lora to embedded"):
        policy(tmp_path, config())


def test_every_endpoint_must_have_the_same_file(tmp_path: Path, adapter: Adapter) -> None:
    deploy(tmp_path, adapter, GPU, form="peft", base="base-8b")
    with pytest.raises(
        ReleaseError, match=f"not deployed as peft to {OTHER_GPU}: .*--to {OTHER_GPU} --form peft"
    ):
        policy(tmp_path, config(ON_GPUS))
    deploy(tmp_path, adapter, OTHER_GPU, form="peft", base="base-8b", sha256="b" * 64)
    with pytest.raises(ReleaseError, match="not the same file on every endpoint"):
        policy(tmp_path, config(ON_GPUS))
    deploy(tmp_path, adapter, OTHER_GPU, form="peft", base="base-8b")
    pinned = policy(tmp_path, config(ON_GPUS)).ladder[0].adapter
    assert pinned is not None
    assert pinned.form == "peft"


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (
            msgspec.structs.replace(TASK, ladder=(Rung(model="small", instructions="Sort it."), "large")),
            "trained with its rung's instructions none, and they are now 'Sort it.'",
        ),
        (
            msgspec.structs.replace(TASK, instructions="Sort it."),
            "trained with the task's instructions none, and they are now 'Sort it.'",
        ),
        (
            msgspec.structs.replace(TASK, contract=LabelContract(labels=("billing", "bug"))),
            "with another contract than task 'triage' has now",
        ),
    ],
)
def test_what_it_was_not_trained_for_it_is_not_asked(
    tmp_path: Path, adapter: Adapter, task: Task, why: str
) -> None:
    deploy(tmp_path, adapter)
    with pytest.raises(ReleaseError, match=why):
        policy(tmp_path, config(task=task))


@pytest.mark.parametrize("base", [BASE, msgspec.structs.replace(BASE, gguf_sha256="e" * 64)])
def test_it_is_not_laid_over_another_base(tmp_path: Path, base: BaseTold) -> None:
    deploy(tmp_path, plain_adapter(tmp_path, base=base))
    with pytest.raises(ReleaseError, match=f"was trained over a-base .*--base embedded:{SMOL}"):
        policy(tmp_path, config())


def test_what_the_configuration_makes_of_it_is_found_when_it_is_served(
    tmp_path: Path, adapter: Adapter
) -> None:
    deploy(tmp_path, adapter)
    made = policy(tmp_path, config())
    assert misfits(made, config()) == []
    for fields, why in (
        ({"adapter": None}, "had triage@"),
        ({"adapter": "another"}, "now adapter 'another'"),
        ({"adapter": "f" * 12}, "now adapter 'ffffffffffff'"),
        ({"form": "q8_0"}, "now form 'q8_0'"),
    ):
        (found,) = misfits(made, config(msgspec.structs.replace(EMBEDDED, **fields)))
        assert why in found
    assert misfits(made, config(msgspec.structs.replace(EMBEDDED, adapter=adapter.id[:16]))) == []
    plain = policy_from_task("triage", config(Model(provider="local", id=SMOL)), LearnedHere(tmp_path))
    (found,) = misfits(plain, config())
    assert "had no adapter when the release was built, now adapter 'triage'" in found


def test_what_was_undeployed_or_exported_anew_is_not_served(tmp_path: Path, adapter: Adapter) -> None:
    deploy(tmp_path, adapter)
    release = release_from_config(config(), LearnedHere(tmp_path))
    name, _ = Releases(tmp_path).save(release)
    live = Live(release=name, unproven="a test")
    assert load_serving(live, state=tmp_path, config=config()).policies == release.policies
    deploy(tmp_path, adapter, sha256="b" * 64)
    with pytest.raises(ReleaseError, match="was exported anew since"):
        load_serving(live, state=tmp_path, config=config())
    remove_deployment(tmp_path, adapter.id, "embedded")
    with pytest.raises(ReleaseError, match=f"adapters deploy {adapter.id[:12]} --to embedded --form lora"):
        load_serving(live, state=tmp_path, config=config())
    assert len(undeployed(release.policies.values(), config(), tmp_path)) == 1


def test_a_router_is_of_the_models_with_their_adapters(tmp_path: Path, adapter: Adapter) -> None:
    deploy(tmp_path, adapter)
    told = rungs_asked_as("triage", config(), LearnedHere(tmp_path))
    assert told == {"small": f"local/{SMOL} with triage@{adapter.id[:12]} (lora)", "large": "api/large"}
    rung = policy(tmp_path, config()).ladder[0]
    assert asked_as(rung.provider, rung.upstream_id, rung.adapter) == told["small"]


def test_a_difference_names_adapters(tmp_path: Path, adapter: Adapter) -> None:
    other = plain_adapter(tmp_path, base=OVER_SMOL, seed=2)
    deploy(tmp_path, adapter)
    deploy(tmp_path, other)

    def made(model: Model) -> Release:
        return release_from_config(config(model), LearnedHere(tmp_path))

    plain = Model(provider="local", id=SMOL)
    one, two = (msgspec.structs.replace(EMBEDDED, adapter=each.id) for each in (adapter, other))
    first = f"triage@{adapter.id[:12]} (lora)"
    for before, after, line in (
        (plain, one, f"none → {first}"),
        (one, two, f"{first} → triage@{other.id[:12]} (lora)"),
    ):
        (item,) = differences(made(before), made(after))
        assert f"rung small, adapter: {line}" in item.changes
