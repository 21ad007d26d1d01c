"""`smallfirst train`: a small model from examples. One file a method: `train_head.py`, `train_adapter.py`, …"""

from __future__ import annotations

from pathlib import Path

import typer

from smallfirst.cli.state import CONFIG, JSON, home_of
from smallfirst.cli.train_job import Job
from smallfirst.errors import ConfigError

_METHODS = ("head", "encoder", "retrieval", "lora", "qlora")
_HEAD, _ADAPTER = "--method head, encoder", "--method lora, qlora"
_HEADS, _ADAPTERS, _TUNED = ("head", "encoder"), ("lora", "qlora"), ("encoder", "lora", "qlora")
_ONLY = (
    dict.fromkeys(("outcomes", "model"), _HEADS)
    | {"embedder": (*_HEADS, "retrieval")}
    | dict.fromkeys(("base", "epochs", "rate", "batch", "restart"), _TUNED)
    | dict.fromkeys(
        (
            "template", "rank", "alpha", "batch_tokens", "skip_long", "device", "backend", "budget_minutes", "usd_per_hour", "checkpoint_seconds",
            "resume", "dry_run", "out", "picture",
        ),
        _ADAPTERS,
    )
)  # fmt: skip
"""Options that only some methods take. What is said and not heeded would be missed too late."""


