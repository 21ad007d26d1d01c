"""`smallfirst train --method encoder`: a label head over a sentence encoder that is tuned to the same labels, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from smallfirst.cli.train_head import HeadOptions, train_head
from smallfirst.cli.train_job import Job
from smallfirst.errors import ConfigError

if TYPE_CHECKING:
    from smallfirst.training.tuned import Tunes

METHODS = ("head", "encoder")


class EncoderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`base`: a folder; empty for MiniLM. `epochs` and `rate`: None for the usual."""

    base: str = ""
    epochs: int | None = None
    rate: float | None = None
    batch: int | None = None
    restart: bool = False


def train_encoder(job: Job, head: HeadOptions, encoder: EncoderOptions) -> None:
    """Trains, saves and prints. An interrupted run goes on when it is given again."""
    try:
        train_head(job, head, tuner=lambda: tuner(encoder, seed=job.seed, task=job.task, state=job.state))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from the folds that are finished", err=True)
        raise


def tuner(options: EncoderOptions, *, seed: int, task: str = "", state: Path | None = None) -> Tunes:
    """What tunes an encoder as these options say. Raises `ConfigError` where something is missing."""
    from smallfirst.training.encoder import EncoderSettings, TunedBy, open_base

    if options.epochs is not None and options.epochs < 1:
        raise ConfigError(f"{options.epochs} is too few; 1 at least", path="--epochs")
    told = {"epochs": options.epochs, "rate": options.rate, "batch": options.batch}
    settings = EncoderSettings(**{name: value for name, value in told.items() if value is not None})
    return TunedBy(
        open_base(options.base), settings, seed=seed, task=task, state=state, restart=options.restart
    )


def tuner_of(method: str, options: EncoderOptions, *, seed: int) -> Tunes | None:
    """What `smallfirst head` trains with. Raises `ConfigError` for a method that trains no head."""
    if method not in METHODS:
        raise ConfigError(f"--method {method} is not known here (known: {', '.join(METHODS)})")
    return tuner(options, seed=seed) if method == "encoder" else None
