"""Every architecture that `KINDS` names, held to llama.cpp's answers: a random model, its GGUF laid out as `Layout` says, an adapter over both."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
from support.greedy import QUESTIONS, Served, said_by, same
from support.tiny_adapter import opened_tiny_base, tiny_adapter, tuned_model
from support.tiny_base import tiny_base, vocabulary

from smallfirst.training.export import export
from smallfirst.training.export.architectures import KINDS, Layout
from smallfirst.training.gguf_file import Field, Tensor, fields_of, open_gguf, write_gguf
from smallfirst.training.lora.base import Base, open_base
from smallfirst.training.lora.gguf_base import ARCHITECTURES
from smallfirst.training.lora.weights import linear_names

pytestmark = [pytest.mark.slow, pytest.mark.embedded]

VOCABULARY = 1024
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "query_pre_attn_scalar": 16,  # gemma's; llama.cpp takes a head's width
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "tie_word_embeddings": True,
}
ROUGH = 0.1  # float32 against llama.cpp's float16 in places


@pytest.mark.parametrize("architecture", KINDS)
def test_the_adapter_is_the_same_in_llama_cpp(architecture: str, tmp_path: Path) -> None:
    base = random_base(architecture, tmp_path)
    gguf = tmp_path / "base.gguf"
    write_base(base, gguf)
    adapter = tiny_adapter(tmp_path / "state", base=base, targets=linear_names(base.model()))
    lora, _ = export(adapter, "lora", base)
    tuned, plain, tokenizer = tuned_model(adapter, base), base.model(), base.tokenizer()
    changed = 0
    with Served(gguf, tmp_path, (("a@1", str(lora)),)) as served:
        for question in QUESTIONS:
            assert same(served.said(question), said_by(plain, tokenizer, question), within=ROUGH), (
                "the base itself"
            )
            told = served.said(question, "a@1")
            assert same(told, said_by(tuned, tokenizer, question), within=ROUGH), question
            changed += told.tokens != said_by(plain, tokenizer, question).tokens
    assert changed == len(QUESTIONS)


@pytest.mark.parametrize("architecture", ["llama", "mistral", "phi3", "qwen2", "qwen3"])
def test_a_gguf_of_it_is_turned_back_into_the_same_checkpoint(architecture: str, tmp_path: Path) -> None:
    import torch

    base = random_base(architecture, tmp_path, head_dim=128 if architecture == "qwen3" else 16)
    gguf = tmp_path / "base.gguf"
    write_base(base, gguf)
    again = open_base(str(gguf), cache=tmp_path / "cache")
    ids = torch.tensor([[5, 99, 400, 33, 700, 20, 21]])
    with torch.no_grad():
        assert torch.equal(again.model()(input_ids=ids).logits, base.model()(input_ids=ids).logits)


def test_no_other_is_turned_back() -> None:
    assert {KINDS[kind].name for kind in ("llama", "mistral", "phi3", "qwen2", "qwen3")} == set(ARCHITECTURES)


def random_base(architecture: str, folder: Path, *, head_dim: int = 16) -> Base:
    """A checkpoint of random weights, with the tiny base's tokenizer cut short."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(architecture, **(SHAPE | {"head_dim": head_dim}))
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    random = torch.Generator().manual_seed(1)
    for name, tensor in model.named_parameters():
        if tensor.ndim == 2 and "embed" not in name:
            tensor.data = torch.randn(tensor.shape, generator=random) / tensor.shape[1] ** 0.5
        elif "norm" not in name:
            tensor.data = 0.1 * torch.randn(tensor.shape, generator=random)
        if "embed" in name:  # what is no whole character llama.cpp shows no tokens of
            tensor.data[plain_tokens() == 0] *= 0.1
    place = folder / architecture
    model.save_pretrained(place)
    for path in opened_tiny_base().folder.iterdir():
        if path.name.startswith(("tokenizer", "chat_template")):
            shutil.copy(path, place)
    shorten(place / "tokenizer.json")
    return open_base(str(place), cache=folder)


def plain_tokens() -> numpy.ndarray:
    """1 for the tokens that are text of whole characters."""
    tokens = vocabulary(fields_of(open_gguf(tiny_base())), VOCABULARY)["tokenizer.ggml.tokens"]
    return numpy.array(
        [at > 16 and str(one).replace("Ġ", " ").isascii() for at, one in enumerate(tokens)], int
    )


def shorten(path: Path) -> None:
    """The tokenizer with the first pieces alone."""
    import json

    told = json.loads(path.read_text())
    model = told["model"]
    model["vocab"] = {token: at for token, at in model["vocab"].items() if at < VOCABULARY}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
    path.write_text(json.dumps(told))


def write_base(base: Base, path: Path) -> None:
    """The base's GGUF, as llama.cpp's converter would write it."""
    import torch
    from gguf import GGMLQuantizationType, GGUFValueType
    from safetensors.torch import load_file

    layout, config = Layout(base), base.config()
    tokens = fields_of(open_gguf(tiny_base()))
    shorter = vocabulary(tokens, VOCABULARY)
    fields = {
        key: field._replace(value=shorter.get(key, field.value))
        for key, field in tokens.items()
        if key.startswith("tokenizer.")
    }
    fields["general.architecture"] = Field(layout.kind.name, GGUFValueType.STRING)
    for key, value in metadata(config).items():
        kind = GGUFValueType.FLOAT32 if isinstance(value, float) else GGUFValueType.UINT32
        fields[f"{layout.kind.name}.{key}"] = Field(value, kind)
    tensors = []
    for name, tensor in load_file(base.folder / "model.safetensors").items():
        module, _, what = name.rpartition(".")
        named = layout._names.get_name(module)
        assert named is not None, name
        data = as_laid(tensor, module, layout, base).to(torch.float32).contiguous().numpy()
        tensors.append(held(f"{named}.{what}", data, GGMLQuantizationType.F32))
    write_gguf(path, fields, tensors)


def as_laid(tensor: Any, module: str, layout: Layout, base: Base) -> Any:
    """A weight or a bias as it lies in a GGUF."""
    if "norm" in module:
        return tensor + 1 if base.architecture.startswith("gemma") else tensor  # gemma's are kept less one
    return layout.laid(module, tensor if tensor.ndim == 2 else tensor[:, None]).reshape(tensor.shape)


def held(name: str, data: numpy.ndarray, kind: Any) -> Tensor:
    return Tensor(name, data.shape, kind, lambda: data)


def metadata(config: Any) -> dict[str, float]:
    """What a GGUF says of the shape."""
    told = {
        "block_count": 2,
        "context_length": 1024,
        "embedding_length": 64,
        "feed_forward_length": 128,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10_000.0,
        "rope.dimension_count": config.head_dim,
        "vocab_size": VOCABULARY,
    }
    for key, name in {
        "attention.sliding_window": "sliding_window",
        "attn_logit_softcapping": "attn_logit_softcapping",
        "final_logit_softcapping": "final_logit_softcapping",
    }.items():
        if (value := getattr(config, name, None)) is not None:
            told[key] = value
    return told
