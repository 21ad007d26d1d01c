"""`smallfirst plan`: what the ways of answering would cost beside each other, and forecasts that are kept."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console

from smallfirst.cli import plan_calibrate
from smallfirst.cli.output_file import STDOUT, check_csv, check_picture, write_csv
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, STATE, minute, moment, state_of
from smallfirst.cli.table import Table, print_list, print_unread
from smallfirst.cli.verb import Verb
from smallfirst.errors import ConfigError
from smallfirst.user import user_name

if TYPE_CHECKING:
    from smallfirst.planning.costs.inputs import Inputs
    from smallfirst.planning.costs.measured import Measured

_SECONDS_PER_HOUR = 3600
_BILLION = 10**9


class _Plan(Verb):
    default = "compare"


app = typer.Typer(
    cls=_Plan,
    help=(
        "What the ways of answering would cost. The least: `smallfirst plan --calls-per-day 2000000 --input-tokens 800 --output-tokens 200 "
        "--frontier 3/15 --hosted 0.1/0.5`; with own GPUs: `--own llama-3.1-8b`. All options: `smallfirst plan compare --help`."
    ),
    subcommand_metavar="| COMMAND [ARGS]...",
)
app.command()(plan_calibrate.calibrate)
app.add_typer(plan_calibrate.app, name="calibrations")
_FROM, _WORK, _MODELS, _OWN, _OFFERS, _TOLD = (
    "Figures from elsewhere",
    "The calls",
    "Models sold by the token",
    "Own GPUs",
    "GPUs by the second, and spot",
    "What is told, drawn and kept",
)


def _option(panel: str, text: str, **more: Any) -> Any:
    return typer.Option(None, help=text, rich_help_panel=panel, show_default=False, **more)


@app.command()
def compare(
    context: typer.Context,
    calls_per_day: float | None = _option(_WORK, "Calls a day."),
    peak_factor: float | None = _option(_WORK, "The busiest hour's calls over the mean hour's; default: 3."),
    input_tokens: float | None = _option(_WORK, "Tokens that a call reads, cached ones included."),
    output_tokens: float | None = _option(_WORK, "Tokens that a call writes."),
    cached_share: float | None = _option(_WORK, "Share of the prompt that a prompt cache holds; default: 0."),
    cache_hit_rate: float | None = _option(
        _WORK, "h: share of all calls that smallfirst's cache answers; default: 0."
    ),
    frontier_share: float | None = _option(
        _WORK, "f: share of the others that the frontier answers; default: 0.2."
    ),
    climbed_share: float | None = _option(
        _WORK, "Share of those that the small model was asked first; default: 0."
    ),
    batch_share: float | None = _option(_WORK, "Share of calls that can wait for a batch; default: 0."),
    ttft_ms: float | None = _option(
        _WORK, "Time to the first token that 95 % of the small model's calls keep."
    ),
    latency_ms: float | None = _option(_WORK, "The same for whole answers."),
    frontier: str | None = _option(
        _MODELS, "The frontier model: a name, or dollars per million tokens as 3/15 or 3/15/0.30 (cached)."
    ),
    hosted: str | None = _option(_MODELS, "A small model sold by the token: the same."),
    batch_factor: float | None = _option(
        _MODELS, "A batch's price as a share of the price; default: the table's price for batches."
    ),
    own: str | None = _option(_OWN, "The small model on own GPUs: `smallfirst plan models` lists them."),
    gpu: str | None = _option(
        _OWN,
        "Which GPU, or several (H100,L40S) to choose the cheapest of; default: all that `smallfirst plan gpus` lists.",
    ),
    gpu_usd_per_hour: float | None = _option(
        _OWN, "What an hour of one costs; default: the middle of what the catalogue has seen."
    ),
    gpus_per_replica: int | None = _option(
        _OWN,
        "GPUs that hold one copy of the model together; default: 1, or the fewest where the GPU is chosen.",
    ),
    precision: str | None = _option(_OWN, "bf16 or fp8; default: fp8 where the GPU has it."),
    lora_factor: float | None = _option(
        _OWN, "What serving adapters makes of the time of a multiplication: 1.2, say; default: 1, none."
    ),
    rps_per_gpu: float | None = _option(
        _OWN, "Calls a second that one GPU was measured to answer, instead of the fleet model."
    ),
    load: float | None = _option(
        _OWN, "Share of that which a replica is given in the busiest hour; default: 0.7."
    ),
    spare: int | None = _option(_OWN, "Replicas more than the peak needs; default: 1."),
    calibration: str | None = _option(
        _OWN, "A calibration of your own by name, instead of the catalogue's efficiencies."
    ),
    gpu_file: str | None = _option(_OWN, "TOML file with GPUs of your own."),
    model_config: str | None = _option(
        _OWN, "A model's config.json, for a model that the catalogue has not."
    ),
    serverless_usd_per_gpu_second: float | None = _option(
        _OFFERS, "Price of a GPU by the second: adds that way."
    ),
    cold_start_s: float | None = _option(_OFFERS, "Until one answers that was not there; default: 176."),
    keep_warm_s: float | None = _option(_OFFERS, "How long one waits for another call; default: 60."),
    spot_price_factor: float | None = _option(
        _OFFERS, "Spot's price as a share of the price: adds that way."
    ),
    spot_floor_share: float | None = _option(
        _OFFERS, "Share of the replicas that are not spot; default: 0.5."
    ),
    preemptions_per_gpu_hour: float | None = _option(
        _OFFERS, "How often a spot GPU is taken away; default: 0.02 an hour."
    ),
    restart_s: float | None = _option(_OFFERS, "Until another serves in its place; default: 300."),
    file: Path | None = _option(_FROM, "TOML file with any of these inputs; options win over it."),
    from_ledger: bool = typer.Option(
        False, "--from-ledger", help="Take from the ledger what it has measured.", rich_help_panel=_FROM
    ),
    task: str | None = typer.Option(None, "--task", "-t", help="Of this task alone.", rich_help_panel=_FROM),
    since: str | None = _option(_FROM, "From this hour on (UTC): 2026-11-24, or 30d."),
    until: str | None = _option(_FROM, "Up to and without this hour (UTC)."),
    target: float | None = _option(_TOLD, "N: say what 1/N of the bill needs."),
    way: str | None = _option(
        _TOLD, "The way to save and to vary; default: the cheapest that can be served."
    ),
    ranges: list[str] | None = typer.Option(
        None, "--range", metavar="NAME=LOW..HIGH", help="Vary an input within these.", rich_help_panel=_TOLD
    ),
    save: str | None = _option(
        _TOLD, "Keep the forecast, for `smallfirst bill --plan NAME`.", metavar="NAME"
    ),
    replace: bool = typer.Option(
        False, "--replace", help="In the place of a forecast of that name.", rich_help_panel=_TOLD
    ),
    picture: Path | None = _option(_TOLD, "Draw the ways here, .svg or .png."),
    picture_sensitivity: Path | None = _option(_TOLD, "Draw what matters most here, .svg or .png."),
    csv: str | None = _option(_TOLD, "Write the ways as CSV, `-` to stdout.", metavar="FILE"),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """What the ways of answering these calls cost: the frontier alone, the cache, a hosted small model, own GPUs, by the second, on spot."""
    from smallfirst.cli.plan_shown import show_plan
    from smallfirst.planning.costs.basis import basis_of
    from smallfirst.planning.costs.inputs import completed, read_inputs
    from smallfirst.planning.costs.plan import make_plan, to_save
    from smallfirst.planning.costs.saved import check_name, save_plan
    from smallfirst.planning.costs.which_gpu import choose_gpu

    place = state_of(state, config)
    if save is not None:
        check_name(place, save, replace=replace)
    check_picture(picture, "--picture")
    check_picture(picture_sensitivity, "--picture-sensitivity")
    check_csv(csv, as_json=as_json)
    for option, text in (("--since", since), ("--until", until)):
        if text is not None and not from_ledger:
            raise ConfigError("goes with --from-ledger alone", path=option)
    found = _measured(place, config, task, (since, until)) if from_ledger else None
    inputs, sources = completed(
        _given(context.params),
        read_inputs(file) if file is not None else None,
        found.inputs if found is not None else None,
        file_name=str(file or ""),
    )
    with progress_bar() as told:
        told("pricing", 0, 1)
        inputs, gpus = choose_gpu(inputs, sources)
        basis = basis_of(inputs, sources, _catalogue(config), state=place)
        basis = basis._replace(now=found.now if found is not None else None)
        plan = make_plan(inputs, sources, basis, gpus)
    _draw(plan, picture, picture_sensitivity)
    if save is not None:
        made = to_save(
            plan, basis, save, task=task or "", made_ms=time.time_ns() // 1_000_000, made_by=user_name()
        )
        save_plan(place, made, replace=replace)
    if csv is not None:
        from smallfirst.planning.costs.ways_csv import ways_csv

        write_csv(csv, ways_csv(plan))
    if as_json:
        typer.echo(msgspec.json.encode({"plan": plan, "measured": found}).decode())
    elif csv != STDOUT:
        show_plan(plan, found, Console())
        if save is not None:
            Console(highlight=False).print(
                f"saved as [bold]{save}[/]: smallfirst bill --plan {save} compares it with what happens"
            )


@app.command(name="list")
def list_(state: Path | None = STATE, config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """Forecasts that are kept."""
    from smallfirst.planning.costs.saved import PLANS
    from smallfirst.planning.costs.words import dollars

    place = state_of(state, config)
    plans, unread = PLANS.readable(place)
    if as_json:
        typer.echo(msgspec.json.encode(plans).decode())
        print_unread(unread)
        return
    table = Table("plan", "made", "task", "way", "calls a day", "a year")
    for plan in plans:
        year = next(way.year_usd for way in plan.ways if way.name == plan.way)
        table.add_row(
            plan.name,
            minute(plan.made_ms),
            plan.task or "(all)",
            plan.way,
            f"{plan.day.calls:,.0f}",
            dollars(year),
        )
    if plans or not unread:
        print_list(table, none="no plan is saved; smallfirst plan … --save NAME")
    print_unread(unread)


@app.command()
def show(
    name: str = typer.Argument(help="The forecast's name."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """A forecast that was kept, as it was made."""
    from smallfirst.cli.plan_shown import show_saved
    from smallfirst.planning.costs.saved import load_plan

    plan = load_plan(state_of(state, config), name)
    if as_json:
        typer.echo(msgspec.json.encode(plan).decode())
    else:
        show_saved(plan, Console())


@app.command()
def rm(
    name: str = typer.Argument(help="The forecast's name."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
) -> None:
    """Remove a forecast."""
    from smallfirst.planning.costs.saved import PLANS

    PLANS.remove(state_of(state, config), name)
    typer.echo(f"removed the plan {name}")


@app.command(name="gpus")
def gpus_(
    file: Path | None = typer.Option(
        None, "--gpu-file", help="TOML file with GPUs of your own; they are listed first."
    ),
    as_json: bool = JSON,
) -> None:
    """GPUs that a plan knows: dense arithmetic, memory, bandwidth, and what an hour costs where that is known."""
    from smallfirst.cli.plan_shown import gpu_row
    from smallfirst.planning.fleet.catalogue import gpus, read_gpu_file

    known = {**(read_gpu_file(file) if file is not None else {}), **gpus()}
    if as_json:
        typer.echo(msgspec.json.encode(list(known.values())).decode())
        return
    table = Table("GPU", title="TFLOP/s are dense: half of what data sheets print")
    for head in ("BF16", "FP8", "GB", "GB/s", "$ an hour"):
        table.add_column(head, justify="right")
    table.add_column("price of")
    for gpu in known.values():
        table.add_row(*gpu_row(gpu))
    Console().print(table)


@app.command(name="models")
def models_(as_json: bool = JSON) -> None:
    """Models whose shapes a plan knows, for own GPUs."""
    from smallfirst.planning.fleet.catalogue import models

    known = list(models().values())
    if as_json:
        typer.echo(msgspec.json.encode(known).decode())
        return
    table = Table("model", title="keys and values are those of one token in FP8")
    for head in ("weights", "layers", "KV heads", "KV bytes"):
        table.add_column(head, justify="right")
    table.add_column("on the hub")
    for shape in known:
        weights = f"{(shape.parameters or shape.counted_parameters) / _BILLION:.3g} B"
        table.add_row(
            shape.name,
            weights,
            f"{shape.layers}",
            f"{shape.kv_heads}",
            f"{shape.kv_bytes(1, 'fp8'):,.0f}",
            shape.hub,
        )
    Console().print(table)


def _given(params: dict[str, Any]) -> Inputs:
    from smallfirst.planning.costs.inputs import Inputs

    values = {
        name: params[name]
        for name in Inputs.__struct_fields__
        if name != "ranges" and params.get(name) is not None
    }
    if values.get("precision") not in (None, "bf16", "fp8"):
        raise ConfigError(f"expected bf16 or fp8, not {values['precision']!r}", path="--precision")
    return Inputs(**values, ranges=dict(_range(text) for text in params.get("ranges") or ()))


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, _, bounds = text.partition("=")
    low, _, high = bounds.partition("..")
    try:
        return name.strip().replace("-", "_"), (float(low), float(high))
    except ValueError:
        raise ConfigError(
            f"expected NAME=LOW..HIGH, as frontier_share=0.1..0.4, not {text!r}", path="--range"
        ) from None


def _measured(
    place: Path, config: Path | None, task: str | None, span: tuple[str | None, str | None]
) -> Measured:
    from smallfirst.cli.prices import found_config
    from smallfirst.config import Config
    from smallfirst.ledger import Ledger
    from smallfirst.planning.costs.measured import measured

    since, until = (_hour(text, option) for text, option in zip(span, ("--since", "--until"), strict=True))
    if since is not None and until is not None and since >= until:
        raise ConfigError(f"ends at {span[1]}, and begins no earlier, at {span[0]}", path="--until")
    with Ledger.read(place) as ledger:
        return measured(
            ledger, found_config(config) or Config(), task=task, since_hour=since, until_hour=until
        )


def _hour(text: str | None, option: str) -> int | None:
    return None if text is None else int(moment(text, option=option).timestamp() // _SECONDS_PER_HOUR)


def _catalogue(config: Path | None) -> Any:
    from smallfirst.cli.prices import found_config
    from smallfirst.pricing.catalogue import Catalogue

    today = datetime.datetime.now(datetime.UTC).date()
    return Catalogue(found_config(config), on=today, today=today)


def _draw(plan: Any, ways: Path | None, swings: Path | None) -> None:
    if ways is None and swings is None:
        return
    from smallfirst.planning.costs.picture import draw_sensitivity, draw_ways

    if ways is not None:
        draw_ways(ways, plan)
    if swings is not None:
        draw_sensitivity(swings, plan)
