"""Which servers are wanted: one for each base with what is deployed over it, one for each merged adapter; nothing of what was altered."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.exported_adapter import GGUF, OVER, exported_adapter

from smallfirst import limits
from smallfirst.config.schema import Config, Model, Provider
from smallfirst.models.adapters.deployments import Deployment
from smallfirst.models.adapters.store import Exported
from smallfirst.models.embedded_plan import Wanted, planned

OTHER = b"GGUF and other weights"
LOCAL = {"local": Provider(kind="embedded")}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base.gguf").write_bytes(GGUF)
    (tmp_path / "other.gguf").write_bytes(OTHER)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def plans(folder: Path, *deployed: Deployment, **models: Model) -> dict[str, Wanted]:
    return planned(Config(providers=LOCAL, models=models), deployed, state=folder, base=folder)


def model(**fields: Any) -> Model:
    told: dict[str, Any] = {"provider": "local", "id": "base.gguf"}
    return Model(**(told | fields))


TUNED = model(adapter="triage")


def test_models_of_one_base_share_a_server(tmp_path: Path) -> None:
    found = plans(
        tmp_path,
        plain=model(context_tokens=512, concurrency=1),
        long=model(context_tokens=4096, concurrency=1),
        other=model(id="other.gguf", concurrency=1),
    )
    assert set(found) == {"base.gguf", "other.gguf"}
    shared = found["base.gguf"]
    assert shared.models == ("plain", "long")
    assert (shared.settings.context_tokens, shared.settings.slots, shared.settings.adapters) == (4096, 2, ())
    assert (found["other.gguf"].settings.context_tokens, found["other.gguf"].settings.slots) == (2048, 1)
    assert shared.log == "plain"


def test_a_server_has_what_is_deployed_over_its_base(tmp_path: Path) -> None:
    (one, first), (two, second) = exported_adapter(tmp_path, 1), exported_adapter(tmp_path, 2, task="extract")
    found = plans(tmp_path, first, second, tuned=TUNED, plain=model())["base.gguf"]
    assert found.settings.name == "base.gguf"
    assert found.settings.adapters == (
        (two.manifest.served_name, str(two.forms / "lora.gguf")),
        (one.manifest.served_name, str(one.forms / "lora.gguf")),
    )
    assert found.models == ("tuned", "plain")
    assert found.served == (second, first)
    again = plans(tmp_path, second, msgspec.structs.replace(first, at_ms=9), tuned=TUNED, plain=model())
    assert again["base.gguf"].is_served_by(found), (
        "one that is deployed again is no reason for another server"
    )


def test_nothing_is_loaded_that_no_model_asks_for(tmp_path: Path) -> None:
    """A server with adapters has no cache of prompts that were idle: nobody pays for what is not used."""
    _, deployed = exported_adapter(tmp_path)
    assert plans(tmp_path, deployed, plain=model())["base.gguf"].settings.adapters == ()
    elsewhere = msgspec.structs.replace(deployed, target="http://10.0.0.7:8000/v1")
    over_another = msgspec.structs.replace(deployed, base="other.gguf")
    found = plans(tmp_path, elsewhere, over_another, tuned=TUNED)["base.gguf"]
    assert found.settings.adapters == ()


def test_a_merged_adapter_is_a_base_of_its_own(tmp_path: Path) -> None:
    made, deployed = exported_adapter(tmp_path, form="q8_0")
    merged = msgspec.structs.replace(TUNED, form="q8_0", context_tokens=1024)
    found = plans(tmp_path, deployed, tuned=merged)
    name = made.manifest.served_name
    assert set(found) == {name}  # its base answers nobody
    assert found[name].merged
    assert found[name].settings.weights == str(made.forms / "q8_0.gguf")
    assert (found[name].settings.name, found[name].settings.context_tokens) == (name, 1024)
    assert set(plans(tmp_path, deployed, tuned=merged, plain=model())) == {"base.gguf", name}
    assert plans(tmp_path, tuned=merged) == {}


def test_the_oldest_give_way_where_there_are_too_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EMBEDDED_ADAPTERS", 2)
    monkeypatch.setattr(limits, "EMBEDDED_MERGED", 1)
    all_deployed = [exported_adapter(tmp_path, seed)[1] for seed in (1, 2, 3)]
    found = plans(tmp_path, *all_deployed, tuned=TUNED)["base.gguf"]
    assert set(found.served) == set(all_deployed[1:])
    assert f"these are not served: {all_deployed[0].served_name}" in caplog.text
    merged = [exported_adapter(tmp_path, seed, "q8_0")[1] for seed in (1, 2)]
    found = plans(tmp_path, *merged, tuned=msgspec.structs.replace(TUNED, form="q8_0"))
    assert set(found) == {merged[1].served_name}


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("altered", "was altered, or is gone"),
        ("gone", "was altered, or is gone"),
        ("other", "was trained over other weights"),
        ("manifest", "its manifest no longer has its name's hash"),
        ("removed", "no adapter begins"),
        ("task", "was altered, or is gone"),
        ("elsewhere", "was altered: forms/lora.json says lora in '../../../secret.gguf'"),
        ("manifest elsewhere", "its manifest names a file outside of peft/"),
    ],
)
def test_what_is_not_what_was_deployed_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str, why: str
) -> None:
    made, deployed = exported_adapter(tmp_path)
    _, good = exported_adapter(tmp_path, 2)
    if harm == "altered":
        (made.forms / "lora.gguf").write_bytes(b"GGUF of somebody else")
    elif harm == "gone":
        (made.forms / "lora.gguf").unlink()
    elif harm == "other":
        _, deployed = exported_adapter(tmp_path, 3, base=msgspec.structs.replace(OVER, gguf_sha256="e" * 64))
    elif harm == "task":
        deployed = msgspec.structs.replace(deployed, task="another")
    elif harm == "elsewhere":
        secret = tmp_path / "secret.gguf"
        secret.write_bytes((made.forms / "lora.gguf").read_bytes())
        made.keep(Exported(form="lora", name="../../../secret.gguf", sha256=deployed.sha256, size_bytes=1))
    elif harm == "manifest elsewhere":
        manifest = msgspec.structs.replace(made.manifest, files={"../../../secret.gguf": "a" * 64})
        moved = made.folder.with_name(manifest.id)
        made.folder.rename(moved)
        (moved / "adapter.json").write_bytes(manifest.data)
        deployed = msgspec.structs.replace(deployed, adapter=manifest.id)
    elif harm == "manifest":
        (made.folder / "adapter.json").write_bytes(b"{}")
    else:
        deployed = msgspec.structs.replace(deployed, adapter="f" * 64)
    with caplog.at_level(logging.ERROR):
        found = plans(tmp_path, deployed, good, tuned=TUNED)["base.gguf"]
    assert found.served == (good,)
    assert why in caplog.text
    assert deployed.served_name in caplog.text


def test_the_same_settings_over_another_file_are_another_server(tmp_path: Path) -> None:
    _, deployed = exported_adapter(tmp_path)
    found = plans(tmp_path, deployed, tuned=TUNED)["base.gguf"]
    again = msgspec.structs.replace(found, served=(msgspec.structs.replace(deployed, at_ms=9),))
    other = msgspec.structs.replace(found, served=(msgspec.structs.replace(deployed, sha256="e" * 64),))
    assert again.is_served_by(found)
    assert not other.is_served_by(found)
