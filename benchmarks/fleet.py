"""How far the fleet model is from published runs: `python -m benchmarks.fleet`.

Every run is predicted by efficiencies that were fitted without the runs of the same people. `--fit` fits them anew (two minutes) and writes
`efficiency.toml`; `--picture` draws them; `--gpus` says instead what each GPU of the catalogue is taken to do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from smallfirst.drawing import GREY, INK, OURS, altair_for, axis, save_chart
from smallfirst.durable import write_whole
from smallfirst.planning.fleet import Efficiency, Load, Server, catalogue, engine_for, saturated, served
from smallfirst.planning.fleet.published import (
    PublishedRun,
    fitted,
    left_out_error,
    published_runs,
    sources,
    without,
)

GOAL = 0.3
_MIDDLE = (
    "llama-3.1-8b",
    "qwen3-8b",
    "mistral-7b",
    "llama-2-7b",
)  # what the goal is about: 7 to 8 billion parameters
_WRITTEN = Path(__file__).parent.parent / "src" / "smallfirst" / "planning" / "fleet" / "efficiency.toml"
_HEAD = """# What is left of nominal figures, fitted to the counted runs of published.toml: `python -m benchmarks.fleet --fit` writes this file.
#
# Shares of the dense peak in BF16 and FP8 and of the memory's bandwidth, microseconds of a step for each layer and for each answer that grows in it.
# `link_share` is no fit but an assumption: no published run with several GPUs a replica is counted. Below it the same fits without one group of
# people each, by which the runs of that group are predicted in docs/fleet.md and in the tests.
"""


def refit() -> None:
    """Fits all and leaves one group out after the other; writes `efficiency.toml`."""
    runs = [each for each in published_runs() if each.counted]
    groups = list(dict.fromkeys(each.group for each in runs))
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("fitting", total=1 + len(groups))
        best = fitted(runs, catalogue.efficiency())
        progress.advance(bar)
        parts = [
            _HEAD,
            _section(
                "fitted",
                best,
                f"fitted to {len(runs)} published runs of {len(groups)} groups of people, see docs/fleet.md",
            ),
        ]
        for group in groups:
            others = without(runs, group)
            parts.append(
                _section(
                    f"without.{group}",
                    fitted(others, best),
                    f"the same without {len(runs) - len(others)} runs of {group}",
                )
            )
            progress.advance(bar)
    write_whole(_WRITTEN, "\n".join(parts).encode())
    catalogue.efficiency.cache_clear()
    catalogue.efficiency_without.cache_clear()


def _section(name: str, left: Efficiency, source: str) -> str:
    fields = {**msgspec.structs.asdict(left), "source": source}
    lines = [
        f"{key} = {json.dumps(value) if isinstance(value, str) else f'{value:.3g}'}"
        for key, value in fields.items()
    ]
    return "\n".join([f"[{name}]", *lines, ""])


def summary(runs: Sequence[PublishedRun]) -> list[dict[str, object]]:
    """Each GPU's counted runs of 7 to 8 billion parameters: how many, the median and the worst error, and how many are within the goal."""
    rows = []
    for name in dict.fromkeys(each.gpu for each in runs):
        errors = [
            left_out_error(each)
            for each in runs
            if each.gpu == name and each.counted and each.model in _MIDDLE
        ]
        if errors:
            worst = max(errors, key=abs)
            within = sum(abs(each) <= GOAL for each in errors)
            rows.append(
                {
                    "gpu": name,
                    "runs": len(errors),
                    "within_goal": within,
                    "median": median(map(abs, errors)),
                    "worst": worst,
                }
            )
    return rows


def show(runs: Sequence[PublishedRun], console: Console) -> None:
    """All runs, then each GPU's summary."""
    table = Table(
        "source",
        "GPU",
        "model",
        "in / out",
        "at once",
        "requests/s",
        "model says",
        "off",
        title="every run, predicted without its own people's",
    )
    for each in runs:
        off = left_out_error(each)
        model = f"{each.model} {each.weights}"
        at_once = str(each.concurrency or each.prompts)
        mark = "" if each.counted else " (not counted)"
        lengths = f"{each.input_tokens:.0f} / {each.output_tokens:.0f}"
        said = f"{each.measured_per_s * (1 + off):.3g}"
        table.add_row(
            each.source,
            each.gpu,
            model,
            lengths,
            at_once,
            f"{each.measured_per_s:.3g}",
            said,
            f"{off:+.0%}{mark}",
        )
    console.print(table)
    table = Table(
        "GPU",
        "runs",
        f"within {GOAL:.0%}",
        "median off",
        "worst",
        title="7 to 8 billion parameters, counted runs",
    )
    for row in summary(runs):
        table.add_row(
            str(row["gpu"]),
            str(row["runs"]),
            str(row["within_goal"]),
            f"{row['median']:.0%}",
            f"{row['worst']:+.0%}",
        )
    console.print(table)


