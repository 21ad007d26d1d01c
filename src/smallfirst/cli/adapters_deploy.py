"""`smallfirst adapters deploy` and `undeploy`: an adapter to a server, and away from it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, home_of

if TYPE_CHECKING:
    from smallfirst.evals.session import Home
    from smallfirst.gate.deploy import Deployed
    from smallfirst.models.adapters.adapter import Form

Done = TypeVar("Done")
_STOPPING = (signal.SIGINT, signal.SIGTERM)
ADAPTER = typer.Argument(
    metavar="ADAPTER", help="A hash or the beginning of one; a task, for its newest; newest."
)
BASE = typer.Option(None, metavar="MODEL", help="Where its base is, if not where its own name says.")
_PUBLIC = typer.Option(
    False, "--allow-public", help="Also to a server that is neither on this machine nor on a private network."
)


def deploy(
    adapter: str = ADAPTER,
    to: str = typer.Option(
        ..., metavar="embedded|URL", help="The embedded server, or a vLLM of the configuration."
    ),
    form: str | None = typer.Option(
        None, help="embedded: lora (default), q8_0, f16, q4_1. A vLLM takes the peft folder."
    ),
    server_path: Path | None = typer.Option(
        None, help="Where a vLLM sees STATE/adapters; default: where it is here."
    ),
    base: str | None = BASE,
    allow_public: bool = _PUBLIC,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Load it where it is to be served, compare its answers there with the trainer's, and record it; or say why not, and leave nothing.

    A running gateway follows within seconds. Releases may then name it.
    """
    from smallfirst.gate.deploy import Wish

    wish = Wish(
        adapter=adapter,
        to=to,
        form=None if form is None else form_of(form),
        base=base,
        server_path=server_path,
        allow_public=allow_public,
    )
    home = home_of(config)
    done = _deployed(wish, home)
    if as_json:
        probed = done.probed
        told = msgspec.to_builtins(done.deployment) | {
            "served_name": done.deployment.served_name,
            "rendered": probed.rendered,
            "logprob_mean": probed.logprob_mean,
        }
        typer.echo(msgspec.json.encode(told).decode())
        return
    _show(done, home)


def undeploy(
    adapter: str = ADAPTER,
    to: str = typer.Option(
        "", metavar="embedded|URL", help="From where, if it is deployed at several places."
    ),
    force: bool = typer.Option(
        False, "--force", help="Also while a release that answers calls needs it, or its server is gone."
    ),
    allow_public: bool = _PUBLIC,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Take it away from a server. The adapter itself stays."""
    from smallfirst.gate.deploy import undeploy as taken_away

    was = _run(taken_away(home_of(config), adapter, to, force=force, allow_public=allow_public))
    if as_json:
        typer.echo(msgspec.json.encode(was).decode())
        return
    Console(highlight=False).print(
        f"[bold]{escape(was.served_name)}[/] is no longer deployed to {was.target}"
    )


def form_of(text: str) -> Form:
    """The form of that name. Raises `ConfigError`."""
    from smallfirst.errors import ConfigError
    from smallfirst.models.adapters.adapter import Form

    known: tuple[Any, ...] = get_args(Form)
    if text not in known:
        raise ConfigError(f"expected {', '.join(known)}, not {text!r}", path="--form")
    return cast("Form", text)


def _deployed(wish: Any, home: Home) -> Deployed:
    from smallfirst.gate.deploy import deploy as deployed
    from smallfirst.gate.deploy import prepare
    from smallfirst.gate.deploy.deploying import check

    with progress_bar() as progress:
        checked = _run(check(wish, home))
        return _run(deployed(prepare(wish, checked, home, progress), home, progress))


def _run(work: Coroutine[Any, Any, Done]) -> Done:
    """Runs it so that Ctrl-C and SIGTERM end it once: what it began is undone, and a second one does not disturb that."""

    async def stoppable() -> Done:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        asked = False

        def stop() -> None:
            nonlocal asked
            if not asked:
                asked = True
                sys.stderr.write("\nundoing what was begun\n")
                task.cancel()

        for number in _STOPPING:
            loop.add_signal_handler(number, stop)
        try:
            return await work
        finally:
            for number in _STOPPING:
                loop.remove_signal_handler(number)

    with contextlib.suppress(asyncio.CancelledError):
        return asyncio.run(stoppable())
    raise KeyboardInterrupt


def _show(done: Deployed, home: Home) -> None:
    deployed, probed = done.deployment, done.probed
    out = Console(highlight=False)
    rendered = (
        "prompts the same to the token"
        if probed.rendered is not None
        else "prompts not compared (the server does not tell how it renders them, or the template writes the day)"
    )
    apart = (
        ""
        if probed.logprob_mean is None
        else f"; their log-probabilities {probed.logprob_mean:.3f} nats a token from the trainer's"
    )
    out.print(
        f"[bold]{escape(deployed.served_name)}[/] as {deployed.form} is deployed to {deployed.target}: {probed.same} of {probed.probes} answers "
        f"as the trainer's model gave them, {rendered}{apart}"
    )
    named = [
        name
        for name, model in home.config.models.items()
        if getattr(model, "adapter", None) in (deployed.task, deployed.adapter)
    ]
    if not named:
        out.print(
            f'A model with `id = "{escape(deployed.base)}"` and `adapter = "{deployed.task}"` makes it a rung of a release.'
        )
