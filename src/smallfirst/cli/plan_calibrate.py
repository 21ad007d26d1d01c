"""`smallfirst plan calibrate`: an endpoint measured at fixed rates, and the fleet's model fitted to it; `plan calibrations` lists them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console

from smallfirst.cli.interrupt import run_interruptibly
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, STATE, minute, state_of
from smallfirst.cli.table import Table, print_list, print_unread
from smallfirst.cli.verb import Verb
from smallfirst.errors import ConfigError
from smallfirst.user import user_name

if TYPE_CHECKING:
    from smallfirst.planning.fleet.calibrate.lengths import Lengths
    from smallfirst.planning.fleet.calibrate.plan import Plan
    from smallfirst.planning.fleet.calibrate.saved import Calibration, Setting

_ENDPOINT, _LOAD, _SERVED, _BOUNDS = "The endpoint", "The load", "What serves it", "At most"


class _Calibrations(Verb):
    default = "list"


app = typer.Typer(cls=_Calibrations, help="Calibrations that are kept: `smallfirst plan calibrations`.")


def _option(panel: str, text: str, **more: Any) -> Any:
    return typer.Option(None, help=text, rich_help_panel=panel, show_default=False, **more)


def calibrate(
    context: typer.Context,
    endpoint: str = typer.Option(..., help="Its base URL, which ends in /v1.", rich_help_panel=_ENDPOINT),
    model: str = typer.Option(..., help="The model's name there.", rich_help_panel=_ENDPOINT),
    api_key_env: str | None = _option(
        _ENDPOINT, "The variable of the environment that holds the key.", metavar="VAR"
    ),
    input_tokens: float | None = _option(_LOAD, "Tokens of a prompt, in the mean."),
    output_tokens: float | None = _option(_LOAD, "Tokens of an answer, in the mean."),
    spread: float | None = _option(
        _LOAD, "Standard deviation of these lengths over their mean; default: 0.5."
    ),
    lengths: Path | None = _option(
        _LOAD, "Recorded lengths instead: CSV or JSON Lines with input_tokens and output_tokens."
    ),
    from_ledger: bool = typer.Option(
        False, "--from-ledger", help="The ledger's lengths instead.", rich_help_panel=_LOAD
    ),
    task: str | None = typer.Option(None, "--task", "-t", help="Of this task alone.", rich_help_panel=_LOAD),
    shared_share: float = typer.Option(
        0.0, help="Share of the mean prompt that all begin with.", rich_help_panel=_LOAD
    ),
    text: Path | None = _option(_LOAD, "Passages of this text instead of random words."),
    rates: str = typer.Option(
        "auto",
        help="Requests a second, as 1,2,4; auto: doubled until it falls behind, then halved.",
        rich_help_panel=_LOAD,
    ),
    first_rate: float | None = _option(_LOAD, "Where auto begins."),
    seconds: float = typer.Option(30.0, help="How long each rate is sent.", rich_help_panel=_LOAD),
    seed: int = typer.Option(0, min=0, help="Of arrivals, lengths and words.", rich_help_panel=_LOAD),
    gpu: str = typer.Option(
        ...,
        help="The GPU: `smallfirst plan gpus` lists them; other: any else, a CPU as well.",
        rich_help_panel=_SERVED,
    ),
    own: str | None = _option(
        _SERVED, "The model's shape: `smallfirst plan models` lists them; default: --model."
    ),
    model_config: Path | None = _option(_SERVED, "Its config.json instead."),
    precision: str = typer.Option("bf16", help="Of the weights: bf16 or fp8.", rich_help_panel=_SERVED),
    kv_precision: str | None = _option(_SERVED, "Of keys and values; default: bf16."),
    gpus_per_replica: int = typer.Option(
        1, help="GPUs that hold one copy together.", rich_help_panel=_SERVED
    ),
    max_sequences: int = typer.Option(256, help="The engine's --max-num-seqs.", rich_help_panel=_SERVED),
    batched_tokens: int = typer.Option(
        8192,
        help="The engine's --max-num-batched-tokens; 2048 at most on smaller GPUs.",
        rich_help_panel=_SERVED,
    ),
    memory_gb: float | None = _option(_SERVED, "For --gpu other: memory for weights, keys and values."),
    gpu_file: Path | None = _option(_SERVED, "TOML file with GPUs of your own."),
    max_calls: int = typer.Option(10_000, help="Calls in all.", rich_help_panel=_BOUNDS),
    max_minutes: float = typer.Option(20.0, help="Minutes in all.", rich_help_panel=_BOUNDS),
    price: str | None = _option(_BOUNDS, "Dollars per million tokens, in and out, as 0.1/0.4."),
    max_usd: float | None = _option(_BOUNDS, "Dollars in all, by that price."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be sent, and send nothing."),
    save: str | None = typer.Option(
        None,
        metavar="NAME",
        help="Keep it, for `smallfirst plan --calibration NAME`; goes on with one that was begun.",
    ),
    replace: bool = typer.Option(False, "--replace", help="Begin anew in the place of one of that name."),
    picture: Path | None = typer.Option(None, help="Draw the curve here, .svg or .png."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Measure an OpenAI-compatible endpoint with calls that do not wait for each other, and fit the fleet's model to it."""
    from smallfirst.cli.plan_calibrate_shown import show_calibration, show_plan
    from smallfirst.planning.fleet.calibrate.measure import with_fit

    options = context.params
    place = state_of(state, config)
    key = _key(api_key_env)
    plan = _plan(options, place)
    setting = _setting(options, plan)
    made = _begun(place, save, setting, replace)
    show_plan(plan, setting, made, key is not None, Console(stderr=True, highlight=False))
    if dry_run:
        return
    found = _measured(options, plan, made, place, key)
    if not found.points:
        raise ConfigError(f"nothing was measured: {found.stopped}")
    found = with_fit(found)
    _kept(found, place, picture)
    if as_json:
        typer.echo(msgspec.json.encode(_without_shots(found)).decode())
    else:
        show_calibration(found, Console())


