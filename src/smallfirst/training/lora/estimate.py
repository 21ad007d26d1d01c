"""What a run will take, before it starts: memory by the shape of the base, disk, and time by a step that was timed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.training.lora.settings import Settings

_GB = 1e9
ANSWERS_TOGETHER, TOKENS_TOGETHER = 16, 8192  # calibration examples that are answered at once, at most
LOSS_TOKENS = 2048  # computed at once for their loss
_SPARE_BYTES = 400_000_000  # the libraries' own, and what allocators keep
_SLACK = 1.15  # measured needs were within this of the formula
_FULL = 4  # bytes of a float32
_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # of a weight, its constants in eight bits


class Shape(NamedTuple):
    """What memory depends on, from a checkpoint's configuration. `linear` parameters are in linear layers but the output's."""

    parameters: int
    linear: int
    layers: int
    hidden: int
    inner: int
    values: int  # width of the keys, and of the values
    vocabulary: int

    @property
    def lora(self) -> int:
        """Parameters of an adapter of rank 1 on all linear layers."""
        attention = 4 * self.hidden + 2 * (self.hidden + self.values)
        return self.layers * (attention + 3 * (self.hidden + self.inner))

    @property
    def layer_floats(self) -> float:
        """Numbers that one layer keeps of a token for its gradient."""
        return 12 * self.hidden + 2 * self.values + 5 * self.inner


def shape_of(config: Any, parameters: int) -> Shape:
    """The shape that a Hugging Face configuration says, of a base of so many parameters."""
    text = config.get_text_config()
    hidden, layers = text.hidden_size, text.num_hidden_layers
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or hidden // heads
    values = width * (getattr(text, "num_key_value_heads", None) or heads)
    tied = 1 if getattr(text, "tie_word_embeddings", False) else 2
    return Shape(
        parameters=parameters,
        linear=max(0, parameters - tied * text.vocab_size * hidden),
        layers=layers,
        hidden=hidden,
        inner=getattr(text, "intermediate_size", None) or 4 * hidden,
        values=values,
        vocabulary=text.vocab_size,
    )


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on the device."""

    weights: int
    adapter: int  # its weights, their gradients, the optimiser's two moments, the best so far
    activations: int
    output: int  # of the tokens that are learned from, over the whole vocabulary
    measuring: int  # keys and values of answers to calibration examples: at another time than the two before

    @property
    def total(self) -> int:
        most = max(self.activations + self.output, self.measuring)
        return int((self.weights + self.adapter + most) * _SLACK) + _SPARE_BYTES


class Load(NamedTuple):
    """The most that goes through the model at once: tokens with padding, those that are learned from, and the longest example."""

    tokens: int
    supervised: int
    longest: int


def memory(shape: Shape, settings: Settings, load: Load, *, weight_bytes: int, checkpointed: bool) -> Memory:
    """What training needs. `weight_bytes`: of a weight of the base as it is computed with; `checkpointed`: layers are computed twice."""
    weights = shape.parameters * weight_bytes
    if settings.method == "qlora":
        weights = int(shape.linear * _NF4_BYTES + (shape.parameters - shape.linear) * weight_bytes)
        weights += int(shape.linear / max(1, shape.layers) / 3 * _FULL)  # one layer at a time is written out
    kept = shape.layer_floats * weight_bytes
    activations = (
        shape.layers * shape.hidden * weight_bytes + kept if checkpointed else shape.layers * kept
    ) * load.tokens
    return Memory(
        weights=weights,
        adapter=5 * settings.rank * shape.lora * _FULL,
        activations=int(activations),
        output=3 * load.supervised * shape.vocabulary * _FULL,
        measuring=_measuring(shape, load, weight_bytes),
    )


