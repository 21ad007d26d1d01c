"""`smallfirst assess`: which features are in a stream of calls, and which of them could leave the frontier model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.interrupt import interruptible
from smallfirst.cli.output_file import STDOUT, check_csv, check_file, check_picture, write_csv
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, STATE, moment
from smallfirst.errors import ConfigError, StateError

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.datasets.row import Tally
    from smallfirst.planning.assess.finding.found import Found
    from smallfirst.planning.assess.judging.assessment import Report, Settings
    from smallfirst.planning.assess.observed import Observed

_INTERRUPTED = 130
_MS_PER_S = 1000
_TOLD = 5  # kinds of remarks, the commonest
_USUAL_TOKENS = 1000.0  # of a prompt: prices that depend on its length
_HOSTED = "gpt-6-luna"  # sold at what the cheapest small models are sold for: docs/assess.md


class Source(NamedTuple):
    """Where the calls are. Without files it is the ledger."""

    files: list[Path]
    mapping: list[str]
    skip_bad: bool
    task: str | None
    since: str | None
    until: str | None


def assess(
    files: list[Path] = typer.Argument(None, metavar="[LOGS…]", help="More files for --import."),
    task: str | None = typer.Option(None, "--task", "-t", help="Only calls of this task, from the ledger."),
    import_: list[Path] = typer.Option(
        [],
        "--import",
        help="Logs of OpenAI or Anthropic calls, LiteLLM, Langfuse, JSON Lines or CSV, packed or not; without it, the ledger.",
    ),
    map_: list[str] = typer.Option(
        [],
        "--map",
        metavar="FIELD=COLUMN",
        help="Where the files call something otherwise: --map prompt=frage.",
    ),
    skip_bad: bool = typer.Option(
        False, "--skip-bad", help="Count malformed rows instead of ending at the first."
    ),
    since: str | None = typer.Option(None, help="Calls since 2026-11-24, or 7d, 12h ago; of the ledger."),
    until: str | None = typer.Option(None, help="Calls before this moment; of the ledger."),
    calls_per_day: float | None = typer.Option(
        None, min=0, help="All calls a day, where the logs are a sample or do not say their times."
    ),
    min_calls_per_day: int = typer.Option(
        100_000, min=1, help="From how many calls a day on a feature is worth moving."
    ),
    latency_ms: float | None = typer.Option(
        None,
        min=1,
        help="How long an answer may take (its first token, where it is streamed); default: the task's.",
    ),
    margin: float | None = typer.Option(
        None,
        min=0,
        max=1,
        help="The share of calls that may be answered otherwise; default: the task's, else 0.02.",
    ),
    price_as: str | None = typer.Option(
        None, help="The model whose price stands for those that nobody knows."
    ),
    small: str = typer.Option(
        _HOSTED, help="The hosted small model: its name, or dollars per million tokens in/out, as 0.10/0.50."
    ),
    gpu: str = typer.Option(
        "H100", help="A GPU of your own to compare with: `smallfirst plan gpus` lists them."
    ),
    gpu_usd_per_hour: float | None = typer.Option(
        None, min=0.001, help="What it costs; default: the middle of the catalogue's offers."
    ),
    own: str = typer.Option("llama-3.1-8b", help="The model on it: `smallfirst plan models` lists them."),
    top: int = typer.Option(20, min=1, max=1000, help="Look closely at so many features, the largest."),
    seed: int = typer.Option(0, help="Of all that is drawn."),
    examples: bool = typer.Option(
        False, "--examples", help="Show what was asked and answered, also in the report."
    ),
    html: Path | None = typer.Option(
        None, help="Write a report for people who decide: one file to look at and to send."
    ),
    picture: Path | None = typer.Option(None, help="Draw the features: a .png or .svg."),
    csv: str | None = typer.Option(
        None, metavar="FILE", help="Write the features as CSV, one a line, `-` to stdout."
    ),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Find the features in recorded or imported calls, and judge each: candidate, prototype, or keep it on the frontier."""
    from smallfirst.cli.assess_shown import show, told_json
    from smallfirst.planning.assess.judging.assessment import Settings

    loaded, place = _places(state, config, files=[*import_, *(files or [])])
    source = Source([*import_, *(files or [])], map_, skip_bad, task, since, until)
    _check(source)
    check_file(html, "--html")
    check_picture(picture, "--picture")
    check_csv(csv, as_json=as_json)
    settings = Settings(
        latency_ms=latency_ms,
        calls_per_day=calls_per_day,
        margin=margin,
        volume=min_calls_per_day,
        frontier=_frontier(loaded),
        judged=top,
        examples=examples,
        seed=seed,
    )
    report = _judged(source, (loaded, place), settings, _Money(price_as, small, gpu, gpu_usd_per_hour, own))
    _write(report, html, picture, csv)
    if as_json:
        typer.echo(msgspec.json.encode(told_json(report)).decode())
    elif csv != STDOUT:
        show(report, Console())


