"""What the demo starts: the simulated frontier, the gateway, and commands of the product, each as a process of its own."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

HERE = Path(__file__).parent
STATE = Path(".smallfirst/demo")
SMALLFIRST = [sys.executable, "-c", "from smallfirst.cli import main; main()"]


@contextlib.contextmanager
def process(command: list[str], log: Path) -> Iterator[dict[str, Any]]:
    """A child process that announces itself with one line of JSON; ended when the block ends."""
    with log.open("w") as stderr:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line:
                raise SystemExit(f"{command[-1]} did not start:\n{log.read_text()[-2000:]}")
            yield json.loads(line) | {"pid": child.pid}
        finally:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(20)
            if child.poll() is None:
                child.kill()
                child.wait()


def simulator(
    answers: Path, *, state: Path = STATE, settings: Path = HERE / "simulator.toml"
) -> contextlib.AbstractContextManager[dict[str, Any]]:
    """The simulated frontier, faster than a hosted model would be. Its log lies in `state`."""
    command = [sys.executable, "-m", "smallfirst.simulator", "--port", "0", "--answers", str(answers)]
    command += ["--config", str(settings)]
    command += ["--latency-ms", "0", "--ttft-ms", "150", "--tokens-per-second", "2000"]
    return process(command, state / "simulator.log")


def gateway(config: Path, log: Path, *options: str) -> contextlib.AbstractContextManager[dict[str, Any]]:
    """The gateway over the demo's state; by default it serves the baseline."""
    return process([*SMALLFIRST, "serve", "--config", str(config), "--port", "0", "--json", *options], log)


def configuration(simulator: str) -> Path:
    """The example's configuration, pointed at this run's simulator and state directory."""
    text = (HERE / "smallfirst.toml").read_text("utf-8").replace("http://127.0.0.1:8081", simulator)
    if "[storage]" not in text:
        text += '\n[storage]\npath = "state"\n'
    path = STATE / "smallfirst.toml"
    path.write_text(text, "utf-8")
    return path


def smallfirst(*arguments: str) -> Any:
    """A command of the product, its JSON read."""
    done = subprocess.run([*SMALLFIRST, *arguments, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"smallfirst {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def show(
    console: Console, config: Path, *arguments: str, expected: int = 0, lines: int | None = None
) -> None:
    """A command of the product as a user would type it, its output (or the first `lines` of it) as a user would see it. Ends the demo where it
    ends otherwise than expected.
    """
    head = f" | head -{lines}" if lines else ""
    console.print(
        f"[bold cyan]$ smallfirst {shlex.join(arguments)}{head}[/]", highlight=False, soft_wrap=True
    )
    command = [*SMALLFIRST, *arguments, "--config", str(config)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE if lines else None, text=True)
    if lines:
        console.print("".join(done.stdout.splitlines(keepends=True)[:lines]), markup=False, highlight=False)
    if done.returncode != expected:
        raise SystemExit(f"smallfirst {arguments[0]} ended with status {done.returncode}, not {expected}")


def invoice_of(simulator: str, path: Path) -> None:
    """What the simulator says is owed to it, a line for each request, as CSV."""
    with urllib.request.urlopen(f"{simulator}/simulator/invoice?format=csv", timeout=10) as response:
        path.write_bytes(response.read())
