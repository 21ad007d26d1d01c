"""An adapter over the tiny base with the probes that its trainer would have asked: what `adapters deploy` compares a server with."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.datasets import LABELS
from support.tiny_adapter import opened_tiny_base, tiny_adapter, tuned_model

from smallfirst.contracts import Contract
from smallfirst.datasets.store import Dataset
from smallfirst.models.adapters.adapter import AskedTold, Probe
from smallfirst.models.adapters.store import Adapter
from smallfirst.training.lora.base import Base
from smallfirst.training.lora.measure import yardstick
from smallfirst.training.lora.rendering import render_all


def probed_adapter(
    state: Path,
    dataset: Dataset,
    *,
    base: Base | None = None,
    contract: Contract = LABELS,
    asked: AskedTold = AskedTold(),
    seed: int = 1,
    strength: float = 1.0,
) -> Adapter:
    """Its probes are the answers of the base with the adapter, as transformers has them, to the calibration part."""
    base = base or opened_tiny_base()
    made = tiny_adapter(
        state, base=base, dataset=dataset.id, contract=contract, asked=asked, seed=seed, strength=strength
    )
    probes = trainers_answers(made, dataset, base=base, contract=contract)
    shutil.rmtree(made.folder)
    return tiny_adapter(
        state,
        base=base,
        dataset=dataset.id,
        contract=contract,
        asked=asked,
        probes=probes,
        seed=seed,
        strength=strength,
    )


def trainers_answers(adapter: Adapter, dataset: Dataset, *, base: Base, contract: Contract) -> list[Probe]:
    examples = list(dataset.examples("calibration"))
    tokenizer = base.tokenizer()
    rows = render_all(
        examples,
        tokenizer,
        asked=adapter.manifest.asked,
        contract=contract,
        context_tokens=base.context_tokens,
    ).rows
    measure = yardstick(examples, rows, tokenizer=tokenizer, contract=contract, scorer=None)
    return measure.probes(tuned_model(adapter, base))
