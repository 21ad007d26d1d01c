"""What a run will take, and the setting that would fit where it is too much."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from smallfirst.errors import ConfigError, TrainingError
from smallfirst.training.lora import estimate as estimates
from smallfirst.training.lora.device import memory_refused
from smallfirst.training.lora.estimate import Estimate, Load, Shape
from smallfirst.training.lora.settings import Settings, Wanted, settings_for

GB = 10**9
LLAMA_8B = Shape(
    parameters=8_030_000_000, linear=6_979_000_000, layers=32, hidden=4096, inner=14336, values=1024, vocabulary=128_256
)  # fmt: skip
LOAD = Load(tokens=8192, supervised=2000, longest=1024)
ON_A_GPU: dict[str, Any] = {"weight_bytes": 2, "checkpointed": True}


def settings(**said: Any) -> Settings:
    return settings_for(Wanted(**said), parameters=LLAMA_8B.parameters, examples=2000, device="cuda")


def test_the_shape_is_read_off_a_configuration() -> None:
    from transformers import LlamaConfig

    config = LlamaConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=128_256, tie_word_embeddings=False,
    )  # fmt: skip
    shape = estimates.shape_of(config, 8_030_000_000)
    assert shape._replace(linear=0) == LLAMA_8B._replace(linear=0)
    assert abs(shape.linear - LLAMA_8B.linear) < 0.01 * LLAMA_8B.linear
    assert 16 * shape.lora == 41_943_040  # PEFT's count of a rank of 16 on all linear layers


def test_four_bits_need_less_and_computing_layers_twice_too() -> None:
    plain = estimates.memory(LLAMA_8B, settings(), LOAD, weight_bytes=2, checkpointed=False)
    twice = estimates.memory(LLAMA_8B, settings(), LOAD, **ON_A_GPU)
    four = estimates.memory(LLAMA_8B, settings(method="qlora"), LOAD, **ON_A_GPU)
    assert plain.total > twice.total > four.total
    assert 15 * GB < twice.weights < 17 * GB
    assert 5 * GB < four.weights < 7 * GB


def test_the_batch_that_is_named_does_fit() -> None:
    free = 27 * GB
    with pytest.raises(
        ConfigError, match=r"needs about .* GB of memory, and 27\.0 GB are free: --batch-tokens (\d+)"
    ) as refused:
        estimates.check_memory(LLAMA_8B, settings(), LOAD, free, **ON_A_GPU)
    tokens = int(re.findall(r"--batch-tokens (\d+)", str(refused.value))[0])
    assert LOAD.longest <= tokens < LOAD.tokens
    smaller = Load(tokens, LOAD.supervised * tokens // LOAD.tokens, LOAD.longest)
    estimates.check_memory(LLAMA_8B, settings(batch_tokens=tokens), smaller, free, **ON_A_GPU)


def test_where_no_batch_fits_four_bits_are_named_once() -> None:
    with pytest.raises(ConfigError, match="--method qlora"):
        estimates.check_memory(LLAMA_8B, settings(), LOAD, 8 * GB, **ON_A_GPU)
    with pytest.raises(ConfigError, match="smaller base") as refused:
        estimates.check_memory(LLAMA_8B, settings(method="qlora"), LOAD, 2 * GB, **ON_A_GPU)
    assert "--method qlora" not in str(refused.value)


def told(seconds: float) -> Estimate:
    return Estimate(
        device="a test", memory_bytes=0, memory_free_bytes=0, disk_bytes=0, disk_free_bytes=0, steps=1, epochs=4, examples=1, tokens=1,
        seconds=seconds,
    )  # fmt: skip


def test_a_budget_of_time_names_the_epochs_that_fit() -> None:
    estimates.check_time(told(600), settings(epochs=4), 10)
    estimates.check_time(told(600), settings(epochs=4), None)
    with pytest.raises(
        ConfigError, match="about 10 min, and --budget-minutes allows 6 min: --epochs 2 would fit"
    ):
        estimates.check_time(told(600), settings(epochs=4), 6)
    with pytest.raises(ConfigError, match="not even one epoch"):
        estimates.check_time(told(600), settings(epochs=4), 1)


def test_time_that_no_epoch_saves_is_not_promised_away() -> None:
    measured = msgspec.structs.replace(told(600), measuring_seconds=200)
    with pytest.raises(ConfigError, match="--epochs 1 would fit"):
        estimates.check_time(measured, settings(epochs=4), 6)
    with pytest.raises(ConfigError, match="not even one epoch"):
        estimates.check_time(measured, settings(epochs=4), 4)


def test_long_prompts_are_answered_in_memory_too() -> None:
    """Their keys and values are kept, whatever a step of the training needs."""
    short, long = (
        estimates.memory(LLAMA_8B, settings(), Load(256, 8, longest), **ON_A_GPU) for longest in (128, 8192)
    )
    cache = 2 * 32 * 1024 * 2  # bytes a token
    assert long.total - short.total > 0.7 * 8192 * cache
    assert long.total > long.weights + long.adapter + long.measuring


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")],
)  # fmt: skip
def test_memory_that_is_refused_all_the_same_says_what_helps(error: Exception) -> None:
    with pytest.raises(TrainingError, match="--batch-tokens 4096"), memory_refused(settings()):
        raise error


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_refused(settings()):
        raise RuntimeError("shapes do not fit")


def test_a_disk_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = estimates.disk_bytes(LLAMA_8B, settings())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    assert estimates.check_disk(needed, tmp_path) == needed
    with pytest.raises(ConfigError, match="MB of disk for its checkpoint"):
        estimates.check_disk(needed + 1, tmp_path)


@pytest.fixture
def group(tmp_path: Path) -> Callable[..., Path]:
    """A control group's files."""

    def made(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / name.replace("_", ".", 1)).write_text(text)
        return tmp_path

    return made


def test_a_control_groups_limit_counts_without_its_page_cache(group: Callable[..., Path]) -> None:
    root = group(memory_max="1000\n", memory_current="700\n", memory_stat="anon 400\ninactive_file 250\n")
    assert estimates._left_of_group(root) == 550


def test_a_group_without_a_limit_leaves_everything(group: Callable[..., Path]) -> None:
    root = group(memory_max="max\n", memory_current="700\n", memory_stat="anon 400\n")
    assert estimates._left_of_group(root) > 2**60
    assert estimates._left_of_group(root / "nowhere") > 2**60


def test_memory_that_is_available_is_read(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    5 kB\n")
    assert estimates._available(tmp_path / "meminfo") == 5 * 1024
    assert estimates._available(tmp_path / "none") > 0
    assert estimates.free_memory("cpu") > 0