@app.command(name="list")
def list_(state: Path | None = STATE, config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """Calibrations that are kept."""
    from smallfirst.planning.fleet.calibrate.saved import CALIBRATIONS

    kept, unread = CALIBRATIONS.readable(state_of(state, config))
    if as_json:
        typer.echo(msgspec.json.encode([_without_shots(each) for each in kept]).decode())
    else:
        table = Table("calibration", "made", "model", "GPU", "rates", "off, median", "ended")
        for each in kept:
            off = f"{each.fit.median_off:.0%}" if each.fit is not None else "no fit yet"
            setting = each.setting
            row = (
                each.name,
                minute(each.made_ms),
                setting.shape.name,
                setting.gpu.name,
                str(len(each.points)),
            )
            table.add_row(*row, off, each.stopped or "complete")
        if kept or not unread:
            print_list(table, none="no calibration is saved; smallfirst plan calibrate … --save NAME")
    print_unread(unread)


@app.command()
def show(
    name: str = typer.Argument(help="The calibration's name."),
    picture: Path | None = typer.Option(None, help="Draw the curve here, .svg or .png."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """A calibration: what was measured, and how well the model fits it."""
    from smallfirst.cli.plan_calibrate_shown import show_calibration
    from smallfirst.planning.fleet.calibrate.picture import draw_calibration
    from smallfirst.planning.fleet.calibrate.saved import CALIBRATIONS, fit_of

    place = state_of(state, config)
    found = CALIBRATIONS.load(place, name)
    if picture is not None:
        draw_calibration(picture, fit_of(place, name)[1], title=name)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        show_calibration(found, Console())


@app.command()
def rm(
    name: str = typer.Argument(help="The calibration's name."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
) -> None:
    """Remove a calibration."""
    from smallfirst.planning.fleet.calibrate.saved import CALIBRATIONS

    CALIBRATIONS.remove(state_of(state, config), name)
    typer.echo(f"removed the calibration {name}")


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"the variable {variable} is not set, or empty", path="--api-key-env")
    return key


def _plan(options: dict[str, Any], place: Path) -> Plan:
    from smallfirst.planning.fleet.calibrate.plan import Bounds, Plan

    return Plan(
        lengths=_lengths(options, place),
        rates=_rates(options["rates"]),
        first_rate=options["first_rate"],
        seconds=options["seconds"],
        seed=options["seed"],
        bounds=Bounds(
            calls=options["max_calls"],
            minutes=options["max_minutes"],
            usd=options["max_usd"],
            usd_per_million=_price(options["price"]),
        ),
    ).checked()


def _lengths(options: dict[str, Any], place: Path) -> Lengths:
    from smallfirst.planning.fleet.calibrate.lengths import Lengths, read_lengths

    file, shared = options["lengths"], options["shared_share"]
    means = (options["input_tokens"], options["output_tokens"])
    ways = sum((file is not None, options["from_ledger"], any(mean is not None for mean in means)))
    if ways != 1:
        raise ConfigError(
            "how long are the calls? Give --input-tokens and --output-tokens, or --lengths, or --from-ledger"
        )
    if file is not None:
        return read_lengths(file, shared_share=shared)
    if options["from_ledger"]:
        from smallfirst.ledger import Ledger
        from smallfirst.planning.fleet.calibrate.ledger_lengths import ledger_lengths

        with Ledger.read(place) as ledger:
            return ledger_lengths(ledger, task=options["task"], shared_share=shared)
    for name, mean in zip(("--input-tokens", "--output-tokens"), means, strict=True):
        if mean is None:
            raise ConfigError("how many, in the mean?", path=name)
    spread = 0.5 if options["spread"] is None else options["spread"]
    return Lengths(
        input_tokens=means[0], output_tokens=means[1], spread=spread, shared_share=shared, source="as given"
    ).checked()


def _rates(text: str) -> tuple[float, ...]:
    if text.strip().lower() == "auto":
        return ()
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise ConfigError(f"expected auto, or numbers as 1,2,4, not {text!r}", path="--rates") from None


def _price(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    from smallfirst.planning.costs.quote import read_quote

    price = read_quote(text, option="--price", input_tokens=1).price
    return float(price.input), float(price.output)


def _setting(options: dict[str, Any], plan: Plan) -> Setting:
    from smallfirst.planning.fleet.calibrate.endpoint import checked_url
    from smallfirst.planning.fleet.calibrate.measure import machine
    from smallfirst.planning.fleet.calibrate.saved import Setting
    from smallfirst.planning.fleet.catalogue import model
    from smallfirst.planning.fleet.hub_config import read_model_config
    from smallfirst.planning.fleet.server import Engine

    engine = Engine(
        weights=options["precision"],
        kv=options["kv_precision"] or "bf16",
        tensor_parallel=options["gpus_per_replica"],
        max_sequences=options["max_sequences"],
        batched_tokens=options["batched_tokens"],
    )
    gpu, engine = machine(
        options["gpu"], gpu_file=options["gpu_file"], memory_gb=options["memory_gb"], engine=engine
    )
    hub = options["model_config"]
    return Setting(
        endpoint=checked_url(options["endpoint"]),
        model=options["model"],
        gpu=gpu,
        shape=read_model_config(hub) if hub is not None else model(options["own"] or options["model"]),
        engine=engine,
        lengths=plan.lengths,
        seed=plan.seed,
    )


def _begun(place: Path, save: str | None, setting: Setting, replace: bool) -> Calibration:
    from smallfirst.planning.fleet.calibrate.saved import Calibration, begun

    found = None if save is None else begun(place, save, setting, replace=replace)
    new = Calibration(
        name=save or "", made_ms=time.time_ns() // 1_000_000, made_by=user_name(), setting=setting
    )
    return found or new


def _measured(
    options: dict[str, Any], plan: Plan, made: Calibration, place: Path, key: str | None
) -> Calibration:
    """The calibration with all that is left to measure; where it was stopped at once, with what was kept until then."""
    from smallfirst.planning.fleet.calibrate.endpoint import connected
    from smallfirst.planning.fleet.calibrate.measure import keeper, measured, room_of
    from smallfirst.planning.fleet.calibrate.prompts import Prompts
    from smallfirst.planning.fleet.calibrate.sweep import Swept

    prompts = Prompts(text=options["text"], seed=plan.seed)
    latest, write = [made], keeper(place)

    def keep(so_far: Calibration) -> None:
        latest[0] = so_far
        write(so_far)

    with progress_bar() as told:

        async def work(should_stop: Any) -> Calibration:
            async with connected(made.setting.endpoint, made.setting.model, key) as endpoint:
                told("first calls", 0, 1)
                room = await room_of(endpoint, made.setting)
                known = await endpoint.known(prompts)
                begun = msgspec.structs.replace(made, kv_tokens=room)
                swept = Swept(endpoint, known, plan, prompts)
                return await measured(swept, begun, keep=keep, told=told, should_stop=should_stop)

        found = run_interruptibly(work)
    return found or msgspec.structs.replace(latest[0], stopped="stopped by hand")


def _kept(found: Calibration, place: Path, picture: Path | None) -> None:
    from smallfirst.planning.fleet.calibrate.measure import keeper
    from smallfirst.planning.fleet.calibrate.picture import draw_calibration

    keeper(place)(found)
    if picture is not None and found.fit is not None:
        draw_calibration(picture, found.fit, title=found.name or found.setting.shape.name)


def _without_shots(found: Calibration) -> Calibration:
    """The same without single requests, for people's programs: the file has them."""
    points = tuple(msgspec.structs.replace(point, shots=()) for point in found.points)
    return msgspec.structs.replace(found, points=points)
