"""`make demo`: the whole product once, on real input.

Starts a simulated frontier, the embedded small model and the gateway; sends every helpdesk ticket through three tasks with the official
openai SDK; then prints who answered, how fast, at what cost and how often right, holds the bill against the simulator's own
invoice, and says where the ledger is.

What is simulated is said so: the frontier answers from the gold labels with a stated accuracy. The small model is real, and its answers are too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

HERE = Path(__file__).parent
STATE = Path(".smallfirst/demo")
TASKS = ("ticket-triage", "ticket-extract", "ticket-summary")
GOLD = {"ticket-triage": "category", "ticket-extract": "record"}
CONCURRENCY = 16
SMALLFIRST = [sys.executable, "-c", "from smallfirst.cli import main; main()"]


@dataclass(frozen=True)
class Answered:
    """What came of one call."""

    task: str
    model: str
    seconds: float
    right: bool | None
    error: str = ""


def tickets(share: float) -> list[dict[str, Any]]:
    """All tickets of the three splits, or the first `share` of each."""
    found = []
    for split in ("train", "calibration", "heldout"):
        rows = [json.loads(line) for line in (HERE / f"{split}.jsonl").read_text("utf-8").splitlines()]
        found += rows[: max(1, round(len(rows) * share))]
    return found


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


async def ask(client: openai.AsyncOpenAI, task: str, ticket: dict[str, Any]) -> Answered:
    """One call, as an application would make it."""
    began = time.perf_counter()
    try:
        response = await client.chat.completions.with_raw_response.create(
            model=f"task/{task}", messages=[{"role": "user", "content": ticket["input"]}], temperature=0
        )
    except openai.OpenAIError as error:
        return Answered(task, "-", time.perf_counter() - began, None, type(error).__name__)
    text = response.parse().choices[0].message.content or ""
    model = response.headers.get("x-smallfirst-model", "?")
    return Answered(task, model, time.perf_counter() - began, is_right(task, ticket, text))


def is_right(task: str, ticket: dict[str, Any], text: str) -> bool | None:
    """Against the gold label; a summary has no single right text, so None."""
    if task not in GOLD:
        return None
    gold = ticket[GOLD[task]]
    if isinstance(gold, str):
        return text.strip() == gold
    try:
        return json.loads(text) == gold
    except ValueError:
        return False


async def send_all(url: str, key: str, rows: list[dict[str, Any]], console: Console) -> list[Answered]:
    """Every ticket through every task, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("tickets through three tasks", total=len(rows) * len(TASKS))
        turn = asyncio.Semaphore(CONCURRENCY)
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=300
        ) as client:

            async def one(task: str, ticket: dict[str, Any]) -> Answered:
                async with turn:
                    answered = await ask(client, task, ticket)
                progress.advance(bar)
                return answered

            return await asyncio.gather(*(one(task, ticket) for ticket in rows for task in TASKS))


def show(answers: list[Answered], console: Console) -> None:
    """Who answered what, how fast and how often right."""
    groups: dict[tuple[str, str], list[Answered]] = defaultdict(list)
    for answer in answers:
        groups[(answer.task, answer.model)].append(answer)
    table = Table("task", "answered by", "calls", "p50", "p99", "right", title="Who answered")
    for (task, model), group in sorted(groups.items()):
        times = sorted(answer.seconds for answer in group)
        judged = [answer.right for answer in group if answer.right is not None]
        table.add_row(
            task,
            model if model == "small" else f"{model} (simulated)",
            f"{len(group):,}",
            _seconds(times[len(times) // 2]),
            _seconds(times[min(len(times) - 1, len(times) * 99 // 100)]),
            f"{sum(judged) / len(judged):.0%} of {len(judged)}" if judged else "not judged",
        )
    console.print(table)
    failed = [answer for answer in answers if answer.error]
    if failed:
        console.print(
            f"[red]{len(failed)} calls failed[/]: {', '.join(sorted({answer.error for answer in failed}))}"
        )


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def invoice_of(simulator: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{simulator}/simulator/invoice", timeout=10) as response:
        return json.load(response)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="the share of the tickets that is sent (default: all)"
    )
    options = parser.parse_args()
    console = Console()
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    rows = tickets(options.share)
    answers_file = STATE / "answers.jsonl"
    subprocess.run(
        [sys.executable, str(HERE / "answers.py"), str(answers_file)], check=True, stdout=subprocess.DEVNULL
    )
    simulator_command = [
        sys.executable,
        "-m",
        "smallfirst.simulator",
        "--port",
        "0",
        "--answers",
        str(answers_file),
    ]
    simulator_command += [
        "--config",
        str(HERE / "simulator.toml"),
        "--latency-ms",
        "0",
        "--ttft-ms",
        "150",
        "--tokens-per-second",
        "2000",
    ]
    with process(simulator_command, STATE / "simulator.log") as simulator:
        config = configuration(simulator["listening"])
        release = smallfirst("release", "build", "--config", str(config))["id"]
        key = smallfirst("keys", "create", "demo", "--config", str(config))["key"]
        serve = [*SMALLFIRST, "serve", "--config", str(config), "--port", "0", "--json", "--release", release]
        serve += [
            "--unproven",
            "the demo: there is no gate yet, and this is what routing without proof looks like",
        ]
        with process(serve, STATE / "gateway.log") as gateway:
            console.print(
                f"gateway {gateway['listening']}, release {release[:12]} [red](unproven)[/], frontier simulated, small model real"
            )
            wait_for_small(gateway["listening"], console)
            answers = asyncio.run(send_all(gateway["listening"], key, rows, console))
        invoice = invoice_of(simulator["listening"])
    show(answers, console)
    return reconcile(config, invoice, console)


def wait_for_small(url: str, console: Console) -> None:
    """Until the embedded model's server answers: a few seconds."""
    with console.status("loading the small model"):
        for _ in range(600):
            with urllib.request.urlopen(f"{url}/metrics", timeout=5) as response:
                lines = response.read().decode().splitlines()
            if any(line.startswith("smallfirst_embedded_ready") and line.endswith(" 1.0") for line in lines):
                return
            time.sleep(0.1)
    console.print("[yellow]the small model is not ready: its calls climb[/]")


def reconcile(config: Path, invoice: dict[str, Any], console: Console) -> int:
    """The ledger's total against the simulator's own invoice, to the nano-dollar."""
    bill = smallfirst("bill", "--config", str(config))
    subprocess.run([*SMALLFIRST, "bill", "--config", str(config)], check=True)
    ours, theirs = bill["simulated_nusd"], invoice["total_nusd"]
    estimated = sum(section["total"]["estimated_attempts"] for section in bill["sections"])
    console.print(
        f"the ledger says {ours:,} nano-dollars were spent with the simulated provider, its own invoice says {theirs:,}"
    )
    verdict = "equal to the nano-dollar" if ours == theirs else f"they differ by {ours - theirs:,}"
    console.print(f"[bold]{verdict}[/]; estimated, because usage was not reported: {estimated} attempts")
    console.print(f"\nThe ledger is {config.parent / 'state'}. Look further:", highlight=False)
    for command in ("calls list", "calls tail", "bill --by model", "release list"):
        console.print(
            f"  {os.path.relpath(Path(sys.executable).parent / 'smallfirst')} {command} --config {config}",
            highlight=False,
        )
    return 0 if ours == theirs else 1


if __name__ == "__main__":
    sys.exit(main())
