"""What `smallfirst bill` prints of savings, and of attempts that answered nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Column

from smallfirst.cli.table import Table
from smallfirst.money import format_usd, usd_from_nusd

if TYPE_CHECKING:
    from smallfirst.planning.bill import Bill, Savings
    from smallfirst.planning.bill.savings import Saved

_WHOLE_NAME = 20  # characters of a task's name that is not broken, however little room there is
_CENTS_ENOUGH_NUSD = 100 * 10**9


def unused_table(made: Bill) -> Table:
    """Attempts that were no answer to anybody, by what became of them."""
    table = Table("attempts that answered nobody", title="refused, failed, cancelled, climbed past")
    for head in ("attempts", "cost", "of it estimated"):
        table.add_column(head, justify="right")
    table.add_column(f"mostly ({made.by})")
    table.add_column("paid for")
    for line in made.unused:
        unknown = f" + {line.unknown_attempts:,} unknown" if line.unknown_attempts else ""
        table.add_row(
            line.status,
            f"{line.attempts:,}",
            format_usd(line.cost_nusd) + unknown + ("\nsimulated" if line.simulated_nusd else ""),
            format_usd(line.estimated_nusd) if line.estimated_nusd else "",
            escape(line.mostly),
            line.what_for,
        )
    return table


def savings_table(savings: Savings) -> Table:
    """What was saved by what, a line a task: the first four columns of money add up to the fifth, but for the last place."""
    title = "what was saved, on answered client calls" + (" (simulated prices)" if savings.simulated else "")
    names = [escape(line.task) or "(no task)" for line in savings.tasks]
    table = Table(Column("task", no_wrap=max(map(len, names), default=0) <= _WHOLE_NAME), title=title)
    for head in (
        "calls",
        "paid",
        "prompt caching",
        "cache",
        "ladder",
        "frontier alone, plain prices",
    ):
        table.add_column(head, justify="right")
    places = 2 if (savings.total.full_nusd or 0) >= _CENTS_ENOUGH_NUSD else 4
    for name, line in zip(names, savings.tasks, strict=True):
        table.add_row(name, *_cells(line, places))
    known = [line for line in savings.tasks if line.full_nusd is not None]
    if len(savings.tasks) > 1 and known:
        name = "total" if len(known) == len(savings.tasks) else "total of what is known"
        table.add_row(name, *_cells(savings.total, places), style="bold")
    return table


def savings_lines(savings: Savings) -> list[str]:
    """In words: what is taken off, and what is left."""
    lines = [_net(savings)]
    if savings.total.unknown_hits:
        lines.append(
            f"Of the cache's hits {savings.total.unknown_hits:,} gave answers of an unknown price again: "
            "what they saved is in the ladder's part"
        )
    if savings.unknown_tasks and savings.total.full_nusd is not None and savings.total.calls:
        names = ", ".join(escape(name) or "(no task)" for name in savings.unknown_tasks)
        lines.append(
            f"Nothing can be said yet of {names}: {format_usd(savings.unknown_paid_nusd)} was paid there"
        )
    if savings.beside_nusd:
        lines.append(
            f"Beside it {format_usd(savings.beside_nusd)} for client calls without an answer or of a price "
            "that is partly unknown: not compared"
        )
    unknown = sum(one.unknown_attempts for one in savings.proof)
    if unknown:
        lines.append(f"[yellow]The proof's cost lacks {unknown:,} attempts of unknown price[/]")
    return lines


def _net(savings: Savings) -> str:
    if savings.net_nusd is None or savings.net_low_nusd is None or savings.net_high_nusd is None:
        return "Saved: not known yet, for the tasks marked above; prompt caching and the cache are known."
    proof = ", ".join(f"{one.origin} {format_usd(one.cost_nusd)}" for one in savings.proof)
    off = [f"{format_usd(savings.proof_nusd)} for proof ({proof})"] if savings.proof else []
    if savings.own_models_nusd:
        off.append(f"{format_usd(savings.own_models_nusd)} for own models' hours")
    less = f", after {' and '.join(off)}" if off else ""
    band = ""
    if savings.net_low_nusd != savings.net_high_nusd:
        low, high = format_usd(savings.net_low_nusd), format_usd(savings.net_high_nusd)
        band = f" ({savings.confidence:.0%} interval {low} to {high})"
    return f"[bold]Saved: {format_usd(savings.net_nusd)}[/]{band}{less}."


def _cells(line: Saved, places: int) -> list[str]:
    unknown_hits = f" + {line.unknown_hits:,} unknown" if line.unknown_hits else ""
    return [
        f"{line.calls:,}",
        _dollars(line.paid_nusd, places),
        _dollars(line.prompt_cache_nusd, places),
        _dollars(line.cache_nusd, places) + unknown_hits,
        _with_interval(line.ladder_nusd, line.ladder_low_nusd, line.ladder_high_nusd, places),
        _with_interval(line.full_nusd, line.full_low_nusd, line.full_high_nusd, places),
    ]


def _with_interval(nusd: int | None, low_nusd: int | None, high_nusd: int | None, places: int) -> str:
    if nusd is None or low_nusd is None or high_nusd is None or low_nusd == high_nusd:
        return _dollars(nusd, places)
    return f"{_dollars(nusd, places)}\n({_dollars(low_nusd, places)} to {_dollars(high_nusd, places)})"


def _dollars(nusd: int | None, places: int) -> str:
    """All of a table with as many places, so that a reader can add them up; what would vanish is shown with its own."""
    if not nusd or abs(usd_from_nusd(nusd)).adjusted() < -places:
        return format_usd(nusd)
    return f"{'-' if nusd < 0 else ''}${abs(usd_from_nusd(nusd)):,.{places}f}"
