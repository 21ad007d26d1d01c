"""An adapter's weights over a base: put on, read, put back, and written as the folder that PEFT, vLLM and llama.cpp's converter read."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import ConfigError
from smallfirst.models.adapters.store import file_sha256
from smallfirst.training.lora.settings import Settings

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"


def with_adapter(model: Any, settings: Settings) -> PeftModel:
    """The base with new weights over all its linear layers but the output: frozen, but for these. Drawn by the settings' seed.

    Raises `ConfigError` where it has no such layers.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    targets = linear_names(model)
    if not targets:
        raise ConfigError("the base has no linear layers that an adapter could lie over")
    torch.manual_seed(settings.seed)
    wanted = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    made = get_peft_model(model, wanted)
    assert isinstance(made, PeftModel)
    return made


def compute_layers_twice(model: Any) -> None:
    """Lets each layer be computed again for its gradient, and keep nothing meanwhile: a third more time, a fraction of the memory."""
    causal = model.get_base_model()
    if not causal.supports_gradient_checkpointing:
        return
    if hasattr(causal, "activation_checkpointing_enable"):  # its name since transformers 5.24
        causal.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        causal.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def linear_names(model: Any) -> list[str]:
    """The last parts of the names of its linear layers, but for the output's."""
    from torch import nn

    output = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module is not output
        }
    )


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """What is learned, by name, in an order that does not change."""
    return {name: value for name, value in sorted(model.named_parameters()) if value.requires_grad}


def bytes_of_base(model: Any) -> int:
    """What the frozen weights take in memory, as they are kept."""
    frozen = [value for value in model.parameters() if not value.requires_grad]
    return sum(value.numel() * value.element_size() for value in [*frozen, *model.buffers()])


def copied(model: Any) -> dict[str, torch.Tensor]:
    """The same as copies in main memory."""
    return {name: value.detach().to("cpu", copy=True) for name, value in trained(model).items()}


def put_back(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Sets what is learned. Raises `KeyError` or `RuntimeError` where it is another adapter's."""
    import torch

    with torch.no_grad():
        for name, value in trained(model).items():
            value.copy_(tensors[name])


def write_peft(model: Any, folder: Path, *, base: str) -> dict[str, str]:
    """Writes the folder, and returns its files with their hashes. The same weights give the same bytes, and no path of this machine."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: state[name].detach().float().cpu().contiguous() for name in sorted(state)}
    write_whole(folder / _WEIGHTS, save(tensors, metadata={"format": "pt"}))
    config = model.peft_config["default"].to_dict() | {
        "base_model_name_or_path": base,
        "inference_mode": True,
    }
    plain = {name: _plain(value) for name, value in config.items()}
    write_whole(folder / _CONFIG, msgspec.json.format(msgspec.json.encode(plain, order="sorted"), indent=2))
    return {name: file_sha256(folder / name) for name in (_CONFIG, _WEIGHTS)}


def _plain(value: Any) -> Any:
    """As JSON has it: a set in order, since Python's own order changes from run to run."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return value.value if isinstance(value, enum.Enum) else value
