"""`smallfirst calls`: list, show, follow and erase what the ledger remembers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.state import CONFIG, JSON, STATE, config_and_state, moment, state_of, utc
from smallfirst.cli.table import Table
from smallfirst.errors import ConfigError, StateError
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.ledger import Erasure
    from smallfirst.ledger.queries import Listed, StoredBodies, StoredOutcome
    from smallfirst.ledger.records import Call
    from smallfirst.releases.forgetting import Forgotten

app = typer.Typer(
    help="Calls: what was asked of whom, what came of it, and what it cost.", no_args_is_help=True
)
_POLL_S = 0.2
_WIDE = 120  # characters of a terminal
_ENOUGH_DIGITS = 16  # of an id, for `calls show`: the millisecond, and four of chance
_MS_PER_S = 1000
_APART = ("id", "attempts", "decision", "saved_nusd")  # fields of a call that are shown in a way of their own
_TASK = typer.Option(None, "--task", "-t", help="Only calls of this task.")
_MODEL = typer.Option(None, "--model", "-m", help="Only calls that this model answered.")
_STATUS = typer.Option(
    None, "--status", help="Only calls that ended so: ok, refused, error, cancelled, cut, lost."
)
_TENANT = typer.Option(None, "--tenant", help="Only this tenant's calls.")


@app.command(name="list")
def list_(
    task: str | None = _TASK,
    model: str | None = _MODEL,
    status: str | None = _STATUS,
    tenant: str | None = _TENANT,
    since: str | None = typer.Option(
        None, help="Since 2026-11-24, 2026-11-24T08:00 (UTC), or 7d, 12h, 30m ago."
    ),
    limit: int = typer.Option(50, min=1, max=100_000, help="At most so many, the latest."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """The latest calls first. With --json one object a line."""
    from smallfirst.ledger import Filter, Ledger

    since_ms = None if since is None else int(moment(since, option="--since").timestamp() * _MS_PER_S)
    wanted = Filter(task=task, model=model, status=status, tenant=tenant, since_ms=since_ms)
    place = state_of(state, config)
    with Ledger.read(place) as ledger:
        found = ledger.queries.calls(wanted, limit=limit)
        if not found and not ledger.queries.last():
            raise StateError(f"the ledger in {place} has no calls")
    if as_json:
        for listed in found:
            typer.echo(_json(listed.call))
        return
    if not found:
        Console(stderr=True).print("No call fits.")
        return
    out, table = Console(), _calls_table()
    digits = None if out.width >= _WIDE else _ENOUGH_DIGITS
    several = len({one.call.tenant for one in found}) > 1
    for listed in found:
        table.add_row(*_cells(listed.call, digits=digits, with_tenant=several))
    out.print(table)


@app.command()
def show(
    call: str = typer.Argument(metavar="ID", help="A call's id, or the beginning of one."),
    bodies: bool = typer.Option(
        False, "--bodies", help="What was asked and answered, where the task keeps it."
    ),
    tenant: str | None = _TENANT,
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Everything that is known of one call."""
    from smallfirst.ledger import Ledger

    with Ledger.read(state_of(state, config)) as ledger:
        found = ledger.queries.call(call, tenant=tenant)
        outcomes = ledger.queries.outcomes(found.id)
        kept = ledger.queries.bodies(found.id, tenant=tenant) if bodies else None
    if as_json:
        shown: dict[str, Any] = msgspec.json.decode(_json(found)) | {
            "outcomes": msgspec.to_builtins(outcomes)
        }
        if bodies:
            shown["bodies"] = (
                None if kept is None else {"request": _text(kept.request), "answer": _text(kept.answer)}
            )
        typer.echo(msgspec.json.encode(shown).decode())
        return
    _print_call(found, outcomes, Console())
    if bodies:
        _print_bodies(kept, Console())


