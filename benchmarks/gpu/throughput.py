"""How fast adapters are trained, and in how much memory: `python -m benchmarks.gpu.throughput --shape llama-8b`.

The base has the shape of a known model and random weights: time and memory do not depend on what is in them. The step is the product's own
(`training/lora/`). Beside what was measured stands what `train` would have foretold. Prints a table; `--out FILE` writes it as JSON,
with the device's name and the day.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, LlamaConfig

from smallfirst.training.lora import estimate as estimates
from smallfirst.training.lora.batches import collate, packing_for, supervised_loss
from smallfirst.training.lora.device import device_of, hardware_of, precision_of
from smallfirst.training.lora.packing import plan_epoch
from smallfirst.training.lora.rendering import Rendered
from smallfirst.training.lora.settings import Settings, Wanted, settings_for
from smallfirst.training.lora.weights import compute_layers_twice, with_adapter

_SHAPES: dict[str, dict[str, Any]] = {
    # the published configurations of Llama-3.1-8B, Llama-3.2-1B and SmolLM2-135M
    "llama-8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                 "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False},
    "llama-1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
                 "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": True},
    "smollm2-135m": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
                     "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 512, "tie_word_embeddings": True},
}  # fmt: skip
_SUPERVISED = 32  # tokens of an answer


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One length. `memory` in bytes, the device's peak (None on a CPU); `foretold` what the estimate says."""

    method: str
    tokens: int  # of an example
    batch_tokens: int
    layers_twice: bool
    tokens_per_s: float
    step_s: float
    memory: int | None
    foretold: int


def measure(shape: str, length: int, *, method: str, device: str, steps: int, batch_tokens: int) -> Measured:
    """The time of a step of examples of this length, after one that is not counted."""
    where = device_of(device)
    precision = precision_of(where)
    config = LlamaConfig(**_SHAPES[shape], max_position_embeddings=max(length, 2048))
    if where.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(0)
    with torch.device(where if method == "lora" else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=precision)
    parameters = sum(value.numel() for value in model.parameters())
    settings = _settings(method, parameters, where.type, batch_tokens)
    if method == "qlora":
        from smallfirst.training.lora.nf4 import quantise

        quantise(model, device=where)
    tuned = with_adapter(model, settings)
    load = estimates.Load(max(batch_tokens, length), _SUPERVISED * max(1, batch_tokens // length), length)
    told = estimates.shape_of(config, parameters)
    free = estimates.free_memory(where.type)
    width = precision.itemsize
    plain = estimates.memory(told, settings, load, weight_bytes=width, checkpointed=False)
    twice = plain.total > free / 2
    if twice:
        compute_layers_twice(tuned)
    foretold = estimates.memory(told, settings, load, weight_bytes=width, checkpointed=twice)
    step_s, tokens = _timed(
        tuned, _rows(length, config.vocab_size, batch_tokens * (steps + 1)), settings, where, steps
    )
    return Measured(
        method=method,
        tokens=length,
        batch_tokens=batch_tokens,
        layers_twice=twice,
        tokens_per_s=tokens / step_s,
        step_s=step_s,
        memory=torch.cuda.max_memory_allocated() if where.type == "cuda" else None,
        foretold=foretold.total,
    )


def _settings(method: str, parameters: int, device: str, batch_tokens: int) -> Settings:
    wanted = Wanted(
        method="qlora" if method == "qlora" else "lora", batch_tokens=batch_tokens, batch_examples=4096
    )
    return settings_for(wanted, parameters=parameters, examples=1000, device=device)


def _rows(length: int, vocabulary: int, tokens: int) -> list[Rendered]:
    chance = random.Random(0)
    return [
        Rendered(
            id=str(at),
            ids=[chance.randrange(vocabulary) for _ in range(length)],
            supervised_from=max(1, length - _SUPERVISED),
            prompt_sha256="",
        )
        for at in range(max(2, tokens // length))
    ]


def _timed(
    tuned: Any, rows: list[Rendered], settings: Settings, where: torch.device, steps: int
) -> tuple[float, float]:
    """Seconds and tokens of a step, on average."""
    learned = [value for value in tuned.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=settings.rate)
    packing = packing_for(
        rows, tuned, batch_tokens=settings.batch_tokens, batch_examples=settings.batch_examples, pack=False
    )
    plans = plan_epoch(rows, packing, seed=0, epoch=0)[: steps + 1]
    tuned.train()
    tokens, began = 0, time.perf_counter()
    for at, plan in enumerate(plans):
        if at == 1:
            _wait(where)
            tokens, began = 0, time.perf_counter()
        batch = collate(rows, plan, packing, device=where)
        with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
            loss, supervised = supervised_loss(tuned, batch)
        (loss / supervised).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        tokens += batch.tokens
    _wait(where)
    counted = max(1, len(plans) - 1)
    return (time.perf_counter() - began) / counted, tokens / counted


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=_SHAPES, default="llama-8b")
    parser.add_argument(
        "--lengths", default="256,1024,4096", help="tokens of an example, several with commas"
    )
    parser.add_argument("--method", choices=("lora", "qlora"), action="append")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    console = Console(width=120)
    table = Table(
        title=f"{told.shape}, random weights, on {hardware_of(device_of(told.device))}", title_justify="left"
    )
    for name in (
        "method",
        "tokens an example",
        "tokens a step",
        "layers twice",
        "tokens/s",
        "s a step",
        "memory GB",
        "foretold GB",
    ):
        table.add_column(name, justify="right")
    found = [
        measure(
            told.shape,
            int(length),
            method=method,
            device=told.device,
            steps=told.steps,
            batch_tokens=max(told.batch_tokens, int(length)),
        )
        for method in told.method or ["lora"]
        for length in told.lengths.split(",")
    ]
    for one in found:
        table.add_row(
            one.method, f"{one.tokens:,}", f"{one.batch_tokens:,}", "yes" if one.layers_twice else "no", f"{one.tokens_per_s:,.0f}",
            f"{one.step_s:.3f}", "–" if one.memory is None else f"{one.memory / 1e9:.1f}", f"{one.foretold / 1e9:.1f}",
        )  # fmt: skip
    console.print(table)
    if told.out is not None:
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        beside = {
            "day": day,
            "device": hardware_of(device_of(told.device)),
            "torch": str(torch.__version__),
            "shape": told.shape,
        }
        told.out.write_text(
            json.dumps(beside | {"rows": msgspec.to_builtins(found)}, indent=1) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
