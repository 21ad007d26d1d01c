"""`smallfirst cache eval`: what a cache would be worth on a stream, and how often it would be wrong; ours and what others do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console

from smallfirst.cli.cache_eval_shown import show_cache_eval, write_cache_eval
from smallfirst.cli.interrupt import interruptible
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, STATE, config_and_state

if TYPE_CHECKING:
    from smallfirst.classify.embedder import Embedder
    from smallfirst.config.schema import Task
    from smallfirst.evals.cache.decision import Figures
    from smallfirst.evals.cache.evaluation import Wanted
    from smallfirst.evals.cache.stream import StreamRow

_INTERRUPTED = 130  # as shells say it of SIGINT


def eval_(
    stream: Path | None = typer.Option(
        None, help='Requests in their order, a JSON object a line: {"id", "input", "answer_class"}.'
    ),
    task: str = typer.Option(
        "",
        "--task",
        "-t",
        help="Or the recorded calls of a task whose bodies are kept: what your own traffic allows.",
    ),
    delta: str = typer.Option(
        "0.01,0.02,0.05", help="Bounds on wrong hits, as a share of all requests; separated by commas."
    ),
    warm: Path | None = typer.Option(
        None, help="Requests that were answered before the stream began; they are not counted."
    ),
    methods: str = typer.Option(
        "ours,exact,fixed,vcache", help="Which caches: any of these, separated by commas."
    ),
    embedder: str = typer.Option(
        "",
        help="Of all of them, as in `cache.semantic.embedder`; default: that of --task, else minilm where its weights are, else wordllama.",
        show_default=False,
    ),
    order: str = typer.Option("file", help="file: as the lines stand; shuffled: at random."),
    seed: int = typer.Option(0, min=0, help="Of everything that draws: the order, spot checks."),
    out: Path | None = typer.Option(
        None, help="A folder for the curve as PNG and SVG, the figures, and every decision as CSV."
    ),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Replay a stream through the cache at each bound, and through exact-only, fixed-cosine and vCache's caches beside it."""
    from smallfirst.errors import ConfigError
    from smallfirst.evals.cache.evaluation import METHODS, Wanted
    from smallfirst.evals.cache.stream import read_stream, shuffled

    wanted = Wanted(deltas=_deltas(delta), methods=_named(methods, METHODS), seed=seed)
    if order not in ("file", "shuffled"):
        raise ConfigError(f"--order {order} is not known (known: file, shuffled)")
    if (stream is None) == (not task) or (warm is not None and task):
        raise ConfigError("give either --stream FILE, and --warm FILE with it if you like, or --task NAME")
    loaded, place = config_and_state(state, config) if stream is None else (None, Path())
    used = _embedder(embedder, loaded.tasks.get(task) if loaded else None)
    rows = read_stream(stream, warm=warm) if stream is not None else _recorded(task, place)
    if order == "shuffled":
        rows = shuffled(rows, seed)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    found, interrupted = _replay(rows, wanted, used, out)
    if out is not None:
        write_cache_eval(out, found, title=stream.stem if stream is not None else task)
    if as_json:
        told = sorted(found, key=lambda one: METHODS.index(one.method))
        typer.echo(msgspec.json.encode(told).decode())
    else:
        show_cache_eval(found, rows, wanted, out, Console())
    if interrupted:
        raise typer.Exit(_INTERRUPTED)


def _replay(
    rows: list[StreamRow], wanted: Wanted, embedder: Embedder, out: Path | None
) -> tuple[list[Figures], bool]:
    """What was replayed before the end, or before Ctrl-C, and whether it was the latter. Decisions are written method by method."""
    from smallfirst.evals.cache.evaluation import replayed, write_decisions

    found: list[Figures] = []
    try:
        with interruptible() as stop_if_asked, progress_bar() as progress:

            def told(step: str, done: int, total: int) -> None:
                stop_if_asked()
                progress(step, done, total)

            for one in replayed(rows, wanted, embedder, told):
                found.append(one.figures)  # decisions are many, and are not held
                if out is not None:
                    write_decisions(out, one, rows)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted: this is what was done", style="yellow")
        return found, True
    return found, False


def _embedder(name: str, task: Task | None) -> Embedder:
    """The one that is named, else the task's, else the best that is here."""
    from smallfirst.classify.embedders import best_here, open_embedder
    from smallfirst.errors import ConfigError

    semantic = task.cache.semantic if task else None
    name = name or (semantic.embedder if semantic else best_here())
    if name.startswith("model:"):
        raise ConfigError(
            f"{name} is asked over the network, once for each text: --embedder names one that runs here, such as {best_here()}"
        )
    return open_embedder(name)


def _recorded(task: str, state: Path) -> list[StreamRow]:
    """The task's calls; how many could not be taken is said on stderr."""
    from smallfirst.evals.cache.recorded import recorded_stream
    from smallfirst.ledger import Ledger

    with Ledger.read(state) as ledger:
        rows, skipped = recorded_stream(ledger.queries, task)
    for why, count in skipped.items():
        typer.echo(f"left out: {count:,} calls {why}", err=True)
    return rows


def _deltas(text: str) -> tuple[float, ...]:
    from smallfirst.errors import ConfigError

    try:
        deltas = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        deltas = ()
    if not deltas or not all(0 < one <= 0.2 for one in deltas):
        raise ConfigError(
            f"--delta: expected numbers above 0 and up to 0.2, separated by commas, as 0.01,0.02; not {text!r}"
        )
    return tuple(dict.fromkeys(deltas))


def _named(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    from smallfirst.errors import ConfigError

    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names or ("",):
        if name not in known:
            raise ConfigError(f"--methods: {name!r} is not known (known: {', '.join(known)})")
    return names
