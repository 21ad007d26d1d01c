"""`smallfirst`: all nouns together, and the one place where an error becomes a line on stderr."""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

import typer

import smallfirst
from smallfirst.cli import (
    adapters,
    assess,
    bill,
    budgets,
    cache,
    calls,
    config,
    dataset,
    examples,
    explain,
    gate,
    head,
    improve,
    init,
    judge,
    keys,
    models,
    outcomes,
    plan,
    prices,
    release,
    rollout,
    router,
    serve,
    stop,
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
_ANSWER, _LEARN, _CHANGE = "Answer calls", "Learn from them", "Change how they are answered"
_MONEY = "What they cost"
app.command(name="init", rich_help_panel=_ANSWER)(init.init)
app.add_typer(config.app, name="config", rich_help_panel=_ANSWER)
app.add_typer(keys.app, name="keys", rich_help_panel=_ANSWER)
app.add_typer(models.app, name="models", rich_help_panel=_ANSWER)
app.command(name="serve", rich_help_panel=_ANSWER)(serve.serve)
app.add_typer(calls.app, name="calls", rich_help_panel=_ANSWER)
app.add_typer(cache.app, name="cache", rich_help_panel=_ANSWER)
app.command(name="explain", rich_help_panel=_ANSWER)(explain.explain)
app.command(name="assess", rich_help_panel=_MONEY)(assess.assess)
app.command(name="bill", rich_help_panel=_MONEY)(bill.bill)
app.add_typer(plan.app, name="plan", rich_help_panel=_MONEY)
app.command(name="budgets", rich_help_panel=_MONEY)(budgets.budgets)
app.command(name="stop", rich_help_panel=_MONEY)(stop.stop)
app.command(name="resume", rich_help_panel=_MONEY)(stop.resume)
app.command(name="stops", rich_help_panel=_MONEY)(stop.stops)
app.add_typer(prices.app, name="prices", rich_help_panel=_MONEY)
app.command(name="improve", rich_help_panel=_LEARN)(improve.improve)
app.add_typer(outcomes.app, name="outcomes", rich_help_panel=_LEARN)
app.add_typer(dataset.app, name="dataset", rich_help_panel=_LEARN)
app.command(name="train", rich_help_panel=_LEARN)(train.train)
app.add_typer(head.app, name="head", rich_help_panel=_LEARN)
app.add_typer(examples.app, name="examples", rich_help_panel=_LEARN)
app.add_typer(adapters.app, name="adapters", rich_help_panel=_LEARN)
app.add_typer(evaluate.app, name="eval", rich_help_panel=_LEARN)
app.add_typer(judge.app, name="judge", rich_help_panel=_LEARN)
app.add_typer(router.app, name="router", rich_help_panel=_LEARN)
app.add_typer(release.app, name="release", rich_help_panel=_CHANGE)
app.add_typer(gate.app, name="gate", rich_help_panel=_CHANGE)
app.add_typer(rollout.app, name="rollout", rich_help_panel=_CHANGE)

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
        if error.filename is not None:  # a file that was named: to be written where nothing can be
            _fail(f"{error.filename}: {error.strerror}")
        if error.errno not in _FULL:
            raise
        _fail(f"{error.strerror}: make room and give the command again; nothing half was left behind")


def _fail(message: str) -> NoReturn:
    typer.echo(typer.style("error:", fg="red", bold=True) + f" {message}", err=True)
    sys.exit(1)