class _Money(NamedTuple):
    """What the user said of prices."""

    price_as: str | None
    small: str
    gpu: str
    gpu_usd_per_hour: float | None
    own: str


def _places(state: Path | None, config: Path | None, *, files: list[Path]) -> tuple[Config, Path | None]:
    """The configuration and the state directory; none is needed for files."""
    from smallfirst.cli.state import config_and_state
    from smallfirst.config import Config, find, load

    if not files:
        return config_and_state(state, config)
    try:
        return load(find(config)), None
    except ConfigError:
        if config is not None or "SMALLFIRST_CONFIG" in os.environ:
            raise
        return Config(), None


def _check(source: Source) -> None:
    """What would else be found out after minutes of reading."""
    if source.files and source.task is not None:
        raise ConfigError(
            "calls of the ledger have tasks; with --import all calls are looked at", path="--task"
        )
    for option, value in (("--since", source.since), ("--until", source.until)):
        if source.files and value is not None:
            raise ConfigError(
                "is for calls of the ledger; with --import all calls are looked at", path=option
            )
    if source.mapping and not source.files:
        raise ConfigError("is for files: name them with --import", path="--map")


def _frontier(config: Config) -> str:
    """Its name in the configuration, for the tasks that are suggested."""
    if config.frontier is not None:
        return config.frontier
    ladder = next((task.ladder for task in config.tasks.values() if task.ladder), ())
    if not ladder:
        return "frontier"
    return ladder[-1] if isinstance(ladder[-1], str) else ladder[-1].model


def _judged(source: Source, places: tuple[Config, Path | None], settings: Settings, money: _Money) -> Report:
    """Reads, finds and judges under a progress bar. After a Ctrl-C says what was read, and ends with status 130."""
    from smallfirst.datasets.row import Tally
    from smallfirst.planning.assess.finding.find import find_features
    from smallfirst.planning.assess.judging.assessment import assess as judge

    tally = Tally(skip_bad=source.skip_bad)
    prices = _prices(places[0], money)
    try:
        with interruptible() as stop_if_asked, progress_bar() as progress:

            def told(step: str, done: int, total: int) -> None:
                stop_if_asked()
                if total:  # how many calls there are is known when they have been read
                    progress(step, done, total)

            calls = _calls(source, places[1], tally, told)
            found = find_features(calls, seed=settings.seed, tally=tally, progress=told)
            report = judge(
                found.features,
                prices,
                settings,
                config=places[0],
                unsorted=found.unsorted,
                progress=told,
            )
    except KeyboardInterrupt:
        Console(stderr=True, highlight=False).print(
            f"Stopped: {tally.read:,} calls were read, and nothing was written."
        )
        raise typer.Exit(_INTERRUPTED) from None
    if not report.calls:
        raise StateError(_nothing(source, tally))
    return msgspec.structs.replace(report, told=tuple(_remarks(found)))


