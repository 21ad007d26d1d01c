"""`smallfirst serve`."""

from __future__ import annotations

import logging
from pathlib import Path

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape


def serve(
    config: Path | None = typer.Option(
        None, "--config", "-c", help="The configuration; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
    ),
    host: str | None = typer.Option(None, help="Address to listen on, instead of server.host."),
    port: int | None = typer.Option(
        None, help="Port to listen on, instead of server.port; 0 takes a free one."
    ),
    release: str | None = typer.Option(
        None, help="Serve this release, or `baseline`, instead of the live channel's."
    ),
    unproven: str = typer.Option(
        "",
        metavar="REASON",
        help="Serve a release that has no passing verdict. The reason is recorded, and stays visible.",
    ),
    embedded: bool = typer.Option(True, help="Start the embedded models."),
    controller: bool = typer.Option(
        True, help="Start the process that watches a canary and renews its lease, where there is one."
    ),
    log_level: str = typer.Option("warning", help="debug, info, warning or error."),
    as_json: bool = typer.Option(False, "--json", help="Announce the address as one line of JSON."),
) -> None:
    """Answer calls: the gateway, until Ctrl-C or SIGTERM. SIGHUP reads the configuration again."""
    import msgspec

    from smallfirst.config import find
    from smallfirst.gateway.channel import Served
    from smallfirst.gateway.follow import describe
    from smallfirst.gateway.serve import Options
    from smallfirst.gateway.serve import serve as run
    from smallfirst.releases import BASELINE

    _log_to_stderr(log_level)
    out = Console()

    def announce(url: str, served: Served) -> None:
        live = served.live
        if as_json:
            line: dict[str, object] = {"listening": url, "release": live.id, "unproven": live.unproven}
            line["verdict"] = live.proof.id if live.proof else ""
            line["canary"] = served.canary[0].id if served.canary else ""
            line["shadow"] = served.shadow[0].id if served.shadow else ""
            typer.echo(msgspec.json.encode(line).decode())
            return
        out.print(
            f"[bold]smallfirst[/] answers on [link={url}]{url}[/] (OpenAI: base_url {url}/v1, Anthropic: base_url {url})",
            highlight=False,
        )
        if live.id == BASELINE:
            out.print("serving [bold]baseline[/]: every task goes to its frontier model, as before")
        else:
            proof = f", proven by verdict {live.proof.id[:12]}" if live.proof else ""
            out.print(f"serving release [bold]{live.short}[/]{proof}", highlight=False)
        if live.unproven:
            out.print(f"[bold red]UNPROVEN[/]: {escape(live.unproven)}", highlight=False)
        for model, lapse in (live.proof.lapsed if live.proof else {}).items():
            out.print(
                f"[bold red]LAPSED[/]: what asks {escape(model)} goes to the frontier: {escape(lapse.reason)}",
                highlight=False,
            )
        if served.canary or served.shadow:
            out.print(describe(served), highlight=False)

    run(
        find(config),
        Options(
            host=host,
            port=port,
            release=release,
            unproven=unproven,
            embedded=embedded,
            controller=controller,
        ),
        announce=announce,
    )


def _log_to_stderr(level: str) -> None:
    name = level.upper()
    if name not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise typer.BadParameter("one of debug, info, warning, error", param_hint="--log-level")
    handler = RichHandler(
        console=Console(stderr=True), show_path=False, rich_tracebacks=False, log_time_format="[%X]"
    )
    logging.basicConfig(level=name, handlers=[handler], format="%(message)s", force=True)
