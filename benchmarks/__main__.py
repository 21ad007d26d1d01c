"""`python -m benchmarks`: CPU per call of smallfirst and its peers. See docs/benchmarks.md."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.bench import Bench, Settings
from benchmarks.entrants import ENTRANTS, Entrant
from benchmarks.processes import Processes
from benchmarks.results import Result
from benchmarks.soak import EARLY_CALLS

_SECONDS, _ROUNDS, _SOAK = 8.0, 3, 100_000
_QUICK_SECONDS, _QUICK_ROUNDS = 2.0, 1


def main(arguments: Sequence[str]) -> int:
    """Run; 0 when every chosen entrant was measured or skipped with a reason, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    if not sys.platform.startswith("linux"):
        print("The benchmark reads CPU times from /proc: it runs on Linux only.", file=sys.stderr)
        return 2
    settings = _settings(options, arguments)
    console = Console(stderr=True)
    try:
        result = _run(settings, console)
    except RuntimeError as reason:  # no wrk, no upstream: nothing can be measured
        print(reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the results of the run before are untouched.", file=sys.stderr)
        return 130
    written = report.write(result)
    if options.json:
        print(report.as_json(result), end="")
    else:
        report.show(result, Console(width=None if sys.stdout.isatty() else 120))
    console.print("written: " + ", ".join(f"benchmarks/results/{path.name}" for path in written))
    return 0


def _run(settings: Settings, console: Console) -> Result:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="smallfirst-bench-", ignore_cleanup_errors=True) as folder,
        Progress(*columns, console=console) as progress,
        Processes() as processes,
    ):
        return Bench(settings, processes, progress, Path(folder)).run()


def _settings(options: argparse.Namespace, arguments: Sequence[str]) -> Settings:
    named = frozenset(options.only)
    # A ratio needs its yardstick in the same rounds.
    wanted = named | {entrant.baseline for entrant in ENTRANTS if entrant.key in named}
    chosen: tuple[Entrant, ...] = tuple(e for e in ENTRANTS if e.key in wanted) if named else ENTRANTS
    soak_by_default = _SOAK if not (options.quick or named) else 0
    return Settings(
        command=shlex.join(["python", "-m", "benchmarks", *arguments]),
        entrants=chosen,
        named=named,
        rounds=options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS),
        seconds=options.seconds or (_QUICK_SECONDS if options.quick else _SECONDS),
        soak_calls=0 if options.no_soak else soak_by_default if options.soak is None else options.soak,
        quick=options.quick,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    keys = ",".join(entrant.key for entrant in ENTRANTS)
    parser.add_argument(
        "--only", type=_keys, default=[], metavar="NAME,…", help=f"these entrants, of: {keys}"
    )
    parser.add_argument("--rounds", type=_at_least(int, 1), help=f"rounds, each entrant in turn ({_ROUNDS})")
    parser.add_argument(
        "--seconds", type=_at_least(float, 0.5), help=f"length of one measurement ({_SECONDS:g})"
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 s, one round, no soak, no peers, nothing installed"
    )
    parser.add_argument(
        "--soak",
        type=_at_least(int, EARLY_CALLS + 1),
        help=f"calls of the memory test ({_SOAK}; 0 with --only or --quick)",
    )
    parser.add_argument("--no-soak", action="store_true", help="no memory test")
    parser.add_argument("--json", action="store_true", help="print the result as JSON instead of the table")
    return parser


def _keys(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := set(names) - {entrant.key for entrant in ENTRANTS}:
        raise argparse.ArgumentTypeError(f"no such entrant: {', '.join(sorted(unknown))}")
    return names


def _at_least(kind: type[int] | type[float], least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least:g}")
        return value

    return parse


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
