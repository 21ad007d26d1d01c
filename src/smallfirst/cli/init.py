"""`smallfirst init`."""

from __future__ import annotations

import os
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape


def init(
    path: Path = typer.Option(Path("smallfirst.toml"), "--path", "-p", help="The file to write."),
    from_: Path | None = typer.Option(
        None, "--from", metavar="LITELLM.YAML", help="Import a LiteLLM proxy's configuration."
    ),
    force: bool = typer.Option(False, "--force", help="Overwrite the file if it exists."),
) -> None:
    """Write a commented smallfirst.toml for the providers whose keys the environment has."""
    from smallfirst.config.example import look, starter

    out = Console(highlight=False, soft_wrap=True)
    if from_ is not None:
        _import(from_, path, force, out)
        return
    _write(path, starter(os.environ), force)
    found = look(os.environ)
    out.print(f"wrote [bold]{escape(str(path))}[/]")
    out.print(f"found: {', '.join(found.names) or 'no provider'}")
    if found.simulated:
        out.print("no provider's key is set, so a simulated frontier stands in")
    _next(out, path, simulated=found.simulated, embedded=found.embedded)


def _import(source: Path, path: Path, force: bool, out: Console) -> None:
    from smallfirst.config.litellm import import_litellm

    result = import_litellm(source)
    _write(path, result.config_toml, force)
    out.print(f"wrote [bold]{escape(str(path))}[/] from {escape(str(source))}")
    out.print(f"\n[bold]taken[/] ({len(result.taken)})")
    for line in result.taken:
        out.print(f"  {escape(line)}")
    out.print(f"\n[bold]left[/] ({len(result.left)})")
    for line in result.left:
        out.print(f"  [yellow]{escape(line)}[/]")
    _next(out, path, simulated=False, embedded=False)


def _write(path: Path, text: str, force: bool) -> None:
    """Writes the whole file or none of it."""
    from smallfirst.errors import ConfigError

    try:
        if force:
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
            return
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists already and was not touched; --force overwrites it, --path names another"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _next(out: Console, path: Path, *, simulated: bool, embedded: bool) -> None:
    from smallfirst.config.example import EMBEDDED_MODEL, SIMULATOR_COMMAND
    from smallfirst.config.load import FILE_NAME

    option = "" if str(path) == FILE_NAME else f" --config {path}"
    out.print("\nnext:")
    if simulated:
        out.print(f"  {escape(SIMULATOR_COMMAND)} &")
    if embedded:
        out.print(f"  smallfirst models pull {EMBEDDED_MODEL}")
    out.print(f"  smallfirst config check{escape(option)}")
    out.print(f"  smallfirst serve{escape(option)}")