@app.command()
def tail(
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on as calls come in, until Ctrl-C."),
    lines: int = typer.Option(
        10, "--lines", "-n", min=0, max=100_000, help="Begin with so many that are there already."
    ),
    task: str | None = _TASK,
    model: str | None = _MODEL,
    status: str | None = _STATUS,
    tenant: str | None = _TENANT,
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """The latest calls, oldest first. With --json one object a line."""
    from smallfirst.ledger import Filter, Ledger

    wanted = Filter(task=task, model=model, status=status, tenant=tenant)
    with Ledger.read(state_of(state, config)) as ledger:
        after = ledger.queries.last()
        before = ledger.queries.calls(wanted, limit=lines, before=after + 1) if lines else []
        out = _Lines(as_json)
        out.show(reversed(before))
        if not follow:
            return
        try:
            while True:
                fresh = ledger.queries.tail(after, wanted)
                out.show(fresh)
                after = fresh[-1].n if fresh else after
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@app.command()
def erase(
    tenant: str | None = typer.Option(None, help="All calls of this tenant."),
    call: str | None = typer.Option(None, metavar="ID", help="This call (its whole id)."),
    before: str | None = typer.Option(None, metavar="DATE", help="All calls before this day (UTC)."),
    bodies_only: bool = typer.Option(
        False, "--bodies-only", help="Only what was asked and answered; the rows stay."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
) -> None:
    """Erase calls that fit all that is given, what the cache keeps of their answers, the examples made from them that models
    are shown, and what teachers were asked of them. What they cost stays in the hourly sums; datasets made from them learn of it.
    """
    from smallfirst.cache.stores.opening import forget
    from smallfirst.cache.stores.store import Which
    from smallfirst.ledger import Erasure, Ledger, erase
    from smallfirst.ledger.erasure import answered_again, now_ms

    if tenant is None and call is None and before is None:
        raise ConfigError("say which: --tenant, --call or --before", path="calls erase")
    before_ms = None if before is None else int(moment(before, option="--before").timestamp() * _MS_PER_S)
    erasure = Erasure(at_ms=now_ms(), tenant=tenant, call=call, before_ms=before_ms, bodies_only=bodies_only)
    loaded, place = config_and_state(state, config)
    Ledger.read(place).close()  # imports what a dead gateway left: that is to be erased too
    if not yes:
        typer.confirm("Erase for good? This cannot be undone.", abort=True)
    # The cache first: where it cannot be reached, the command can be given again.
    of = [None] if call is None else [call, *answered_again(place, call)]
    cached = sum(
        forget(loaded, place, os.environ, Which(tenant=tenant, call=one, before_ms=before_ms)) for one in of
    )
    erased = erase(place, erasure)
    forgotten, asked = _forget_learned(place, erasure)
    if call is not None and not (erased.calls or erased.bodies or cached or forgotten.examples or asked):
        raise StateError(f"no call {call!r} is in the ledger, so nothing was erased")
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"erased {erased.calls:,} calls, {erased.bodies:,} bodies and {cached:,} cached answers")
    if forgotten.examples:
        indexes = ", ".join(sha256[:12] for sha256 in forgotten.indexes)
        out.print(f"erased {forgotten.examples:,} examples that models were shown, from index {indexes}")
    if asked:
        out.print(f"erased {asked:,} questions that teachers were asked, and their answers")


def _forget_learned(state: Path, erasure: Erasure) -> tuple[Forgotten, int]:
    """Erases what indexes of examples hold of the calls, here and in every release, and what teachers were asked of them."""
    from smallfirst.ledger import Ledger
    from smallfirst.releases.forgetting import forget_examples
    from smallfirst.teaching.forgetting import forget_askings

    with Ledger.read(state) as ledger:
        tombstones = ledger.queries.tombstones()
    return forget_examples(state, erasure, tombstones), forget_askings(state, erasure, tombstones)


class _Lines:
    """Prints calls one a line, with a head before the first."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._headed = as_json

    def show(self, calls: Any) -> None:
        listed: Listed
        for listed in calls:
            if self._as_json:
                typer.echo(_json(listed.call))
                continue
            if not self._headed:
                typer.echo(_LINE.format("id", "at (UTC)", "task", "model", "status", "ms", "cost"))
                self._headed = True
            call = listed.call
            cells = (
                call.id,
                utc(call.at_ms),
                call.task or "-",
                call.model or "-",
                call.status,
                f"{call.latency_ms:.0f}",
                format_usd(call.cost_nusd),
            )
            typer.echo(_LINE.format(*cells))


_LINE = "{:28}  {:19}  {:18}  {:20}  {:9}  {:>7}  {:>10}"


def _calls_table() -> Table:
    table = Table()
    for head in ("id", "at (UTC)", "task", "model", "status", "tenant"):
        table.add_column(head, no_wrap=head in ("id", "at (UTC)"))
    for head in ("ms", "cost"):
        table.add_column(head, justify="right")
    return table


def _cells(call: Call, *, digits: int | None, with_tenant: bool) -> list[str]:
    status = call.status if call.status == "ok" else f"[red]{call.status}[/]"
    if call.origin != "client":
        status += f" ({call.origin})"
    if call.from_cache:
        status += f" ({call.cache})"
    names = (call.task or "-", call.model or "-")
    return [
        call.id[:digits],
        _clock(call.at_ms),
        *(escape(name) for name in names),
        status,
        escape(call.tenant) if with_tenant else "",
        f"{call.latency_ms:,.0f}",
        format_usd(call.cost_nusd),
    ]


def _clock(at_ms: int) -> str:
    """The time of day of a call of today, the day and the minute of an earlier one."""
    told, today = utc(at_ms), utc(int(time.time() * _MS_PER_S))[:10]
    return told[11:] if told.startswith(today) else told[5:16]


def _print_call(call: Call, outcomes: list[StoredOutcome], out: Console) -> None:
    table = Table(show_header=False, title=f"call {call.id}")
    for field in call.__struct_fields__:
        value = getattr(call, field)
        if field not in _APART and value not in ("", None, False):
            table.add_row(*(escape(text) for text in _field(field, value)))
    if call.cost_nusd is None:
        table.add_row("cost", "unknown")
    if call.from_cache:
        saved = call.saved_nusd
        table.add_row(
            "saved", "unknown" if saved is None else f"{format_usd(saved)} ({saved:,} nano-dollars)"
        )
    out.print(table)
    if call.decision:
        out.print(
            f"decision: {escape(msgspec.json.encode(call.decision).decode())}",
            highlight=False,
            soft_wrap=True,
        )
    if call.attempts:
        out.print(_attempts_table(call))
        for attempt in call.attempts:
            if attempt.reason:
                out.print(f"{attempt.seq} {attempt.status}: {escape(attempt.reason)}", highlight=False)
    for outcome in outcomes:
        value = msgspec.json.encode(outcome.value).decode()
        out.print(
            f"outcome {outcome.kind} at {utc(outcome.at_ms)}: {escape(value)} {escape(outcome.source)}",
            highlight=False,
        )


def _field(field: str, value: Any) -> tuple[str, str]:
    if field == "at_ms":
        return "at", f"{utc(value)} UTC"
    if field == "cost_nusd":
        return "cost", f"{format_usd(value)} ({value:,} nano-dollars)"
    return field, str(value)


def _attempts_table(call: Call) -> Table:
    table = Table("", "model", "status", "from", "ms", "first", "tokens", "cost", title="attempts")
    for attempt in call.attempts:
        usage = attempt.usage
        mark = "" if attempt.usage_source == "reported" else f" ({attempt.usage_source})"
        first = "" if attempt.ttft_ms is None else f"{attempt.ttft_ms:,.0f}"
        simulated = "\nsimulated" if attempt.simulated else ""
        table.add_row(
            f"{attempt.seq} {attempt.kind}",
            escape(f"{attempt.model}\nat {attempt.provider}"),
            f"{attempt.status} {attempt.http_status or ''}".strip(),
            f"+{attempt.started_ms:,.0f}",
            f"{attempt.latency_ms:,.0f}",
            first if call.stream else "",
            f"{usage.prompt_tokens:,} + {usage.completion_tokens:,}{mark}",
            format_usd(attempt.cost_nusd) + simulated,
        )
    return table


def _print_bodies(kept: StoredBodies | None, out: Console) -> None:
    if kept is None:
        out.print(
            "No bodies are kept of this call: its task does not keep them, their time has passed, "
            "or they were erased.",
            highlight=False,
        )
        return
    for title, body in (("asked", kept.request), ("answered", kept.answer)):
        out.rule(title, align="left")
        out.print(escape(_text(body)), highlight=False, soft_wrap=True)


def _json(call: Call) -> str:
    """Every field, defaults too: who reads it by program need not know them."""
    shown = {field: getattr(call, field) for field in call.__struct_fields__}
    shown["attempts"] = [
        {field: getattr(attempt, field) for field in attempt.__struct_fields__} for attempt in call.attempts
    ]
    return msgspec.json.encode(shown).decode()


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
