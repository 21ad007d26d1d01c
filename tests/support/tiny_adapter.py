"""Whole adapters over the tiny base (or any), made in a moment: random, and strong enough that the model says something else."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from support.datasets import AT_MS, LABELS
from support.tiny_base import tiny_base, tiny_cache

from smallfirst import __version__
from smallfirst.contracts import Contract
from smallfirst.models.adapters.adapter import AskedTold, Made, Manifest, Probe
from smallfirst.models.adapters.store import Adapter, Adapters, file_sha256
from smallfirst.releases.policy import canonical
from smallfirst.training.lora.base import Base, open_base

TUNED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@functools.cache
def opened_tiny_base(*, quantised: bool = False) -> Base:
    """The tiny base as a Hugging Face checkpoint, converted once for all tests."""
    return open_base(str(tiny_base(quantised=quantised)), cache=tiny_cache())


def tiny_adapter(
    state: Path,
    *,
    base: Base | None = None,
    task: str = "triage",
    dataset: str = "0" * 64,
    contract: Contract = LABELS,
    asked: AskedTold = AskedTold(),
    probes: Sequence[Probe] = (),
    seed: int = 1,
    strength: float = 1.0,
    rank: int = 4,
    targets: Sequence[str] = TUNED,
) -> Adapter:
    """An adapter in the store of `state`. `strength` is how big its change of a weight is beside the weight; another `seed` is another adapter."""
    base = base or opened_tiny_base()
    store = Adapters(state)
    place = store.workplace()
    settings = {"rank": rank, "alpha": 2 * rank, "seed": seed}
    write_peft(base, place / "peft", rank=rank, seed=seed, strength=strength, target_modules=list(targets))
    base.write_template(place / "peft")
    lines = b"".join(msgspec.json.encode(probe) + b"\n" for probe in probes)
    manifest = Manifest(
        task=task,
        method="lora",
        base=base.told(),
        dataset=dataset,
        asked=asked,
        contract_sha256=hashlib.sha256(canonical(contract)).hexdigest(),
        settings=settings,
        files={path.name: file_sha256(path) for path in sorted((place / "peft").iterdir())},
        probes_sha256=hashlib.sha256(lines).hexdigest(),
        scores={"score": 0.5, "loss": 1.0},
        version=__version__,
    )
    made = Made(at_ms=AT_MS, by="a test", version=__version__, hardware="a test's", seconds=1.0)
    name, _ = store.save(place, manifest, made, lines)
    return store.open(name)


def tuned_model(adapter: Adapter, base: Base | None = None) -> Any:
    """The base with the adapter, unmerged, as a trainer has it."""
    from peft import PeftModel

    model: Any = PeftModel.from_pretrained((base or opened_tiny_base()).model(), str(adapter.peft))
    return model.eval()


def write_peft(
    base: Base, folder: Path, *, rank: int = 4, seed: int = 1, strength: float = 1.0, **config: Any
) -> None:
    """A PEFT folder with random weights; `config` are further fields of `LoraConfig`."""
    import torch
    from peft import LoraConfig, get_peft_model

    given: dict[str, Any] = {"r": rank, "lora_alpha": 2 * rank, "target_modules": list(TUNED), **config}
    model = get_peft_model(base.model(), LoraConfig(task_type="CAUSAL_LM", **given))
    random = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        if (
            "lora_" in name
        ):  # A's rows are of length 1, and alpha / rank is 2: B makes the change as big as wanted
            wide = tensor.shape[1] if "lora_A" in name else rank
            scale = 1.0 if "lora_A" in name else strength / 2
            tensor.data = torch.randn(tensor.shape, generator=random) * scale / wide**0.5
    model.peft_config["default"].base_model_name_or_path = base.name
    model.save_pretrained(str(folder), save_embedding_layers=False)  # else it looks for the base on the hub
    (folder / "README.md").unlink()
    told = folder / "adapter_config.json"
    fields = json.loads(told.read_text())
    if isinstance(fields["target_modules"], list):
        fields["target_modules"].sort()  # PEFT writes a set: in another order in each process
    told.write_text(json.dumps(fields, indent=2))