def draw(runs: Sequence[PublishedRun], path: Path) -> None:
    """Measured against predicted, on logarithmic axes, with the goal as a band."""
    alt = altair_for(path)
    points = [
        {
            "measured": each.measured_per_s,
            "predicted": each.measured_per_s * (1 + left_out_error(each)),
            "GPU": each.gpu,
            "kind": "vLLM" if sources()[each.source].engine == "vllm" else "TensorRT-LLM",
        }
        for each in runs
        if each.counted
    ]
    low, high = 0.05, 250.0
    band = [{"measured": x, "least": x * (1 - GOAL), "most": x * (1 + GOAL)} for x in (low, high)]
    scale = alt.Scale(type="log", domain=[low, high])
    along, up = (axis(alt, f"requests a second, {what}", grid=True) for what in ("measured", "by the model"))
    along.values = up.values = [0.1, 1, 10, 100]
    x, y = alt.X("measured:Q", scale=scale, axis=along), alt.Y("predicted:Q", scale=scale, axis=up)
    area = alt.Chart(alt.Data(values=band)).mark_area(color=GREY, opacity=0.18, clip=True)
    area = area.encode(x=x, y=alt.Y("least:Q", scale=scale, axis=up), y2="most:Q")
    colours = alt.Scale(
        domain=["H100", "A100-80GB", "A100-40GB", "L40S", "RTX-4090", "H200"],
        range=[OURS, "#b3541e", "#e0a070", "#3b6fb6", INK, "#8a5fb0"],
    )
    dots = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=55, opacity=0.85)
    dots = dots.encode(
        x=x,
        y=y,
        color=alt.Color("GPU:N", scale=colours, legend=alt.Legend(title=None)),
        shape=alt.Shape(
            "kind:N", scale=alt.Scale(range=["circle", "triangle-up"]), legend=alt.Legend(title=None)
        ),
    )
    title = f"Published runs against the fleet model, each fitted without its own people (band: {GOAL:.0%})"
    save_chart(alt, path, area + dots, title=title)


def show_gpus(console: Console) -> None:
    """Llama-3.1-8B at 800 tokens in and 200 out on each GPU: saturated, and at 70 % of it."""
    heads = (
        "GPU",
        "weights",
        "answers at once",
        "saturated, requests/s",
        "at 70 %",
        "first token, ms",
        "in all, s",
    )
    table, load = Table(*heads), Load(input_tokens=800, output_tokens=200)
    found = []
    for name, gpu in catalogue.gpus().items():
        server = Server(
            gpu=gpu,
            shape=catalogue.models()["llama-3.1-8b"],
            engine=engine_for(gpu),
            efficiency=catalogue.efficiency(),
        )
        full = saturated(server, load)
        found.append(
            (
                full.requests_per_s,
                name,
                server.engine.weights,
                full,
                served(server, load, 0.7 * full.requests_per_s),
            )
        )
    for rate, name, weights, full, waits in sorted(found, reverse=True):
        first = f"{waits.ttft_p50_ms:,.0f} / {waits.ttft_p95_ms:,.0f}"
        whole = f"{waits.total_p50_ms / 1000:.1f} / {waits.total_p95_ms / 1000:.1f}"
        table.add_row(
            name, weights, f"{full.sequences:.0f}", f"{rate:.1f}", f"{0.7 * rate:.1f}", first, whole
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fit", action="store_true", help="fit the efficiencies anew and write efficiency.toml"
    )
    parser.add_argument("--picture", type=Path, help="draw measured against predicted, as .svg or .png")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    parser.add_argument("--gpus", action="store_true", help="what each GPU is taken to do, and nothing else")
    options = parser.parse_args()
    if options.gpus:
        show_gpus(Console(width=150))
        return
    if options.fit:
        refit()
    runs = published_runs()
    if options.json:
        print(json.dumps(summary(runs), indent=2))
    else:
        show(runs, Console(width=150))
    if options.picture:
        draw(runs, options.picture)


if __name__ == "__main__":
    main()
