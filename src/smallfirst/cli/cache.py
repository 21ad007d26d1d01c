"""`smallfirst cache`: what it holds and saves, what is in it, and how it is emptied; beside a running gateway or without one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import typer

from smallfirst.cli import cache_eval
from smallfirst.cli.state import CONFIG, JSON, STATE, config_and_state, moment
from smallfirst.errors import ConfigError, StateError

if TYPE_CHECKING:
    from smallfirst.cache.entry import Entry
    from smallfirst.cache.semantic.standing import Standing
    from smallfirst.cache.stores.store import CacheStore, Which
    from smallfirst.config import Config
    from smallfirst.ledger.reports import CacheSums, Span
    from smallfirst.planning.cache_report import CacheReport
    from smallfirst.releases import Policy

app = typer.Typer(
    help="The cache: answers that are given again, to the same call or to one that asks the same in other words.",
    no_args_is_help=True,
)
app.command(name="eval")(cache_eval.eval_)

_T = TypeVar("_T")
_MS_PER_S = 1000
_MS_PER_HOUR = 3_600_000
_GROUP_MOST = 500  # entries of a policy in which aliases of one are looked for
_HASH_DIGITS = 64
_TASK = typer.Option(None, "--task", "-t", help="Only answers of this task.")
_TENANT = typer.Option(None, "--tenant", help="Only this tenant's answers.")


@app.command()
def stats(
    by: str = typer.Option("task", "--by", help="One line a task, or a task and tenant: task, tenant."),
    since: str | None = typer.Option(
        None, help="Hits and savings from this hour on (UTC): 2026-11-24, 2026-11-24T08:00, or 7d, 12h."
    ),
    until: str | None = typer.Option(None, help="Up to and without this hour (UTC)."),
    tenant: str | None = _TENANT,
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """What is kept, how many calls it answered and what that saved; and how a semantic cache stands: what is proven, and what was found wrong."""
    from smallfirst.cli.cache_shown import show_report
    from smallfirst.ledger.reports import Span
    from smallfirst.planning.cache_report import cache_report

    if by not in ("task", "tenant"):
        raise ConfigError(f"expected task or tenant, not {by!r}", path="--by")
    loaded, place = config_and_state(state, config)
    span = Span(since_hour=_hour(since, "--since"), until_hour=_hour(until, "--until"), tenant=tenant)
    kept = _with_store(loaded, place, lambda store: store.counted(), otherwise=[])
    serving, standings = _proven(loaded, place)
    report = cache_report(
        [one for one in kept if tenant in (None, one.tenant)],
        _asked(place, span),
        serving,
        standings,
        now_ms=_now_ms(),
        by="tenant" if by == "tenant" else "task",
    )
    if as_json:
        typer.echo(msgspec.json.encode(_told(report) | {"span": span}).decode())
        return
    show_report(report, by=by, bounds=loaded.cache, now_ms=_now_ms())


@app.command()
def inspect(
    which: str = typer.Argument(
        "",
        metavar="[ID|CALL]",
        help="An entry's number, or a call's id or its beginning: the answer it gave, or was given.",
        show_default=False,
    ),
    task: str | None = _TASK,
    tenant: str | None = _TENANT,
    limit: int = typer.Option(20, min=1, max=10_000, help="At most so many, the newest."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Answers that are kept, the newest first; or one of them whole. Shows what was asked and answered. With --json one object a line."""
    from smallfirst.cache.stores.store import Which
    from smallfirst.cli.cache_shown import entry_told, show_entries, show_entry

    loaded, place = config_and_state(state, config)
    wanted = _which(which, place, tenant) if which else Which(task=task, tenant=tenant)
    found = _with_store(loaded, place, lambda store: store.listed(wanted, limit), otherwise=[])
    if which:
        found = [one for one in found if tenant in (None, one.tenant)]
        if not found:
            raise StateError(f"no answer {which!r} is kept; `smallfirst cache inspect` lists those that are")
    now_ms = _now_ms()
    if as_json:
        for one in found:
            typer.echo(msgspec.json.encode(entry_told(one, now_ms)).decode())
    elif which:
        for one in found:
            show_entry(one, _asked_text(place, one), _aliases(loaded, place, one), now_ms)
    else:
        show_entries(found, now_ms)


