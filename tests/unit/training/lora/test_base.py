"""Bases: how they are named, what they hash to, and what is said of those that cannot be tuned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny_adapter import opened_tiny_base
from support.tiny_base import tiny_base, tiny_cache

from smallfirst.errors import ConfigError
from smallfirst.training.lora import hashes
from smallfirst.training.lora.base import open_base

pytestmark = pytest.mark.embedded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny base as a user's own checkpoint."""
    return Path(shutil.copytree(opened_tiny_base().folder, tmp_path / "my-model"))


def test_a_gguf_by_its_path() -> None:
    base = open_base(str(tiny_base()), cache=tiny_cache())
    assert (base.name, base.architecture, base.context_tokens) == ("tiny.gguf", "llama", 8192)
    assert base.gguf == tiny_base()
    assert base.gguf_sha256 == hashes.file_sha256(tiny_base())
    assert base.told().parameters == sum(one.numel() for one in base.model().parameters())
    assert base.tokenizer().chat_template == base.template


def test_a_folder_is_the_same_base_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    base = open_base(str(folder), cache=tmp_path)
    assert base.name == "my-model"
    assert base.gguf is base.gguf_sha256 is None
    assert base.sha256 == opened_tiny_base().sha256
    change(folder, lambda config: config | {"transformers_version": "9.9", "_name_or_path": "/elsewhere"})
    assert open_base(str(folder), cache=tmp_path).sha256 == base.sha256
    change(folder, lambda config: config | {"rms_norm_eps": 0.5})
    assert open_base(str(folder), cache=tmp_path).sha256 != base.sha256


def test_other_weights_are_another_base(folder: Path, tmp_path: Path) -> None:
    before = open_base(str(folder), cache=tmp_path).sha256
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert open_base(str(folder), cache=tmp_path).sha256 != before


def test_weights_are_hashed_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_base(str(folder), cache=tmp_path)
    monkeypatch.setattr(hashes, "file_sha256", lambda path: pytest.fail(f"{path} is hashed again"))
    assert open_base(str(folder), cache=tmp_path) == first


def test_a_damaged_memory_of_hashes_costs_only_time(folder: Path, tmp_path: Path) -> None:
    first = open_base(str(folder), cache=tmp_path)
    (tmp_path / "hashes.json").write_text("{")
    assert open_base(str(folder), cache=tmp_path) == first


def test_a_template_of_ones_own(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match=r"my-model has no chat template.*--template FILE"):
        open_base(str(folder), cache=tmp_path)
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] ")
    base = open_base(str(folder), cache=tmp_path, template=template)
    asked = [{"role": "user", "content": "hi"}]
    assert base.tokenizer().apply_chat_template(asked, tokenize=False) == "[user] hi\n[assistant] "
    assert base.template_sha256 != opened_tiny_base().template_sha256
    assert base.sha256 == opened_tiny_base().sha256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% for", "is no chat template"),
        ("hello", "leaves out what a user says"),
        (" \n", "is empty"),
        ("{{ messages.__class__.__mro__ }}", "is no chat template"),
    ],
)
def test_a_template_that_is_none(folder: Path, tmp_path: Path, text: str, said: str) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text(text)
    with pytest.raises(ConfigError, match=f"--template .*{said}"):
        open_base(str(folder), cache=tmp_path, template=template)


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def sharded_without_one(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def sharded_elsewhere(folder: Path) -> None:
    index = {"weight_map": {"a": "../../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def with_its_own_code(folder: Path) -> None:
    change(
        folder,
        lambda config: (
            config | {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}}
        ),
    )
    (folder / "modeling_mine.py").write_text("raise SystemExit('its code was run')")


def quantised(folder: Path) -> None:
    change(folder, lambda config: config | {"quantization_config": {"quant_method": "gptq"}})


def an_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (without_weights, "has no weights"),
        (pickled, "pickled weights, which could run code"),
        (cut_off, r"model\.safetensors is damaged or cut off"),
        (sharded_without_one, r"model-2\.safetensors is missing"),
        (sharded_elsewhere, "no safetensors file of that folder"),
        (with_its_own_code, "its own code is never run"),
        (quantised, r"is quantised \(gptq\)"),
        (an_adapter, "is an adapter: give the base"),
        (no_json, r"config\.json cannot be read"),
    ],
)
def test_what_cannot_be_tuned(folder: Path, tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(folder)
    with pytest.raises(ConfigError, match=said):
        open_base(str(folder), cache=tmp_path)


def test_a_checkpoint_that_lacks_weights_is_not_filled_with_random_ones(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"is not whole: model\.layers\.1\.mlp\.up_proj\.weight is missing"):
        open_base(str(folder), cache=tmp_path).model()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("embedded:smollm3", "did you mean"),
        ("nowhere/to/be/found", "there is no such folder"),
        ("missing.gguf", "there is no such file"),
        ("", "there is no such folder"),
    ],
)
def test_names_that_mean_nothing(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_base(name)


def test_the_hub_is_asked_and_its_absence_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConfigError,
        match=r"there is no folder acme/tiny@main, and it cannot be fetched from the hub: .*`hf download acme/tiny",
    ):
        open_base("acme/tiny@main")


def test_a_fetched_base_is_opened_from_the_hubs_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "hub" / "models--acme--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    shutil.copytree(folder, place / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    base = open_base("acme/tiny", cache=tmp_path)
    assert (base.name, base.sha256) == ("acme/tiny", opened_tiny_base().sha256)


def change(folder: Path, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Writes another configuration."""
    path = folder / "config.json"
    path.write_text(json.dumps(changed(json.loads(path.read_text()))))
