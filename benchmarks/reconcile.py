"""The books after many mixed calls: `python -m benchmarks.reconcile --calls 100000`.

Sends calls of every kind (`tests/support/mixed_traffic.py`) through a real gateway to the simulated providers over sockets, while upstreams fail and
clients leave at random moments, then holds the simulator's own invoice against the ledger as `smallfirst bill --reconcile` does. Ends with 1 where
anything differs whose usage was reported. Prints the table of docs/reconcile.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.gateway import GatewayProcess
from support.mixed_traffic import MIXED_CONFIG, SIMULATOR_OPTIONS, Sent, fault_rules, send, with_canary
from support.simulator import SimulatorProcess

from smallfirst.config import load
from smallfirst.ledger import Ledger
from smallfirst.planning.reconcile import MEANINGS, Asked, Differing, Reconciliation, reconcile

_SETTLED_S = 30.0
_ALLOWED = {"estimated", "unknown-price", "rounding"}  # what no report of usage could tell


def run(folder: Path, options: argparse.Namespace) -> Sent:
    """Sends everything; the ledger and the invoice are then in the folder, complete."""
    columns = (TextColumn("calls"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        SimulatorProcess({**SIMULATOR_OPTIONS, "invoice": folder / "invoice.jsonl"}) as simulator,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        config = MIXED_CONFIG.format(sim=simulator.base_url)
        gateway = GatewayProcess(folder, config, unproven=False)
        simulator.faults(*fault_rules())
        gateway.start("--controller")
        with_canary(gateway)
        bar = progress.add_task("", total=options.calls)
        sent = asyncio.run(
            send(
                gateway.url,
                range(options.calls),
                seed=options.seed,
                clients=options.clients,
                told=lambda done: progress.update(bar, completed=done),
            )
        )
        simulator.wait_until(lambda state: state["in_flight"] == 0, _SETTLED_S)
        gateway.stop(timeout_s=60)
        if "Traceback" in gateway.log_text():
            sys.exit(f"the gateway failed:\n{gateway.log_text()[-4000:]}")
    return sent


def compare(folder: Path) -> tuple[Reconciliation, Counter[tuple[str, str, str]]]:
    """The invoice against the ledger, and how often what differs was what on either side."""
    kinds: Counter[tuple[str, str, str]] = Counter()

    def told(found: Differing) -> None:
        kinds[found.kind, found.status, found.what] += 1

    with Ledger.read(folder / "state") as ledger:
        asked = Asked(file=folder / "invoice.jsonl")
        return reconcile(ledger, asked, config=load(folder / "smallfirst.toml"), told=told), kinds


def show(found: Reconciliation, sent: Sent, out: Console) -> None:
    """The tables."""
    calls = Table("kind of call", title="sent")
    calls.add_column("calls", justify="right")
    for kind, count in sent.kinds.most_common():
        calls.add_row(kind, f"{count:,}")
    calls.add_row("of all, their clients left", f"{sent.ends['left']:,}")
    out.print(calls)
    table = Table("", title="the invoice against the ledger")
    for head in ("requests", "invoice", "ledger", "difference"):
        table.add_column(head, justify="right")
    reported = found.reported
    assert reported is not None
    table.add_row("usage reported", *_row(reported.count, reported.theirs_usd, reported.ours_usd))
    for cause in found.causes:
        table.add_row(MEANINGS[cause.kind], *_row(cause.count, cause.theirs_usd, cause.ours_usd))
    assert found.theirs.usd is not None
    assert found.ours.usd is not None
    table.add_row("all", *_row(found.theirs.count, found.theirs.usd, found.ours.usd), style="bold")
    out.print(table)


def _row(count: int, theirs: Decimal, ours: Decimal) -> tuple[str, str, str, str]:
    return f"{count:,}", f"${theirs:.9f}", f"${ours:.9f}", f"{theirs - ours:+.9f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=24, help="so many calls at a time")
    parser.add_argument(
        "--keep", type=Path, help="a folder for the ledger and the invoice; default: none is kept"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smallfirst-reconcile-") as passing:
        folder = options.keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        begun_s = time.monotonic()
        sent = run(folder, options)
        sent_s = time.monotonic() - begun_s
        found, kinds = compare(folder)
        told: dict[str, Any] = {
            "calls": options.calls,
            "seconds": round(sent_s, 1),
            "compared_s": round(time.monotonic() - begun_s - sent_s, 1),
            "kinds": dict(sent.kinds),
            "ends": dict(sent.ends),
            "differing": [[*kind, count] for kind, count in kinds.most_common()],
        }
    out = Console(width=None if sys.stdout.isatty() else 120)
    if options.json:
        print(json.dumps(told))
    else:
        show(found, sent, out)
        out.print(f"{options.calls:,} calls in {sent_s:,.0f} s, compared in {told['compared_s']} s")
        for kind, status, what, count in told["differing"]:
            out.print(f"  {count:6,}  {kind}: ours {status}; {what or '–'}", highlight=False)
    reported = found.reported
    exact = reported is not None and reported.theirs_usd == reported.ours_usd
    if not exact or {cause.kind for cause in found.causes} - _ALLOWED:
        sys.exit(1)


if __name__ == "__main__":
    main()
