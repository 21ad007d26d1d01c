"""What PEFT wrote, as pairs of matrices: an adapter changes a layer's weight by `scale * b @ a`."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from smallfirst.errors import ReleaseError
from smallfirst.models.adapters.store import Adapter
from smallfirst.training.gguf_file import NEEDS_TRAIN

if TYPE_CHECKING:
    import torch

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


class Pair(NamedTuple):
    """`module` is the layer's name in the base; `a` is rank × inputs, `b` outputs × rank, both float32."""

    module: str
    a: torch.Tensor
    b: torch.Tensor
    scale: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def change(self) -> torch.Tensor:
        """What is added to the layer's weight: outputs × inputs."""
        return self.scale * (self.b @ self.a)


class _Config(msgspec.Struct):
    """The fields of `adapter_config.json` that say how the weights are meant."""

    r: int
    lora_alpha: float
    peft_type: str
    use_rslora: bool = False
    use_dora: bool = False
    fan_in_fan_out: bool = False
    bias: str = "none"
    alpha_pattern: dict[str, Any] | None = None
    modules_to_save: list[str] | None = None
    layer_replication: Any = None
    alora_invocation_tokens: Any = None


def pairs_of(adapter: Adapter) -> list[Pair]:
    """The adapter's weights, by layer. Raises `ReleaseError` where it holds more than LoRA matrices over linear layers, or was altered."""
    adapter.check()
    config = _config(adapter)
    tensors = _tensors(adapter)
    modules = sorted({name.removesuffix(_A).removesuffix(_B) for name in tensors})
    pairs: list[Pair] = []
    for module in modules:
        a, b = tensors.get(module + _A), tensors.get(module + _B)
        if a is None or b is None or not module.startswith(_PREFIX):
            raise _refused(adapter, f"it holds {module}, which is no LoRA matrix over a linear layer")
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
            raise _refused(adapter, f"the matrices of {module} do not fit each other")
        scale = config.lora_alpha / (sqrt(a.shape[0]) if config.use_rslora else a.shape[0])
        pairs.append(Pair(module.removeprefix(_PREFIX), a, b, scale))
    if not pairs:
        raise _refused(adapter, "it holds no weights")
    return pairs


def _config(adapter: Adapter) -> _Config:
    try:
        config = msgspec.json.decode((adapter.peft / "adapter_config.json").read_bytes(), type=_Config)
    except (OSError, msgspec.DecodeError) as error:
        raise _refused(adapter, f"its adapter_config.json cannot be read: {error}") from error
    wrong = {
        f"it is no LoRA but {config.peft_type}": config.peft_type != "LORA",
        "it is a DoRA": config.use_dora,
        "it trains biases": config.bias != "none",
        "it has whole layers beside the matrices (modules_to_save)": bool(config.modules_to_save),
        "its layers have alphas of their own (alpha_pattern)": bool(config.alpha_pattern),
        "its matrices are transposed (fan_in_fan_out)": config.fan_in_fan_out,
        "it repeats layers (layer_replication)": bool(config.layer_replication),
        "it is an activated LoRA": bool(config.alora_invocation_tokens),
        f"its alpha is {config.lora_alpha}": not isfinite(config.lora_alpha),
    }
    if found := next((what for what, is_so in wrong.items() if is_so), None):
        raise _refused(adapter, found)
    return config


def _tensors(adapter: Adapter) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise _refused(adapter, NEEDS_TRAIN) from error
    path = adapter.peft / "adapter_model.safetensors"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _refused(adapter, f"{path.name} cannot be read: {error}") from error
    if bad := next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None):
        raise _refused(adapter, f"{bad} holds numbers that are none: its training went wrong")
    return {name: tensor.float() for name, tensor in tensors.items()}


def _refused(adapter: Adapter, why: str) -> ReleaseError:
    return ReleaseError(f"adapter {adapter.id[:12]} cannot be exported: {why}")
