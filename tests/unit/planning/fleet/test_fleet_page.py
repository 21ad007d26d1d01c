"""The figures of docs/fleet.md are those that the code computes."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import pytest

from smallfirst.planning.fleet import Load, Server, catalogue, engine_for, saturated, served
from smallfirst.planning.fleet.published import left_out_error, published_runs

PAGE = (Path(__file__).parents[4] / "docs" / "fleet.md").read_text("utf-8")
MIDDLE = ("llama-3.1-8b", "qwen3-8b", "mistral-7b", "llama-2-7b")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    table = PAGE[PAGE.index(heading) :].split("\n| --- ")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def off(value: float) -> str:
    return f"{100 * value:+.0f} %"


@pytest.mark.parametrize("row", rows("## Held against"), ids=lambda row: row[0])
def test_how_far_off_it_is(row: list[str]) -> None:
    found = [
        left_out_error(each)
        for each in published_runs()
        if each.gpu == row[0] and each.counted and each.model in MIDDLE
    ]
    within = sum(abs(each) <= 0.3 for each in found)
    assert row[1:] == [
        str(len(found)),
        str(within),
        f"{100 * median(map(abs, found)):.0f} %",
        off(max(found, key=abs)),
    ]


def test_no_gpu_with_counted_runs_is_left_out() -> None:
    assert {row[0] for row in rows("## Held against")} == {
        each.gpu for each in published_runs() if each.counted and each.model in MIDDLE
    }


def test_the_misses_are_told() -> None:
    errors = {(each.source, each.gpu, each.weights): left_out_error(each) for each in published_runs()}
    assert f"vLLM's counted one is of 32B ({off(errors['vllm-29217', 'L40S', 'fp8'])})" in PAGE
    assert f"{off(errors['red-hat', 'L40S', 'fp8'])} (H100: {off(errors['red-hat', 'H100', 'fp8'])})" in PAGE
    bigger = [left_out_error(each) for each in published_runs() if each.model == "qwen3-14b" and each.counted]
    assert f"Qwen3-14B runs {100 * min(bigger[:3]):.0f} to {100 * max(bigger[:3]):.0f} %" in PAGE
    assert (
        f"vLLM's of 14B are predicted too fast by {100 * min(bigger[3:]):.0f} to {100 * max(bigger[3:]):.0f} %"
        in PAGE
    )


def test_the_one_open_loop_run() -> None:
    gpu = catalogue.gpu("A100-80GB")
    server = Server(
        gpu=gpu,
        shape=catalogue.model("llama-3.1-8b"),
        engine=engine_for(gpu),
        efficiency=catalogue.efficiency(),
    )
    at = served(server, Load(input_tokens=516, output_tokens=300, spread=0.7), 5)
    page = " ".join(PAGE.split())
    assert (
        f"where the model says {at.ttft_p50_ms:.0f}, but 28 ms between tokens where it says {at.between_p50_ms:.0f}."
        in page
    )


def test_the_counts_are_right() -> None:
    assert f"predicts {len(published_runs())} published runs" in PAGE
    assert f"Counted are the {sum(each.counted for each in published_runs())} whose" in PAGE


@pytest.mark.parametrize("row", rows("## 800 tokens"), ids=lambda row: row[0])
def test_what_each_gpu_does(row: list[str]) -> None:
    gpu, load = catalogue.gpu(row[0]), Load(input_tokens=800, output_tokens=200)
    server = Server(
        gpu=gpu,
        shape=catalogue.model("llama-3.1-8b"),
        engine=engine_for(gpu),
        efficiency=catalogue.efficiency(),
    )
    full = saturated(server, load)
    at = served(server, load, 0.7 * full.requests_per_s)
    assert row[1:] == [
        server.engine.weights,
        f"{full.sequences:.0f}",
        f"{full.requests_per_s:.1f}",
        f"{0.7 * full.requests_per_s:.1f}",
        f"{at.ttft_p50_ms:,.0f} / {at.ttft_p95_ms:,.0f}",
        f"{at.total_p50_ms / 1000:.1f} / {at.total_p95_ms / 1000:.1f}",
    ]


@pytest.mark.parametrize(("name", "apart"), [("H100", 0.2), ("A10G", 0.5)])
def test_how_far_other_seeds_are(name: str, apart: float) -> None:
    gpu, load = catalogue.gpu(name), Load(input_tokens=800, output_tokens=200)
    server = Server(
        gpu=gpu,
        shape=catalogue.model("llama-3.1-8b"),
        engine=engine_for(gpu),
        efficiency=catalogue.efficiency(),
    )
    rate = 0.7 * saturated(server, load).requests_per_s
    first, *others = (served(server, load, rate, seed=seed).ttft_p95_ms for seed in range(5))
    assert apart / 2 < max(abs(other / first - 1) for other in others) < apart


def test_every_gpu_of_the_catalogue_is_there() -> None:
    assert {row[0] for row in rows("## 800 tokens")} == set(catalogue.gpus())


def test_the_pages_own_gpu_is_read(tmp_path: Path) -> None:
    found = re.search(r"^    \[gpus\.MyCard\]\n(?:    .*\n)+", PAGE, re.MULTILINE)
    assert found
    file = tmp_path / "gpus.toml"
    file.write_text(re.sub(r"^    ", "", found[0], flags=re.MULTILINE))
    assert catalogue.read_gpu_file(file)["MyCard"].usd_per_hour == 0.5
