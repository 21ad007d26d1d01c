"""`smallfirst adapters`: what was trained, compared, written out, deployed and removed. `adapters_deploy.py` has the commands that ask servers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.console import Console

from smallfirst.cli.adapters_deploy import ADAPTER, BASE, deploy, form_of, undeploy
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, home_of, state_of

app = typer.Typer(
    help="Adapters: LoRA weights that were trained here, and where they are served.", no_args_is_help=True
)
app.command()(deploy)
app.command()(undeploy)


@app.command(name="list")
def list_(
    task: str | None = typer.Option(None, "--task", "-t", help="Only this task's."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """The adapters that were trained here, newest first: base, dataset, scores, size, and where they are deployed."""
    from smallfirst.cli.adapters_shown import plain, show_list
    from smallfirst.models.adapters.deployments import deployments
    from smallfirst.models.adapters.store import Adapters

    state = state_of(None, config)
    store, deployed = Adapters(state), deployments(state)
    listed, damaged = store.survey()
    wanted = [one for one in listed if task in (None, one.manifest.task)]
    if as_json:
        told = {"adapters": [plain(one, store, deployed) for one in wanted], "damaged": damaged}
        typer.echo(msgspec.json.encode(told).decode())
        return
    show_list(wanted, store, deployed, damaged)


@app.command()
def show(
    adapter: str = ADAPTER,
    picture: Path | None = typer.Option(
        None, help="Draw how loss and score went while it was trained: a .png or .svg."
    ),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Everything that is known of one: what it was made of, how it did, the forms it lies in, who serves it and which releases name it."""
    from smallfirst.cli.adapters_shown import Whole, plain, show_adapter
    from smallfirst.gate.deploy import uses_of
    from smallfirst.models.adapters.deployments import deployments
    from smallfirst.models.adapters.store import Adapters

    state = state_of(None, config)
    store = Adapters(state)
    found = store.listed(adapter)
    whole = Whole(found, store.open(found.id), deployments(state), uses_of(state, found.id))
    if picture is not None:
        from smallfirst.evals.training_picture import draw_training

        draw_training(picture, found.made.curves, title=f"{found.manifest.task}, adapter {found.id[:12]}")
    if as_json:
        told = plain(found, store, whole.deployed) | {
            "made": found.made,
            "manifest": found.manifest,
            "uses": whole.uses,
        }
        typer.echo(msgspec.json.encode(told).decode())
        return
    show_adapter(whole, Console(highlight=False))
    if picture is not None:
        Console().print(f"curves: {picture}", highlight=False)


@app.command()
def diff(
    one: str = ADAPTER,
    other: str = typer.Argument(metavar="OTHER", help="Another one."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """In what two differ: base, data, how they are asked, settings, scores."""
    from smallfirst.cli.adapters_shown import show_difference
    from smallfirst.models.adapters.difference import differences
    from smallfirst.models.adapters.store import Adapters

    store = Adapters(state_of(None, config))
    left, right = store.open(one), store.open(other)
    found = differences(left.manifest, right.manifest)
    if as_json:
        told = {"one": left.id, "other": right.id, "differences": found}
        typer.echo(msgspec.json.encode(told).decode())
        return
    show_difference(left, right, found, Console(highlight=False))


@app.command()
def rm(
    adapter: str = ADAPTER,
    force: bool = typer.Option(
        False,
        "--force",
        help="Also one that is deployed, or that a rollback would go to; never one that answers calls.",
    ),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Delete one, and every form of it, for good."""
    from smallfirst.gate.deploy import remove
    from smallfirst.models.adapters.deployments import EMBEDDED

    name, forgotten = remove(home_of(config), adapter, force=force)
    if as_json:
        typer.echo(msgspec.json.encode({"removed": name, "forgotten": forgotten}).decode())
        return
    out = Console(highlight=False)
    out.print(f"adapter [bold]{name[:12]}[/] is deleted")
    for one in forgotten:
        if one.target != EMBEDDED:
            out.print(f"{one.target} may have it in memory until it is started again: {one.served_name}")


@app.command()
def export(
    adapter: str = ADAPTER,
    form: str = typer.Option(
        ...,
        help="peft: a folder, for vLLM. lora: a GGUF of it alone. q8_0, f16, q4_1: a GGUF with its base. merged: a checkpoint with its base.",
    ),
    out: Path = typer.Option(..., help="The file, or the folder, to write; it must not be there."),
    base: str | None = BASE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Write it out for another server, or another trainer."""
    from smallfirst.cli.adapters_shown import size_shown
    from smallfirst.gate.deploy import exported
    from smallfirst.gate.deploy.copying import copy_whole
    from smallfirst.models.adapters.store import Adapters
    from smallfirst.training.export import caution

    opened = Adapters(state_of(None, config)).open(adapter)
    with progress_bar() as progress:
        path, told = exported(opened, form_of(form), progress, base=base)
        copy_whole(path, out)
    if as_json:
        typer.echo(msgspec.json.encode({"adapter": opened.id, "out": str(out), "exported": told}).decode())
        return
    if said := caution(told.form):
        Console(stderr=True, highlight=False).print(f"[yellow]{said}[/]")
    Console(highlight=False).print(
        f"{out}: {told.form}, {size_shown(told.size_bytes)}, SHA-256 {told.sha256}"
    )
