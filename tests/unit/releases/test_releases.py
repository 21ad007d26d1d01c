"""A release is named by its content, refused when altered, unfit or unproven."""

import os
from pathlib import Path

import msgspec
import pytest

from smallfirst.config.schema import Config, Model, Provider, Rung, Task
from smallfirst.contracts import LabelContract, TextContract
from smallfirst.errors import ReleaseError
from smallfirst.releases import (
    Live,
    Releases,
    baseline,
    load_serving,
    release_from_config,
)

TRIAGE = Task(
    ladder=(Rung(model="small", sample=0.5), "large"),
    contract=LabelContract(labels=("a", "b")),
    instructions="Answer a or b.",
)


def config(**changes: object) -> Config:
    made = Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
        models={"small": Model(provider="p", id="small-1"), "large": Model(provider="p")},
        tasks={"triage": TRIAGE},
    )
    return msgspec.structs.replace(made, **changes)


def test_the_same_content_has_the_same_name(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    name, new = releases.save(release_from_config(config()))
    assert new
    assert releases.save(release_from_config(config())) == (name, False)
    assert [item.id for item in releases.list()] == [name]
    assert releases.load(name[:8]) == release_from_config(config())


def test_everything_that_decides_an_answer_changes_the_name() -> None:
    name = release_from_config(config()).id
    models = config().models
    other_weights = models | {"small": msgspec.structs.replace(models["small"], weights_sha256="0" * 64)}
    other_id = models | {"large": msgspec.structs.replace(models["large"], id="large-2")}
    changed = [
        config(tasks={"triage": msgspec.structs.replace(TRIAGE, instructions="Say a or b.")}),
        config(tasks={"triage": msgspec.structs.replace(TRIAGE, margin=0.03)}),
        config(tasks={"triage": msgspec.structs.replace(TRIAGE, ladder=("small", "large"))}),
        config(tasks={"triage": msgspec.structs.replace(TRIAGE, contract=LabelContract(labels=("b", "a")))}),
        config(models=other_weights),
        config(models=other_id),
    ]
    names = {release_from_config(one).id for one in changed}
    assert len(names) == len(changed)
    assert name not in names


def test_where_things_are_does_not() -> None:
    moved = config(providers={"p": Provider(base_url="http://127.0.0.1:2/v1")})
    assert release_from_config(moved).id == release_from_config(config()).id


@pytest.mark.parametrize("position", [0, 20, -1])
def test_one_flipped_byte_is_refused(tmp_path: Path, position: int) -> None:
    releases = Releases(tmp_path)
    name, _ = releases.save(release_from_config(config()))
    path = tmp_path / "releases" / name / "release.json"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match="was altered"):
        releases.load(name)


def test_baseline_asks_the_frontier_alone_and_checks_nothing() -> None:
    policy = baseline(config()).policies["triage"]
    assert [rung.model for rung in policy.ladder] == ["large"]
    assert policy.contract == TextContract()
    assert policy.instructions == "Answer a or b."


def test_only_baseline_is_served_without_a_reason(tmp_path: Path) -> None:
    name, _ = Releases(tmp_path).save(release_from_config(config()))
    assert load_serving(Live(), state=tmp_path, config=config()).id == "baseline"
    with pytest.raises(ReleaseError, match="no passing verdict"):
        load_serving(Live(release=name), state=tmp_path, config=config())
    assert (
        load_serving(Live(release=name, unproven="trying"), state=tmp_path, config=config()).unproven
        == "trying"
    )


def test_a_release_is_not_served_for_other_models_than_it_was_built_for(tmp_path: Path) -> None:
    name, _ = Releases(tmp_path).save(release_from_config(config()))
    renamed = config(models={"small": Model(provider="p", id="small-2"), "large": Model(provider="p")})
    with pytest.raises(ReleaseError, match=r"'small' was p/small-1 .* now it is p/small-2"):
        load_serving(Live(release=name, unproven="x"), state=tmp_path, config=renamed)


def test_unknown_and_ambiguous_names(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"no release begins with 'x' \(known: none"):
        Releases(tmp_path).find("x")
    with pytest.raises(ReleaseError, match=r"no \[tasks"):
        release_from_config(config(tasks={}))


def test_a_process_that_died_while_it_wrote_stops_nobody(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    release = release_from_config(config())
    left = releases.folder / f".{release.id}.{os.getpid()}"
    left.mkdir(parents=True)
    (left / "release.json").write_text("half")
    name, new = releases.save(release)
    assert new
    assert releases.load(name) == release
    assert not left.exists()
    assert {oct(path.stat().st_mode & 0o777) for path in (releases.folder / name).iterdir()} == {"0o600"}
