"""Forms of an adapter: what is in them, that they are there whole or not at all, and what cannot be made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
from support.tiny_adapter import opened_tiny_base, tiny_adapter, tuned_model, write_peft
from support.tiny_base import tiny_cache
from support.written import files_are_at_most

from smallfirst.errors import ConfigError, ReleaseError, StateError
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.store import Adapter, Adapters, file_sha256
from smallfirst.training.export import caution, export
from smallfirst.training.gguf_file import open_gguf, text_of
from smallfirst.training.lora.base import Base, open_base

pytestmark = pytest.mark.embedded

QUERY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def base() -> Base:
    return opened_tiny_base()


@pytest.fixture
def adapter(tmp_path: Path) -> Adapter:
    return tiny_adapter(tmp_path)


def test_a_form_is_made_once_and_known_by_its_hash(adapter: Adapter, base: Base) -> None:
    assert adapter.exported("lora") is None
    path, told = export(adapter, "lora", base)
    assert (path, told.sha256, told.size_bytes) == (
        adapter.forms / "lora.gguf",
        file_sha256(path),
        path.stat().st_size,
    )
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.stat().st_mtime_ns
    assert export(adapter, "lora", base) == (path, told) == adapter.exported("lora")
    assert path.stat().st_mtime_ns == before


def test_the_peft_folder_is_always_there(adapter: Adapter, base: Base) -> None:
    assert export(adapter, "peft", base)[0] == adapter.peft


@pytest.mark.parametrize("form", ["lora", "merged"])
def test_what_was_altered_is_refused(adapter: Adapter, base: Base, form: Form) -> None:
    path, _ = export(adapter, form, base)
    file = path / "config.json" if path.is_dir() else path
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ReleaseError, match="was altered after it was made; delete it"):
        export(adapter, form, base)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert export(adapter, form, base)[0] == path


def test_an_adapter_that_was_altered_is_not_exported(adapter: Adapter, base: Base) -> None:
    weights = adapter.peft / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ReleaseError, match=r"was altered: peft/adapter_model\.safetensors"):
        export(adapter, "lora", base)


def test_the_merged_checkpoint_is_what_peft_makes(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    import torch

    path, _ = export(adapter, "merged", base)
    merged = open_base(str(path), cache=tmp_path)
    expected = tuned_model(adapter).merge_and_unload().state_dict()
    for name, tensor in merged.model().state_dict().items():
        assert torch.allclose(tensor, expected[name], atol=1e-5), name
    assert merged.template == base.template
    assert merged.tokenizer().encode("Hello 12") == base.tokenizer().encode("Hello 12")


@pytest.mark.parametrize(("form", "step"), [("f16", 2e-3), ("q8_0", 0.02), ("q4_1", 0.25)])
def test_a_merged_gguf_is_the_base_and_the_change(
    adapter: Adapter, base: Base, form: Form, step: float
) -> None:
    """Within the steps of its type, in the layers that are tuned; byte for byte in the others."""
    from gguf.quants import dequantize

    path, _ = export(adapter, form, base)
    made, own = open_gguf(path), open_gguf(base.gguf or Path())
    merged = tuned_model(adapter).merge_and_unload().state_dict()
    found = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in made.tensors}
    expected = merged["model.layers.0.mlp.down_proj.weight"].numpy()
    error = numpy.abs(found["blk.0.ffn_down.weight"] - expected).max()
    assert error <= step, error
    by_name = {tensor.name: tensor for tensor in own.tensors}
    for tensor in made.tensors:
        if ".attn_" not in tensor.name and ".ffn_" not in tensor.name:
            assert tensor.tensor_type == by_name[tensor.name].tensor_type
            assert numpy.array_equal(tensor.data, by_name[tensor.name].data)
    assert text_of(made, "general.name") == adapter.manifest.served_name
    assert text_of(made, "tokenizer.chat_template") == base.template


def test_only_q4_1_is_cautioned_against() -> None:
    forms: list[Form] = ["peft", "lora", "q8_0", "f16", "q4_1", "merged"]
    assert [form for form in forms if caution(form)] == ["q4_1"]


def test_a_base_without_a_gguf_is_told_the_way(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    plain = open_base(str(base.folder), cache=tmp_path)
    with pytest.raises(ConfigError, match=r"--form merged.*convert_hf_to_gguf\.py"):
        export(adapter, "q8_0", plain)
    assert not list(adapter.forms.glob("*.gguf"))
    assert export(adapter, "lora", plain)[0].is_file()


def test_an_adapter_for_another_base_is_refused(adapter: Adapter) -> None:
    with pytest.raises(ReleaseError, match=r"was trained on tiny\.gguf .* is another"):
        export(adapter, "lora", opened_tiny_base(quantised=True))


def test_a_merge_has_the_template_of_the_training(base: Base, tmp_path: Path) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    other = open_base(str(base.gguf), cache=tiny_cache(), template=template)
    trained = tiny_adapter(tmp_path, base=other)
    assert text_of(open_gguf(export(trained, "f16", base)[0]), "tokenizer.chat_template") == other.template
    assert open_base(str(export(trained, "merged", base)[0]), cache=tmp_path).template == other.template


def test_a_base_whose_template_was_changed_is_not_merged_into(
    adapter: Adapter, base: Base, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(base, template="{{ messages }}")
    with pytest.raises(ReleaseError, match="another chat template than"):
        export(adapter, "merged", other)


def test_an_unknown_architecture_is_refused(adapter: Adapter, base: Base) -> None:
    with pytest.raises(ConfigError, match=r"of the kind mamba, whose layout in a GGUF is not known"):
        export(adapter, "lora", msgspec.structs.replace(base, architecture="mamba"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"peft_type": "LOHA"}, "it is no LoRA but LOHA"),
        ({"use_dora": True}, "it is a DoRA"),
        ({"bias": "all"}, "it trains biases"),
        ({"modules_to_save": ["lm_head"]}, "whole layers"),
        ({"alpha_pattern": {"q_proj": 3}}, "alphas of their own"),
        ({"lora_alpha": "much"}, r"adapter_config\.json cannot be read"),
    ],
)
def test_what_is_no_plain_lora_is_refused(
    tmp_path: Path, base: Base, changed: dict[str, Any], said: str
) -> None:
    adapter = rewritten(tmp_path, lambda peft: change(peft / "adapter_config.json", changed))
    with pytest.raises(ReleaseError, match=f"cannot be exported: .*{said}"):
        export(adapter, "lora", base)


def test_numbers_that_are_none_are_refused(tmp_path: Path, base: Base) -> None:
    def harm(peft: Path) -> None:
        from safetensors.numpy import load_file, save_file

        tensors = load_file(peft / "adapter_model.safetensors")
        next(iter(tensors.values()))[0] = numpy.nan
        save_file(tensors, peft / "adapter_model.safetensors")

    with pytest.raises(ReleaseError, match="holds numbers that are none"):
        export(rewritten(tmp_path, harm), "lora", base)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            "base_model.model.lm_head.lora_A.weight",
            "lm_head is tuned, which an adapter in a GGUF cannot hold",
        ),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "no LoRA matrix over a linear layer"),
        ("elsewhere.q_proj.lora_A.weight", "no LoRA matrix over a linear layer"),
    ],
)
def test_what_else_is_tuned_is_refused(tmp_path: Path, base: Base, named: str, said: str) -> None:
    def harm(peft: Path) -> None:
        from safetensors.numpy import load_file, save_file

        tensors = load_file(peft / "adapter_model.safetensors")
        tensors[named] = tensors[QUERY]
        tensors[named.replace("_A", "_B")] = tensors[QUERY.replace("_A", "_B")]
        save_file(tensors, peft / "adapter_model.safetensors")

    with pytest.raises((ReleaseError, ConfigError), match=said):
        export(rewritten(tmp_path, harm), "lora", base)


def test_rank_stabilised_and_uneven_ranks_are_scaled_right(tmp_path: Path, base: Base) -> None:
    def harm(peft: Path) -> None:
        shutil.rmtree(peft)
        write_peft(base, peft, use_rslora=True, rank_pattern={"down_proj": 2})

    adapter = rewritten(tmp_path, harm)
    made = open_gguf(export(adapter, "lora", base)[0])
    alpha_field = made.get_field("adapter.lora.alpha")
    assert alpha_field is not None
    found = {tensor.name: tensor.data for tensor in made.tensors}
    expected = tuned_model(adapter).base_model.model.model.layers[1].mlp.down_proj.get_delta_weight("default")
    a, b = (found[f"blk.1.ffn_down.weight.lora_{side}"] for side in "ab")
    change_of_it = alpha_field.contents() / a.shape[0] * (b @ a)  # as llama.cpp adds it
    assert numpy.allclose(change_of_it, expected.detach().numpy(), atol=1e-5)


def test_an_interrupt_leaves_nothing(adapter: Adapter, base: Base) -> None:
    def interrupted(step: str, done: int, total: int) -> None:
        if step == "hashing":
            raise KeyboardInterrupt

    for form in ("lora", "merged"):
        with pytest.raises(KeyboardInterrupt):
            export(adapter, form, base, interrupted)
        assert [path.name for path in adapter.forms.iterdir()] == [".lock"]
        assert adapter.exported(form) is None


@pytest.mark.parametrize("form", ["lora", "merged", "f16"])
def test_what_cannot_be_written_is_said_and_leaves_nothing(adapter: Adapter, base: Base, form: Form) -> None:
    with files_are_at_most(10_000), pytest.raises(StateError, match=f"{form} cannot be written"):
        export(adapter, form, base)
    assert [path.name for path in adapter.forms.iterdir()] == [".lock"]
    assert export(adapter, form, base)[0].exists()


def test_what_a_killed_export_left_is_in_nobodys_way(adapter: Adapter, base: Base) -> None:
    export(adapter, "merged", base)
    (adapter.forms / "merged.json").unlink()  # killed between the folder and the word of it
    (adapter.forms / ".making-abc").mkdir()
    assert export(adapter, "merged", base)[1].name == "merged"
    assert not list(adapter.forms.glob(".making-*"))


def test_a_full_disk_is_said_before_it_is_full(
    adapter: Adapter, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(StateError, match="0 MB free"):
        export(adapter, "q8_0", base)


def rewritten(state: Path, harm: Callable[[Path], None]) -> Adapter:
    """An adapter whose folder was other than PEFT would have it when it was registered."""
    adapter = tiny_adapter(state)
    store = Adapters(state)
    place = store.workplace()
    shutil.copytree(adapter.peft, place / "peft", dirs_exist_ok=True)
    harm(place / "peft")
    files = {path.name: file_sha256(path) for path in sorted((place / "peft").iterdir())}
    manifest = msgspec.structs.replace(adapter.manifest, files=files)
    return store.open(store.save(place, manifest, store.list()[0].made, b"")[0])


def change(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
