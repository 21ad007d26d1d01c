"""``python -m smallfirst.simulator``: serve the simulated frontier until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from .app import build_app
from .connection import CuttableProtocol
from .settings import Settings, load_settings, load_tasks
from .simulator import Simulator


class _Server(uvicorn.Server):
    """Uvicorn that says when it listens, and on a signal drops its clients and ends with status 0."""

    def __init__(self, config: uvicorn.Config, simulator: Simulator) -> None:
        super().__init__(config)
        self._simulator = simulator

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = sockets[0].getsockname()[:2] if sockets else ("", 0)
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(json.dumps({"listening": f"http://{shown}:{port}", "simulated": True}) + "\n")
        sys.stdout.flush()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True
        self._simulator.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._simulator.stop()
        await super().shutdown(sockets)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; the exit status: 0 after a signal, 2 if it could not start."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        simulator = Simulator(settings)
        listener = _bind(options.host, options.port)
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"simulator: {problem}\n")
        return 2
    config = uvicorn.Config(
        build_app(simulator),
        http=CuttableProtocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        backlog=2048,
    )
    try:
        _Server(config, simulator).run([listener])
    finally:
        simulator.close()
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    overrides = {
        "seed": options.seed,
        "answers": options.answers,
        "invoice": options.invoice,
        "prices": options.prices,
        "api_key": options.api_key,
        "latency_ms": options.latency_ms,
        "ttft_ms": options.ttft_ms,
        "ttft_sigma": options.ttft_sigma,
        "tokens_per_second": options.tokens_per_second,
        "tasks": load_tasks(Path(options.tasks)) if options.tasks else None,
    }
    return load_settings(Path(options.config) if options.config else None, overrides)


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {problem.strerror}") from problem
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m smallfirst.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900, help="0: any free port (default 8900)")
    parser.add_argument("--config", metavar="FILE", help="settings as TOML; the options below win over it")
    parser.add_argument("--tasks", metavar="FILE", help="TOML with [tasks.NAME] tables: marker, accuracy")
    parser.add_argument("--answers", metavar="FILE", help="known answers, JSONL")
    parser.add_argument("--invoice", metavar="FILE", help="append each charge to this file as JSONL")
    parser.add_argument("--prices", metavar="FILE", help="another price table, TOML")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--api-key", metavar="KEY", help="refuse all other keys")
    parser.add_argument("--latency-ms", type=float, help="before the headers of every answer")
    parser.add_argument("--ttft-ms", type=float, help="median time to the first token")
    parser.add_argument("--ttft-sigma", type=float, help="spread of the time to the first token (lognormal)")
    parser.add_argument("--tokens-per-second", type=float, help="0: no limit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
