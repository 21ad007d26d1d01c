"""`make demo`: the whole product once, on real input.

    1  observe      every call goes to the frontier, as before, and is recorded; the helpdesk's own labels are told later
    2  improve      a dataset from the ledger, a label head, a router under a quality bound, a release, the gate: one command
    3  refused      the head alone, which is worse, does not pass the gate; the 135M language model would not pass either
    4  canary       the release that passed answers a share of the conversations, then all, watched; then it is live by itself
    5  a drop       the worse release, forced into a canary, is rolled back by itself
    6  after        the same tickets once more: who answered, how often right, how fast, at what cost
    7  the cache    tickets that come again are not paid for again; and what answers in other words would be worth, and would cost
    8  money        the three features, found in a log that names none; the bill, equal to the simulator's own invoice; what the ways cost

What is simulated is said so: the frontier answers from the gold labels with a stated accuracy. The head and the small language model are real, and
their answers are too.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from before_after import FRONTIER, before_after, who
from money import show_money, write_log
from rich.console import Console
from running import HERE, STATE, configuration, gateway, show, simulator, smallfirst
from tickets import Row, read_splits, write_rows
from traffic import EXTRACT, SUMMARY, TRIAGE, Answered, Application

HEAD = "triage-head"
OTHERS = 100  # held-out tickets that are extracted and summarised, too
SMALL_LOOK = 8  # calibration tickets that the small language model is asked
HELD_OUT = 500
REPEATED = 1000  # calls whose tickets come again
TICKETS_AGAIN = 300  # of so many different ones
LOOK_EVERY_S = 2.0
LONGEST_ROLLOUT_S = 240.0


class Demo:
    """One run. `splits` are the tickets; those of `heldout` are never learned from, and come last."""

    def __init__(self, splits: dict[str, list[Row]], config: Path, key: str, console: Console) -> None:
        self._splits, self._config, self._key, self._console = splits, config, key, console
        self.log: list[
            Answered
        ] = []  # what the application itself would have kept, before smallfirst did anything

    def observe(self, url: str) -> list[Answered]:
        """All tickets to the frontier; what it answered to the held-out ones. Then the labels that the helpdesk gave them."""
        application = Application(url, self._key, self._console)
        for name in ("train", "calibration"):
            self.log += application.send(f"{name} tickets", [(TRIAGE, row) for row in self._splits[name]])
        before = application.send("held-out tickets", self._traffic())
        self.log += before
        rows = [row for part in self._splits.values() for row in part]
        labels = STATE / "labels.jsonl"
        write_rows(
            labels,
            [{"key": row["id"], "task": TRIAGE, "kind": "label", "value": row["category"]} for row in rows],
        )
        self._show("outcomes", "import", str(labels), "--source", "helpdesk")
        return before

    def improve(self) -> str:
        """One command from the ledger to a canary; the release that came of it."""
        held_out = str(min(HELD_OUT, len(self._splits["heldout"])))
        self._show("dataset", "build", "--task", TRIAGE, "--by-time", "--heldout", held_out)
        self._show("improve", TRIAGE, "--yes", "--canary", "25%,100%")
        return smallfirst("release", "channels", "--config", str(self._config))["canary"]["release"]

    def refused(self) -> str:
        """A release that sends every ticket to the head: cheaper, worse, and refused before a read of the held-out part is spent."""
        worse = self._config.with_name("worse.toml")
        text = self._config.read_text("utf-8")
        ladder = f'ladder = ["{HEAD}", "{FRONTIER}"]'
        worse.write_text(text.replace(ladder, f'{ladder}\nrouter = {{ fit = "none" }}'), "utf-8")
        note = ("--note", "the head alone")
        release = smallfirst("release", "build", "--task", TRIAGE, *note, "--config", str(worse))["id"]
        show(self._console, worse, "gate", release[:12], expected=3)
        return release

    def small_model(self) -> None:
        """What the small language model is worth on the other two tasks: nothing is claimed for it."""
        for task, reference in ((EXTRACT, "record"), (SUMMARY, "summary")):
            data = STATE / f"{task}.jsonl"
            write_rows(
                data,
                [{"input": row["input"], reference: row[reference]} for row in self._splits["calibration"]],
            )
            look = ("--data", str(data), "--reference", reference, "--limit", str(SMALL_LOOK), "--yes")
            self._show("eval", "--task", task, "--model", "small", *look)

    def canary(self, url: str, release: str) -> None:
        """Traffic until the canary's controller has made the release live."""
        now = self._until(url, "canary")
        if now["live"]["release"] != release:
            self._show("rollout", "status")
            raise SystemExit("the canary was rolled back: see above")
        self._show("release", "list")

    def drop(self, url: str, worse: str) -> None:
        """The worse release answers all calls, because somebody insisted; the controller takes it back."""
        self._show(
            "release",
            "promote",
            worse[:12],
            "--canary",
            "100%",
            "--unproven",
            "a drop, injected for the demo",
        )
        now = self._until(url, "a drop")
        if now["live"]["release"] == worse:
            raise SystemExit("the drop was not seen: the worse release is live")
        self._show("rollout", "status")

    def after(self, url: str) -> list[Answered]:
        """The held-out tickets once more."""
        return Application(url, self._key, self._console).send("the same tickets", self._traffic())

    def cache(self, url: str) -> None:
        """A stream in which tickets come again, as alerts and forwarded mails do; then what answers in other words would be worth on all tickets."""
        tickets = self._splits["heldout"][:TICKETS_AGAIN]
        ranks = range(1, len(tickets) + 1)
        rows = random.Random(0).choices(tickets, weights=[1 / rank for rank in ranks], k=REPEATED)  # Zipf
        answered = Application(url, self._key, self._console, cached=True).send(
            "tickets that come again", [(TRIAGE, row) for row in rows]
        )
        hits, wrong = sum(bool(one.cached) for one in answered), _contradictions(answered)
        self._console.print(
            f"[bold]of {len(answered):,} calls for {len({row['id'] for row in rows}):,} tickets the cache answered {hits / len(answered):.1%}; "
            f"otherwise than a model had answered the same ticket: {wrong / len(answered):.1%}[/]",
            highlight=False,
        )
        self._show("cache", "stats")
        self._console.print(
            "\nIn other words, which is not switched on here: each ticket once, and an answer is right where the helpdesk's label is the same.",
            highlight=False,
        )
        stream = STATE / "stream.jsonl"
        told = [row for part in self._splits.values() for row in part]
        random.Random(0).shuffle(told)
        write_rows(
            stream,
            [{"id": row["id"], "input": row["input"], "answer_class": row["category"]} for row in told],
        )
        quick = ("--embedder", "wordllama", "--delta", "0.02,0.05", "--methods", "ours,fixed")
        self._show("cache", "eval", "--stream", str(stream), *quick)

    def _traffic(self) -> list[tuple[str, Row]]:
        held_out = self._splits["heldout"]
        return [(TRIAGE, row) for row in held_out] + [
            (task, row) for row in held_out[:OTHERS] for task in (EXTRACT, SUMMARY)
        ]

    def _until(self, url: str, what: str) -> dict[str, Any]:
        """Tickets, again and again, until there is no canary any more; what is live then."""
        rows = [row for name in ("heldout", "calibration", "train") for row in self._splits[name]]
        application = Application(url, self._key, self._console)
        began = looked = time.monotonic()
        now: dict[str, Any] = {"canary": "?"}

        def over() -> bool:
            nonlocal looked, now
            if now["canary"] is not None and time.monotonic() - looked > LOOK_EVERY_S:
                looked = time.monotonic()
                now = json.loads((self._config.parent / "state" / "channels.json").read_bytes())
            return now["canary"] is None

        while not over():
            if time.monotonic() - began > LONGEST_ROLLOUT_S:
                self._show("rollout", "status")
                raise SystemExit(f"{what}: it was not over after {LONGEST_ROLLOUT_S:.0f} s")
            application.send(f"{what}: tickets until it is over", [(TRIAGE, row) for row in rows], until=over)
        return now

    def _show(self, *arguments: str) -> None:
        show(self._console, self._config, *arguments)


