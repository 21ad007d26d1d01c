"""`smallfirst`: all nouns together, and the one place where an error becomes a line on stderr."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

import smallfirst
from smallfirst.cli import (
    bill,
    calls,
    config,
    dataset,
    explain,
    gate,
    head,
    improve,
    init,
    judge,
    keys,
    models,
    outcomes,
    prices,
    release,
    rollout,
    router,
    serve,
    train,
)
from smallfirst.cli import eval as evaluate
from smallfirst.errors import SmallfirstError

app = typer.Typer(
    help="Small models first, frontier when needed, proof before every change.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="init")(init.init)
app.command(name="serve")(serve.serve)
app.command(name="explain")(explain.explain)
app.command(name="bill")(bill.bill)
app.command(name="train")(train.train)
app.command(name="improve")(improve.improve)
app.add_typer(calls.app, name="calls")
app.add_typer(config.app, name="config")
app.add_typer(dataset.app, name="dataset")
app.add_typer(evaluate.app, name="eval")
app.add_typer(gate.app, name="gate")
app.add_typer(head.app, name="head")
app.add_typer(judge.app, name="judge")
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(outcomes.app, name="outcomes")
app.add_typer(prices.app, name="prices")
app.add_typer(release.app, name="release")
app.add_typer(rollout.app, name="rollout")
app.add_typer(router.app, name="router")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smallfirst {smallfirst.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    """Options of every command."""


def main() -> None:
    """Runs a command. Exit status: 0, 1 for an error of ours, 2 for wrong usage, 130 after Ctrl-C."""
    try:
        app()
    except SmallfirstError as error:
        _fail(str(error))
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(
            f"{error.filename}: {error.strerror}"
        )  # a file that was named: to be written where nothing can be


def _fail(message: str) -> NoReturn:
    typer.echo(typer.style("error:", fg="red", bold=True) + f" {message}", err=True)
    sys.exit(1)
