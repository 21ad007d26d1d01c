"""How often the quality bound is broken: `python -m benchmarks.bound`.

Draws examples from populations whose true loss is known, fits a router on each draw through the command line, and looks up the true loss of the
policy that it has chosen. With 95 % confidence at most one draw in twenty may lose more than the margin.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.populations import Population, population, true_loss, write_draw

from smallfirst.classify import artifact
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.store import Artifacts
from smallfirst.routing.learned_router import router_from

_SMALLFIRST = [sys.executable, "-c", "from smallfirst.cli import main; main()"]
_KINDS = {
    "binary, two rungs": (2, False),
    "graded, two rungs": (2, True),
    "binary, three rungs": (3, False),
    "graded, three rungs": (3, True),
}


def fitted(
    found: Population, *, examples: int, margin: float, seed: int
) -> tuple[float, float, dict[str, object]]:
    """One draw through the command line: the true loss, the true small share, and what the command said."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_draw(folder / "outcomes.jsonl", found, examples=examples, seed=seed)
        command = [*_SMALLFIRST, "router", "fit", "--task", "t", "--outcomes", "outcomes.jsonl"]
        command += [
            "--ladder",
            ",".join(found.ladder),
            "--max-loss",
            str(margin),
            "--seed",
            str(seed),
            "--json",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        said = json.loads(done.stdout)
        path = Artifacts(folder / ".smallfirst").path(said["router"])
        router = router_from(artifact.read(path), open_embedder("wordllama"))
    loss, share = true_loss(found, router, router.fitted.thresholds)
    return loss, share, said


def draws(found: Population, options: argparse.Namespace) -> Iterator[tuple[float, float, dict[str, object]]]:
    """All draws of one population, two at a time."""
    with ThreadPoolExecutor(options.jobs) as pool:
        yield from pool.map(
            lambda seed: fitted(found, examples=options.examples, margin=options.margin, seed=seed),
            range(options.draws),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--draws", type=int, default=75, help="of each of the four populations (default: 75, 300 in all)"
    )
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--margin", type=float, default=0.03)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    table = Table(
        "population",
        "draws",
        "broken",
        "small share",
        "true loss, mean",
        title=f"margin {options.margin:g}, {options.examples} examples a draw",
    )
    broken = total = 0
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("draws", total=options.draws * len(_KINDS))
        for name, (rungs, graded) in _KINDS.items():
            found = population(rungs=rungs, graded=graded)
            losses, shares = [], []
            for loss, share, _ in draws(found, options):
                losses.append(loss)
                shares.append(share)
                progress.advance(bar)
            over = sum(loss > options.margin for loss in losses)
            broken, total = broken + over, total + len(losses)
            table.add_row(
                name,
                str(len(losses)),
                f"{over / len(losses):.1%}",
                f"{sum(shares) / len(shares):.1%}",
                f"{sum(losses) / len(losses):+.2%}",
            )
    Console().print(table)
    print(f"broken in {broken} of {total} draws: {broken / total:.1%} (allowed with 95 % confidence: 5 %)")


if __name__ == "__main__":
    main()