@app.command()
def evict(
    entries: list[int] = typer.Argument(
        None, metavar="ID...", help="Numbers of entries, as `cache inspect` shows them."
    ),
    call: str = typer.Option("", metavar="ID", help="The answer that this call gave, or was given."),
    tenant: str | None = _TENANT,
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Remove single answers: no call is given them any more, from a running gateway's next look-up on."""
    from smallfirst.cache.stores.store import Which

    if not entries and not call:
        raise ConfigError("say which: numbers of entries, or --call", path="cache evict")
    loaded, place = config_and_state(state, config)
    wanted = [Which(id=number, tenant=tenant) for number in entries or ()]
    wanted += [_which(call, place, tenant, is_call=True)] if call else []
    removed = _removed(loaded, place, wanted)
    if not removed:
        raise StateError("none of them is kept, so nothing was removed")
    _noted(place, wanted, removed)
    _say(removed, as_json)


@app.command()
def purge(
    task: str | None = typer.Option(None, "--task", "-t", help="All answers of this task."),
    tenant: str | None = typer.Option(None, "--tenant", help="All answers to this tenant."),
    release: str | None = typer.Option(
        None, help="All answers of this release (its id, or the beginning of it)."
    ),
    policy: str | None = typer.Option(
        None, help="All answers of this policy (its hash, or the beginning of it)."
    ),
    before: str | None = typer.Option(
        None,
        metavar="WHEN",
        help="All answers given before 2026-11-24, 2026-11-24T08:00 (UTC), or 7d, 12h ago.",
    ),
    everything: bool = typer.Option(False, "--all", help="All answers there are."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Remove the answers that fit all that is given; from a running gateway's next look-up on none of them is given any more."""
    from smallfirst.cache.stores.store import Which

    loaded, place = config_and_state(state, config)
    before_ms = None if before is None else int(moment(before, option="--before").timestamp() * _MS_PER_S)
    wanted = Which(
        task=task,
        tenant=tenant,
        release=None if release is None else _release(release, place),
        policy=None if policy is None else _policy(policy, place),
        before_ms=before_ms,
    )
    if everything == (wanted != Which()):
        what = "say which: --task, --tenant, --release, --policy, --before, or --all"
        raise ConfigError("--all leaves nothing to choose" if everything else what, path="cache purge")
    if everything and not yes:
        typer.confirm("Remove every answer of every tenant?", abort=True)
    removed = _removed(loaded, place, [wanted])
    _noted(place, [wanted], removed)
    _say(removed, as_json)


def _with_store(
    config: Config, state: Path, work: Callable[[CacheStore], Awaitable[_T]], *, otherwise: Any
) -> _T:
    """What the work finds in the store; `otherwise` where there is no cache yet. Raises `StateError` where it cannot be used."""
    from smallfirst.cache.stores.opening import exists, open_store

    if not exists(config, state):
        return otherwise

    async def opened() -> _T:
        store = open_store(config, state, os.environ, owner=False)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def _removed(config: Config, state: Path, wanted: list[Which]) -> int:
    async def remove(store: CacheStore) -> int:
        return sum([await store.evict(one) for one in wanted])

    return _with_store(config, state, remove, otherwise=0)


def _noted(state: Path, wanted: list[Which], removed: int) -> None:
    """An event in the ledger: who removed what, and how much of it."""
    from smallfirst.ledger import Notes
    from smallfirst.ledger.store import FILE
    from smallfirst.user import user_name

    if not removed and not (state / FILE).exists():  # a mistyped place gets no ledger
        return
    told = [
        {name: value for name, value in msgspec.to_builtins(one).items() if value is not None}
        for one in wanted
    ]
    with Notes(state) as notes:
        notes.event("cache-purged", {"which": told, "removed": removed, "by": user_name()})


def _say(removed: int, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"removed": removed}).decode())
    else:
        typer.echo(f"removed {removed:,} {'answer' if removed == 1 else 'answers'}")


def _which(text: str, state: Path, tenant: str | None, *, is_call: bool = False) -> Which:
    """An entry by its number, or by a call: the one that it was the first to get the answer of, or the one whose answer it was given."""
    from smallfirst.cache.stores.store import Which
    from smallfirst.ledger import Ledger

    if text.isdecimal() and not text.startswith("0") and not is_call:  # a call's id begins with its time, a 0
        return Which(id=int(text), tenant=tenant)
    with Ledger.read(state) as ledger:
        call = ledger.queries.call(text, tenant=tenant)
    given = call.decision.get("cache", {}).get("of") if call.from_cache else None
    return Which(call=given or call.id, tenant=tenant)


def _aliases(config: Config, state: Path, entry: Entry) -> list[Entry]:
    """The other entries whose answers were found equal to this one's, as far back as is looked."""
    from smallfirst.cache.stores.store import Which

    of = Which(tenant=entry.tenant, task=entry.task, policy=entry.policy)
    found = _with_store(config, state, lambda store: store.listed(of, _GROUP_MOST), otherwise=[])
    return [one for one in found if one.group == entry.group and one.id != entry.id]


def _asked_text(state: Path, entry: Entry) -> str:
    """The last user message of the call that was answered so, where the ledger keeps bodies of it."""
    from smallfirst.cli.asked import last_question
    from smallfirst.ledger import Ledger
    from smallfirst.ledger.store import FILE

    if entry.question or not (state / FILE).exists():
        return ""
    with Ledger.read(state) as ledger:
        return last_question(entry.call, ledger, entry.tenant)


def _release(prefix: str, state: Path) -> str:
    """The whole id. A whole one need not be here any more."""
    from smallfirst.releases import BASELINE, Releases

    return prefix if len(prefix) == _HASH_DIGITS or prefix == BASELINE else Releases(state).find(prefix)


def _policy(prefix: str, state: Path) -> str:
    from smallfirst.releases import Releases

    if len(prefix) == _HASH_DIGITS:
        return prefix
    releases = Releases(state)
    known = {
        policy.hash for listed in releases.list() for policy in releases.load(listed.id).policies.values()
    }
    found = [name for name in known if name.startswith(prefix)]
    if len(found) != 1:
        what = "no policy" if not found else f"{len(found)} policies"
        raise StateError(f"{what} of the releases here begin with {prefix!r}; give all {_HASH_DIGITS} digits")
    return found[0]


def _asked(state: Path, span: Span) -> list[CacheSums]:
    """What the ledger counted; nothing where there is none."""
    from smallfirst.ledger import Ledger
    from smallfirst.ledger.store import FILE

    if not (state / FILE).exists():
        return []
    with Ledger.read(state) as ledger:
        return ledger.reports.cache(span)


def _proven(config: Config, state: Path) -> tuple[dict[str, dict[str, Policy]], dict[str, Standing]]:
    """The policies that are served, by channel, and what the keeper says of them."""
    from smallfirst.cache.semantic.standing import read_standings
    from smallfirst.releases import BASELINE, Releases, baseline, read_channels

    channels, releases = read_channels(state), Releases(state)

    def policies(name: str) -> dict[str, Policy]:
        return (baseline(config) if name == BASELINE else releases.load(name)).policies

    serving = {"live": policies(channels.live.release)}
    if channels.canary is not None:
        serving["canary"] = policies(channels.canary.release)
    return serving, dict(read_standings(state).policies)


def _told(report: CacheReport) -> dict[str, Any]:
    """As JSON, with what follows from it."""
    told = msgspec.to_builtins(report)
    for line, shown in zip(report.lines, told["lines"], strict=True):
        shown |= {"hits": line.hits, "hit_rate": line.hit_rate}
    return told


def _hour(text: str | None, option: str) -> int | None:
    return None if text is None else int(moment(text, option=option).timestamp() * _MS_PER_S // _MS_PER_HOUR)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