def _calls(source: Source, place: Path | None, tally: Tally, progress: Any) -> Iterator[Observed]:
    if place is None:
        from smallfirst.planning.assess.reading.columns import Columns
        from smallfirst.planning.assess.reading.files import read_logs

        yield from read_logs(source.files, Columns(_mapping(source.mapping)), tally, progress=progress)
        return
    from smallfirst.ledger import Ledger
    from smallfirst.ledger.filter import Filter
    from smallfirst.planning.assess.reading.ledger_calls import ledger_calls

    since_ms, until_ms = _ms(source.since, "--since"), _ms(source.until, "--until")
    try:
        opened = Ledger.read(place)
    except StateError as error:
        raise StateError(f"{error}. Calls of elsewhere: `smallfirst assess --import LOGS`") from error
    with opened as ledger:
        wanted = Filter(task=source.task, since_ms=since_ms, until_ms=until_ms)
        yield from ledger_calls(ledger.queries, wanted, tally, progress=progress)


def _mapping(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for (name, sign, column), one in zip(pairs, given, strict=True):
        if not (name and sign and column):
            raise ConfigError(f"expected FIELD=COLUMN, as prompt=question, not {one!r}", path="--map")
    return {name: column for name, _, column in pairs}


def _ms(text: str | None, option: str) -> int | None:
    return None if text is None else int(moment(text, option=option).timestamp() * _MS_PER_S)


def _prices(config: Config, money: _Money) -> Any:
    """What calls are priced by, today. Raises `ConfigError` for what is not known, before anything is read."""
    import datetime

    from smallfirst.planning.assess.feature import Feature
    from smallfirst.planning.assess.judging.money import Gpu, Prices
    from smallfirst.planning.assess.judging.own_gpu import own_gpu
    from smallfirst.planning.costs.quote import read_quote
    from smallfirst.pricing.catalogue import Catalogue

    today = datetime.datetime.now(datetime.UTC).date()
    catalogue = Catalogue(config, on=today, today=today)
    instead = None
    if money.price_as is not None:
        instead = read_quote(
            money.price_as, option="--price-as", input_tokens=_USUAL_TOKENS, catalogue=catalogue
        )

    def gpu_for(feature: Feature) -> Gpu | None:
        return own_gpu(feature, gpu=money.gpu, model=money.own, usd_per_hour=money.gpu_usd_per_hour)

    gpu_for(Feature(name="", words=(), prompt="", calls=0))
    return Prices(
        catalogue=catalogue,
        small=read_quote(money.small, option="--small", input_tokens=_USUAL_TOKENS, catalogue=catalogue),
        instead=instead,
        gpu_for=gpu_for,
        simulated=frozenset(
            name
            for name, model in config.models.items()
            if model.provider in config.providers and config.providers[model.provider].simulated
        ),
    )


def _remarks(found: Found) -> list[str]:
    lines = [f"Not used: {count:,} {why}." for why, count in [*found.skipped.items()][:_TOLD]]
    return lines + [f"Of note: {count:,} {what}." for what, count in [*found.notes.items()][:_TOLD]]


def _nothing(source: Source, tally: Tally) -> str:
    if tally.skipped:
        return f"no call could be read: {tally.reasons()}"
    if source.files:
        return f"no call is in {', '.join(str(path) for path in source.files[:3])}"
    of = f" of task {source.task}" if source.task else ""
    return f"the ledger has no calls{of}; without a ledger, `smallfirst assess --import LOGS` reads files"


def _write(report: Report, html: Path | None, picture: Path | None, csv: str | None) -> None:
    out = Console(stderr=True, highlight=False)
    if html is not None:
        from smallfirst.durable import write_whole
        from smallfirst.planning.assess.page import assess_page

        write_whole(html, assess_page(report).encode("utf-8", "replace"))
        out.print(f"Written: {escape(str(html))}")
    if picture is not None:
        from smallfirst.planning.assess.picture import draw_features

        draw_features(picture, report)
        out.print(f"Written: {escape(str(picture))}")
    if csv is not None:
        from smallfirst.planning.assess.features_csv import features_csv

        write_csv(csv, features_csv(report))
        if csv != STDOUT:
            out.print(f"Written: {escape(csv)}")
