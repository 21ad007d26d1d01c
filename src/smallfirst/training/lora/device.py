"""Where a run computes, how exactly, and what it is called."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from smallfirst.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    import torch

    from smallfirst.training.lora.settings import Settings

DEVICES = ("auto", "cpu", "cuda")


def device_of(wanted: str) -> torch.device:
    """`auto`: a GPU where there is one. Raises `ConfigError` for a device that is not known, or not here."""
    import torch

    if wanted not in DEVICES:
        raise ConfigError(f"{wanted!r} is not known (known: {', '.join(DEVICES)})", path="--device")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "this torch sees no GPU: take --device cpu, or install the build of torch for your GPU",
            path="--device",
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def precision_of(device: torch.device) -> torch.dtype:
    """bfloat16 on GPUs that compute in it, else float32: on a CPU it is as fast, and says the same every time."""
    import torch

    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


@contextmanager
def memory_refused(settings: Settings) -> Iterator[None]:
    """Within it, memory that the device refuses is a `TrainingError` with the setting that needs less of it."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_of_memory(error):
            raise
        raise TrainingError(
            "the device has no memory left, though it seemed to have enough: stop what else uses it, or take "
            f"--batch-tokens {max(16, settings.batch_tokens // 2)}"
        ) from error


def _is_of_memory(error: RuntimeError) -> bool:
    """A CPU's allocator has no error of its own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def hardware_of(device: torch.device) -> str:
    """For people: "NVIDIA H100 80GB HBM3", "AMD EPYC 7551, 2 cores"."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
