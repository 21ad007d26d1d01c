"""The demo's last part: which features could leave the frontier, what was paid and saved, whether the invoice says the same, what the ways cost."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from running import STATE, invoice_of, show
from tickets import write_rows
from traffic import TRIAGE, Answered

CALLS_A_DAY = "1000000"  # of a helpdesk that is larger than this demo's


def write_log(path: Path, answered: Sequence[Answered], config: Path) -> None:
    """The calls as an application that knows no task logs them: prompt, ticket, the provider's answer, how long it took. Nothing else."""
    tasks = tomllib.loads(config.read_text("utf-8"))["tasks"]
    rows = []
    for one in answered:
        messages = [
            {"role": "system", "content": tasks[one.task]["instructions"]},
            {"role": "user", "content": one.ticket["input"]},
        ]
        request = {"messages": messages, "temperature": 0}
        reply = json.loads(one.reply) | {"model": one.model}  # the gateway says what was asked for: the task
        rows.append({"latency_ms": round(one.seconds * 1000), "request": request, "response": reply})
    write_rows(path, rows)


def show_money(config: Path, simulated: str, log: Path, sent: Sequence[int], console: Console) -> None:
    """Four questions, each by its command. Ends the demo where the simulator's invoice is not what the ledger says."""

    def ask(question: str, *arguments: str, lines: int | None = None) -> None:
        console.print(f"\n[bold]{question}[/]", highlight=False)
        show(console, config, *arguments, lines=lines)

    were = ", ".join(f"{calls:,}" for calls in sorted(sent, reverse=True))
    ask(
        f"Which features are in a log that names no task? (Sent were {were}; a million a day is assumed.)",
        *("assess", "--import", str(log), "--calls-per-day", CALLS_A_DAY, "--margin", "0.05"),
        lines=13,
    )
    ask("What was paid, what was saved, what will the month come to?", "bill")
    invoice = STATE / "invoice.csv"
    invoice_of(simulated, invoice)
    ask("Does the simulated provider's own invoice say the same?", "bill", "--reconcile", str(invoice))
    ask(
        "What would a million triage calls a day cost, each way, with the hits and shares that were measured?",
        *("plan", "--from-ledger", "--task", TRIAGE, "--calls-per-day", CALLS_A_DAY),
        *("--hosted", "0.10/0.50", "--own", "llama-3.1-8b", "--gpu", "H100"),
        lines=12,
    )
    look_further(config, log, console)


def look_further(config: Path, log: Path, console: Console) -> None:
    """Commands that have something to say about the ledger that the demo leaves."""
    console.print(f"\nThe ledger is {config.parent / 'state'}. Look further:", highlight=False)
    looks = [
        "calls list",
        f"assess --calls-per-day {CALLS_A_DAY} --html {log.with_name('report.html')}",
        "bill --by model",
        "cache inspect",
        f"dataset show newest --task {TRIAGE}",
        "eval list",
        "release list",
        "release diff",
        "rollout status",
        f'explain "I was charged twice this month" --task {TRIAGE}',
    ]
    for command in looks:
        console.print(
            f"  {os.path.relpath(Path(sys.executable).parent / 'smallfirst')} {command} --config {config}",
            highlight=False,
            soft_wrap=True,  # to be copied
        )