def _contradictions(answered: list[Answered]) -> int:
    """Calls that the cache answered otherwise than a model answered the same ticket."""
    said = {one.ticket["id"]: one.text for one in answered if not one.cached}
    return sum(bool(one.cached) and said.get(one.ticket["id"]) != one.text for one in answered)


def run(splits: dict[str, list[Row]], simulated: str, console: Console) -> None:
    """The eight parts, in order."""
    config = configuration(simulated)
    key = smallfirst("keys", "create", "demo", "--config", str(config))["key"]
    demo = Demo(splits, config, key, console)

    def part(number: int, text: str) -> None:
        console.rule(f"[bold]{number} {text}[/]", align="left")

    part(1, "observe: everything goes to the frontier (simulated), as before, and is recorded")
    with gateway(config, STATE / "baseline.log") as running:
        before = demo.observe(running["listening"])
    part(2, "improve: from the ledger to a canary, in one command")
    release = demo.improve()
    part(3, "refused: what is worse does not pass")
    worse = demo.refused()
    demo.small_model()
    with gateway(config, STATE / "gateway.log") as running:
        part(4, "canary: a share of the conversations, then all, watched; then live")
        demo.canary(running["listening"], release)
        part(5, "a drop: a worse release forced into a canary is rolled back")
        demo.drop(running["listening"], worse)
        part(6, "after: the same tickets again")
        after = demo.after(running["listening"])
        console.print(
            before_after(
                before, after, title="The held-out tickets, before and after (the frontier is simulated)"
            )
        )
        triage = [one for one in after if one.task == TRIAGE]
        console.print(f"[bold]triage: {who(triage, HEAD):.0%} answered by the head[/]", highlight=False)
        part(7, "the cache: what comes again is not paid for again")
        demo.cache(running["listening"])
    part(8, "money: which features, what was paid and saved, what the ways cost")
    sent = Counter(one.task for one in demo.log).values()
    write_log(STATE / "calls.jsonl", demo.log, config)
    show_money(config, simulated, STATE / "calls.jsonl", list(sent), console)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    console = Console()
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    answers = STATE / "answers.jsonl"
    subprocess.run(
        [sys.executable, str(HERE / "answers.py"), str(answers)], check=True, stdout=subprocess.DEVNULL
    )
    with simulator(answers) as simulated:
        run(read_splits(), simulated["listening"], console)


if __name__ == "__main__":
    main()