def train(
    context: typer.Context,
    task: str = typer.Argument(help="The task."),
    dataset: str = typer.Option(
        "",
        help="The dataset whose train part is learned from: newest, or a hash. Default: the newest of the task.",
    ),
    method: str = typer.Option(
        "head",
        help="head: a linear classifier over embeddings; encoder: one over a sentence encoder that is tuned too; "
        "retrieval: examples that a model is shown; lora: an adapter over a language model; qlora: the same over a model in four bits.",
    ),
    seed: int = typer.Option(0, help="Of everything that draws."),
    note: str = typer.Option("", help="Why it was trained; kept beside it."),
    data: Path | None = typer.Option(
        None,
        rich_help_panel=_HEAD,
        help='A file instead of a dataset, one JSON object a line: {"id", "input", "label"}.',
    ),
    embedder: list[str] = typer.Option(
        [],
        rich_help_panel=_HEAD,
        help="wordllama, minilm, …; again for several. Default: wordllama, and minilm where it is installed.",
    ),
    outcomes: Path | None = typer.Option(
        None,
        rich_help_panel=_HEAD,
        help="Also write what the head says of each example when it has not seen it: outcome rows for `router fit`.",
    ),
    model: str = typer.Option(
        "",
        rich_help_panel=_HEAD,
        help="The head's name in these rows; default: the configured model that is this head.",
    ),
    base: str = typer.Option(
        "",
        rich_help_panel=_ADAPTER,
        metavar="MODEL",
        help="What is tuned: embedded:smollm2-135m, a folder, a .gguf, or ORG/NAME of the Hugging Face hub.",
    ),
    template: Path | None = typer.Option(
        None, rich_help_panel=_ADAPTER, help="A Jinja chat template for a base that has none."
    ),
    epochs: int | None = typer.Option(
        None,
        rich_help_panel=_ADAPTER,
        help="How often each example is seen. Default: by their number, 2 to 4.",
    ),
    rate: float | None = typer.Option(
        None, rich_help_panel=_ADAPTER, help="The highest learning rate. Default: by the base's size."
    ),
    rank: int | None = typer.Option(None, rich_help_panel=_ADAPTER, help="Of the adapter. Default: 16."),
    alpha: int | None = typer.Option(
        None, rich_help_panel=_ADAPTER, help="What it is scaled by, over the rank. Default: 32."
    ),
    batch: int | None = typer.Option(
        None, rich_help_panel=_ADAPTER, help="Examples of one step. Default: 16, fewer where there are few."
    ),
    batch_tokens: int | None = typer.Option(
        None, rich_help_panel=_ADAPTER, help="Tokens computed at once; fewer need less memory."
    ),
    skip_long: bool = typer.Option(
        False,
        "--skip-long",
        rich_help_panel=_ADAPTER,
        help="Leave out examples that are longer than the base's context, instead of refusing.",
    ),
    device: str = typer.Option("auto", rich_help_panel=_ADAPTER, help="auto, cpu or cuda."),
    backend: str = typer.Option(
        "own", rich_help_panel=_ADAPTER, help="own, or trl where that is installed (pip install trl)."
    ),
    budget_minutes: float | None = typer.Option(
        None, min=0, rich_help_panel=_ADAPTER, help="Refuse to start what would take longer."
    ),
    usd_per_hour: float | None = typer.Option(
        None,
        min=0,
        rich_help_panel=_ADAPTER,
        help="What an hour of this machine costs. Default: the hourly_usd of the model that is trained for.",
    ),
    checkpoint_seconds: float = typer.Option(
        60.0, min=0, rich_help_panel=_ADAPTER, help="How often it is written down where the run is."
    ),
    resume: bool = typer.Option(
        False,
        "--resume",
        rich_help_panel=_ADAPTER,
        help="Go on with this run, or say that there is nothing to go on with. The same command goes on by itself.",
    ),
    restart: bool = typer.Option(
        False, "--restart", rich_help_panel=_ADAPTER, help="Begin anew, whatever was done before."
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", rich_help_panel=_ADAPTER, help="Check everything, time a step, and stop there."
    ),
    out: Path | None = typer.Option(
        None, rich_help_panel=_ADAPTER, help="Also copy the adapter, as PEFT wrote it, into this new folder."
    ),
    picture: Path | None = typer.Option(
        None,
        rich_help_panel=_ADAPTER,
        help="Draw how loss and score went: .png, .svg, or .json with the figures.",
    ),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Train a small model on a task's examples. Nothing that is served changes until a release is built with it."""
    home = home_of(config)
    if method not in _METHODS:
        raise ConfigError(f"--method {method} is not known (known: {', '.join(_METHODS)})")
    _check_options(context, method)
    told = home.config.tasks.get(task)
    if told is None:
        raise ConfigError(f"task {task!r} is not known (tasks: {', '.join(home.config.tasks) or 'none'})")
    job = Job(task=task, told=told, home=home, dataset=dataset, seed=seed, note=note, as_json=as_json)
    if method in ("head", "encoder"):
        from smallfirst.cli.train_head import HeadOptions, train_head

        head = HeadOptions(data=data, embedder=embedder, outcomes=outcomes, model=model)
        if method == "head":
            train_head(job, head)
            return
        from smallfirst.cli.train_encoder import EncoderOptions, train_encoder

        encoder = EncoderOptions(base=base, epochs=epochs, rate=rate, batch=batch, restart=restart)
        train_encoder(job, head, encoder)
    elif method == "retrieval":
        from smallfirst.cli.train_retrieval import train_retrieval

        if data is not None:
            raise ConfigError(
                f"an index is made of a dataset, whose parts are kept apart: smallfirst dataset import {data} --task {task}",
                path="--data",
            )
        train_retrieval(job, embedder)
    else:
        from smallfirst.cli.train_adapter import AdapterOptions, train_adapter

        if data is not None:
            raise ConfigError(
                f"an adapter is trained on a dataset, whose parts are kept apart: smallfirst dataset import {data} --task {task}",
                path="--data",
            )
        options = AdapterOptions(
            method=method,
            base=base,
            template=template,
            epochs=epochs,
            rate=rate,
            rank=rank,
            alpha=alpha,
            batch_examples=batch,
            batch_tokens=batch_tokens,
            skip_long=skip_long,
            device=device,
            backend=backend,
            budget_minutes=budget_minutes,
            usd_per_hour=usd_per_hour,
            checkpoint_s=checkpoint_seconds,
            resume=resume,
            restart=restart,
            dry_run=dry_run,
            out=out,
            picture=picture,
        )
        train_adapter(job, options)


def _check_options(context: typer.Context, method: str) -> None:
    """Raises `ConfigError` for an option that was given, and that this method does not take."""
    for name, methods in _ONLY.items():
        source = context.get_parameter_source(name)
        if method not in methods and source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            raise ConfigError(
                f"is for --method {', '.join(methods)}, and this is --method {method}", path=option
            )
