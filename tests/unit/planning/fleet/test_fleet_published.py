"""The model against published runs, each predicted by what was fitted without the runs of the same people."""

from __future__ import annotations

from statistics import median

import pytest

from smallfirst.planning.fleet import catalogue
from smallfirst.planning.fleet.published import left_out_error, published_runs, sources

GOAL = 0.3
MIDDLE = ("llama-3.1-8b", "qwen3-8b", "mistral-7b", "llama-2-7b")


def errors(gpu: str, *, engine: str = "") -> list[float]:
    return [
        left_out_error(each)
        for each in published_runs()
        if each.gpu.startswith(gpu)
        and each.counted
        and each.model in MIDDLE
        and engine in sources()[each.source].engine
    ]


@pytest.mark.parametrize("gpu", ["A100", "L40S", "RTX-4090", "H200"])
def test_every_run_of_8b_is_within_30_percent(gpu: str) -> None:
    found = errors(gpu)
    assert found
    assert all(abs(each) <= GOAL for each in found), found


def test_on_the_h100_all_but_three_are() -> None:
    # The misses are named in docs/fleet.md: two of GPUStack's, 30 and 36 % slower than other people's; one of a wave of 32 that marches in step.
    found = errors("H100")
    assert len(found) == 44
    assert sum(abs(each) > GOAL for each in found) <= 3
    assert max(map(abs, found)) < 0.37
    assert median(map(abs, found)) < 0.15


def test_each_of_the_three_is_held_against_vllm_itself_or_says_so() -> None:
    assert len(errors("H100", engine="vllm")) >= 40
    assert len(errors("A100", engine="vllm")) == 3
    # On the L40S no run of 8B on vLLM states its lengths: the counted ones are TensorRT-LLM's, and vLLM's of 32B.
    assert errors("L40S", engine="vllm") == []
    [bigger] = [
        left_out_error(each)
        for each in published_runs()
        if each.gpu == "L40S" and each.counted and each.model == "qwen3-32b"
    ]
    [inferred] = [
        left_out_error(each) for each in published_runs() if each.gpu == "L40S" and each.source == "red-hat"
    ]
    assert max(abs(bigger), abs(inferred)) < GOAL


def test_what_is_fitted_is_physical() -> None:
    for left in (catalogue.efficiency(), *catalogue.efficiency_without().values()):
        assert 0.2 < left.fp8_share < left.bf16_share < 0.9
        assert 0.6 < left.bandwidth_share < 1


def test_every_source_says_where_and_when_and_every_group_is_left_out_once() -> None:
    for source in sources().values():
        assert source.url.startswith("https://")
        assert source.title
    assert set(catalogue.efficiency_without()) == {each.group for each in published_runs() if each.counted}
    assert all(each.source in sources() for each in published_runs())


def test_a_run_whose_lengths_are_inferred_is_never_counted() -> None:
    assert {each.source for each in published_runs() if each.lengths == "inferred"} == {
        "red-hat",
        "accelmark",
    }
    assert not any(each.counted for each in published_runs() if each.lengths != "stated")