def _measuring(shape: Shape, load: Load, weight_bytes: int) -> int:
    """What is kept of all layers, and of the one that is computed, while examples are answered together; or their loss over the vocabulary."""
    together = min(ANSWERS_TOGETHER * load.longest, max(TOKENS_TOGETHER, load.longest))
    kept = together * (2 * shape.layers * shape.values + shape.layer_floats) * weight_bytes
    logits = 3 * ANSWERS_TOGETHER * shape.vocabulary * _FULL
    loss = 2 * max(LOSS_TOKENS, load.longest) * load.supervised / load.tokens * shape.vocabulary * _FULL
    return int(max(kept + logits, loss))


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown before a run starts. `seconds` is None until a step was timed, `measuring_seconds` of it go by without learning; `usd` is None
    where the price of an hour is not known.
    """

    device: str
    memory_bytes: int
    memory_free_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    steps: int
    epochs: int
    examples: int
    tokens: int
    seconds: float | None = None
    measuring_seconds: float = 0.0
    usd: float | None = None


def check_memory(shape: Shape, settings: Settings, load: Load, free_bytes: int, **how: Any) -> Memory:
    """What the run needs. Raises `ConfigError` where the device has less, with a setting that would fit; `how` is `memory`'s."""
    needed = memory(shape, settings, load, **how)
    if needed.total <= free_bytes:
        return needed
    tokens = load.tokens
    while tokens > load.longest:
        tokens = max(load.longest, tokens // 2)
        smaller = Load(tokens, max(1, load.supervised * tokens // load.tokens), load.longest)
        if memory(shape, settings, smaller, **how).total <= free_bytes:
            break
    else:
        raise ConfigError(f"{_lacks(needed.total, free_bytes)}: {_otherwise(settings)}")
    raise ConfigError(f"{_lacks(needed.total, free_bytes)}: --batch-tokens {tokens} would fit")


def _lacks(needed: int, free: int) -> str:
    return f"the run needs about {needed / _GB:.1f} GB of memory, and {free / _GB:.1f} GB are free"


def _otherwise(settings: Settings) -> str:
    qlora = "--method qlora keeps the base in four bits; else " if settings.method == "lora" else ""
    return f"{qlora}take a smaller base, a larger machine, or shorter examples (--skip-long leaves out what is over the context)"


def check_disk(needed_bytes: int, folder: Path) -> int:
    """Bytes that are free there. Raises `ConfigError` where they are too few."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise ConfigError(
            f"the run needs {needed_bytes / 1e6:,.0f} MB of disk for its checkpoint and its adapter, and {free / 1e6:,.0f} MB are free in "
            f"{folder}: make room, or take a lower --rank"
        )
    return free


def disk_bytes(shape: Shape, settings: Settings) -> int:
    """A checkpoint while the one before is still there (weights, two moments, the best), the adapter, and some room."""
    return (2 * 4 + 1) * settings.rank * shape.lora * _FULL + 64_000_000


def check_time(estimate: Estimate, settings: Settings, budget_minutes: float | None) -> None:
    """Raises `ConfigError` where the run would take longer than it may, with the epochs that would fit."""
    if budget_minutes is None or estimate.seconds is None or estimate.seconds <= 60 * budget_minutes:
        return
    learning_s = estimate.seconds - estimate.measuring_seconds
    fits = int(settings.epochs * (60 * budget_minutes - estimate.measuring_seconds) / learning_s)
    way = (
        f"--epochs {fits} would fit"
        if fits > 0
        else "not even one epoch would fit: take fewer examples, a smaller base or a faster device"
    )
    raise ConfigError(
        f"the run would take about {duration(estimate.seconds)}, and --budget-minutes allows {budget_minutes:g} min: {way}"
    )


def duration(seconds: float) -> str:
    """For people: "90 s", "12 min", "3.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def free_memory(device: str) -> int:
    """Bytes that a run can have on the device: of a CPU, what neither the machine nor this process's control group has given away."""
    import torch

    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return min(_available(Path("/proc/meminfo")), _left_of_group(Path("/sys/fs/cgroup")))


def _available(path: Path) -> int:
    """Of the whole machine; where there is no such file, its physical memory."""
    try:
        lines = path.read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_of_group(root: Path) -> int:
    """What the control group's limit leaves, its page cache not counted (cgroup v2, then v1); a very large number where there is no limit."""
    for limit, usage, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            most = int((root / limit).read_text("ascii"))
            used = int((root / usage).read_text("ascii"))
            told = dict(line.split() for line in (root / stat).read_text("ascii").splitlines())
        except (OSError, ValueError):
            continue
        cached = int(told.get("total_inactive_file", told.get("inactive_file", 0)))
        return max(0, most - max(0, used - cached))
    return 1 << 62
