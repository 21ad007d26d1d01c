"""`make demo`: the whole product once, on real input.

    1  as it was    every call goes to the frontier, and is recorded
    2  learn        a label head from the training tickets, a router from what both were worth on others, thresholds under a quality bound
    3  as it is     the held-out tickets through three tasks: the head answers what it is sure of, the frontier the rest
    4  the bill     who answered, at what cost, how often right; and the ledger against the simulator's own invoice

What is simulated is said so: the frontier answers from the gold labels with a stated accuracy. The head and the small language model are real, and
their answers are too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from running import (
    HERE,
    SMALLFIRST,
    STATE,
    configuration,
    gateway,
    invoice_of,
    simulator,
    smallfirst,
    wait_for_small,
)
from tickets import Row, read_splits, write_rows

TASKS = ("ticket-triage", "ticket-extract", "ticket-summary")
GOLD = {"ticket-triage": "category", "ticket-extract": "record"}
TRIAGE, HEAD, FRONTIER = "ticket-triage", "triage-head", "frontier"
CONCURRENCY = 16


@dataclass(frozen=True)
class Answered:
    """What came of one call. `cost_usd` None: unknown; `confidence` None: not told."""

    ticket: Row
    task: str
    model: str
    seconds: float
    text: str
    cost_usd: float | None = None
    confidence: float | None = None
    error: str = ""

    @property
    def right(self) -> bool | None:
        """Against the gold label; a summary has no single right text, so None."""
        if self.task not in GOLD or self.error:
            return None
        gold = self.ticket[GOLD[self.task]]
        if isinstance(gold, str):
            return self.text.strip() == gold
        try:
            return json.loads(self.text) == gold
        except ValueError:
            return False


async def ask(client: openai.AsyncOpenAI, task: str, ticket: Row, model: str) -> Answered:
    """One call, as an application would make it."""
    began = time.perf_counter()
    try:
        response = await client.chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": ticket["input"]}],
            temperature=0,
            logprobs=True if model == HEAD else openai.omit,
        )
    except openai.OpenAIError as error:
        return Answered(ticket, task, "-", time.perf_counter() - began, "", error=type(error).__name__)
    choice = response.parse().choices[0]
    tokens = (choice.logprobs.content if choice.logprobs else None) or []
    cost = response.headers.get("x-smallfirst-cost-usd", "unknown")
    return Answered(
        ticket,
        task,
        response.headers.get("x-smallfirst-model", "?"),
        time.perf_counter() - began,
        choice.message.content or "",
        cost_usd=None if cost == "unknown" else float(cost),
        confidence=math.exp(sum(token.logprob for token in tokens) / len(tokens)) if tokens else None,
    )


def send(
    url: str, key: str, what: str, calls: list[tuple[str, Row, str]], console: Console
) -> list[Answered]:
    """Calls of (task, ticket, model), many at once, with a progress bar."""

    async def all_of_them() -> list[Answered]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(what, total=len(calls))
            turn = asyncio.Semaphore(CONCURRENCY)
            async with openai.AsyncOpenAI(
                base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=300
            ) as client:

                async def one(task: str, ticket: Row, model: str) -> Answered:
                    async with turn:
                        answered = await ask(client, task, ticket, model)
                    progress.advance(bar)
                    return answered

                return await asyncio.gather(*(one(*call) for call in calls))

    return asyncio.run(all_of_them())


def learn(
    config: Path, key: str, splits: dict[str, list[Row]], frontier: list[Answered], console: Console
) -> dict[str, Any]:
    """Trains the head, asks it the calibration tickets, and fits the router; what the fit says of itself."""
    labels, of_head, outcomes = (STATE / f"{name}.jsonl" for name in ("labels", "head-outcomes", "outcomes"))
    write_rows(
        labels,
        [{"id": row["id"], "input": row["input"], "label": row["category"]} for row in splits["train"]],
    )
    with console.status("training a label head"):
        head = smallfirst(
            "train", TRIAGE, "--data", str(labels), "--outcomes", str(of_head), "--config", str(config)
        )
    console.print(
        f"head {head['head'][:12]}: {head['examples']} tickets, {head['fit_s']:.0f} s, {head['accuracy']:.1%} right on tickets that it had not seen, "
        f"{head['accuracy_at_80']:.1%} on the surest 80 %",
        highlight=False,
    )
    with gateway(config, STATE / "learning.log") as running:
        calls = [(TRIAGE, row, HEAD) for row in splits["calibration"]]
        asked = send(running["listening"], key, "calibration tickets to the head", calls, console)
    rows = [json.loads(line) for line in of_head.read_text("utf-8").splitlines()]
    rows += [
        {
            "id": one.ticket["id"],
            "input": one.ticket["input"],
            "split": "calibration",
            "outcomes": {HEAD: outcome(one)},
        }
        for one in asked
    ]
    of_frontier = {one.ticket["id"]: outcome(one) for one in frontier if not one.error}
    whole = [row for row in rows if row["id"] in of_frontier]
    category = {row["id"]: row["category"] for rows in splits.values() for row in rows}
    for row in whole:
        row["intent"] = category[row["id"]]
        row["outcomes"][FRONTIER] = of_frontier[row["id"]]
        row["outcomes"][HEAD].setdefault("cost_usd", 0.0)
    write_rows(outcomes, whole)
    with console.status("fitting the router"):
        return smallfirst(
            "router", "fit", "--task", TRIAGE, "--outcomes", str(outcomes), "--config", str(config)
        )


def outcome(one: Answered) -> dict[str, Any]:
    """What an answer was worth, as `router fit` reads it."""
    told = {"score": float(bool(one.right)), "answer": one.text, "output_chars": len(one.text)}
    if one.cost_usd is not None:
        told["cost_usd"] = one.cost_usd
    if one.confidence is not None:
        told["confidence"] = min(1.0, one.confidence)
    return told


def show(answers: list[Answered], console: Console) -> None:
    """Who answered what, how fast and how often right."""
    groups: dict[tuple[str, str], list[Answered]] = defaultdict(list)
    for answer in answers:
        groups[(answer.task, answer.model)].append(answer)
    table = Table(
        "task", "answered by", "calls", "p50", "p99", "right", title="Who answered the held-out tickets"
    )
    for (task, model), group in sorted(groups.items()):
        times = sorted(answer.seconds for answer in group)
        judged = [answer.right for answer in group if answer.right is not None]
        table.add_row(
            task,
            f"{model} (simulated)" if model == FRONTIER else model,
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


def show_loss(answers: list[Answered], alone: list[Answered], fit: dict[str, Any], console: Console) -> None:
    """Triage on the held-out tickets beside the frontier alone on the same ones, and what was promised."""
    routed = [answer for answer in answers if answer.task == TRIAGE]
    small = sum(answer.model == HEAD for answer in routed) / len(routed)
    ours, theirs = (sum(bool(one.right) for one in group) / len(group) for group in (routed, alone))
    cost, before = (sum(one.cost_usd or 0 for one in group) for group in (routed, alone))
    console.print(
        f"[bold]triage: {small:.0%} answered by the head[/], {ours:.1%} right; the frontier alone {theirs:.1%}: a loss of "
        f"{theirs - ours:+.1%} on {len(routed)} held-out tickets, promised at most {fit['loss_bound']:.0%} with {fit['confidence']:.0%} "
        f"confidence; ${cost:.4f} instead of ${before:.4f}",
        highlight=False,
    )


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


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
    explain = f'explain "I was charged twice this month" --task {TRIAGE}'
    for command in ("calls list", "bill --by model", "router list", "release list", explain):
        console.print(
            f"  {os.path.relpath(Path(sys.executable).parent / 'smallfirst')} {command} --config {config}",
            highlight=False,
        )
    return 0 if ours == theirs else 1


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
    splits = {name: rows[: max(40, round(len(rows) * options.share))] for name, rows in read_splits().items()}
    answers_file = STATE / "answers.jsonl"
    subprocess.run(
        [sys.executable, str(HERE / "answers.py"), str(answers_file)], check=True, stdout=subprocess.DEVNULL
    )
    with simulator(answers_file) as simulated:
        config = configuration(simulated["listening"])
        key = smallfirst("keys", "create", "demo", "--config", str(config))["key"]
        with gateway(config, STATE / "baseline.log") as running:
            console.print(
                f"[bold]1 as it was[/]: gateway {running['listening']}, release baseline, frontier simulated",
                highlight=False,
            )
            calls = [(TRIAGE, row, f"task/{TRIAGE}") for rows in splits.values() for row in rows]
            before = send(running["listening"], key, "all tickets to the frontier", calls, console)
        console.print("[bold]2 learn[/]")
        fit = learn(config, key, splits, before, console)
        release = smallfirst("release", "build", "--config", str(config))["id"]
        why = "the demo: the bound is the router's own, there is no gate yet"
        with gateway(config, STATE / "gateway.log", "--release", release, "--unproven", why) as running:
            console.print(
                f"[bold]3 as it is[/]: release {release[:12]} [red](unproven)[/], head and small model real",
                highlight=False,
            )
            wait_for_small(running["listening"], console)
            calls = [(task, row, f"task/{task}") for row in splits["heldout"] for task in TASKS]
            answers = send(running["listening"], key, "held-out tickets through three tasks", calls, console)
        invoice = invoice_of(simulated["listening"])
    console.print("[bold]4 the bill[/]")
    show(answers, console)
    held_out = {row["id"] for row in splits["heldout"]}
    show_loss(answers, [one for one in before if one.ticket["id"] in held_out], fit, console)
    return reconcile(config, invoice, console)


if __name__ == "__main__":
    sys.exit(main())
