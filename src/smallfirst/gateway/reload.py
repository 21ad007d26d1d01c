"""SIGHUP: the file is read again, validated, built beside the running gateway, and swapped whole, or not at all.

Only where things are may change (addresses, secrets, keys, budgets, who answers what is none of the tasks). How calls are answered stays as it was
released.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from smallfirst.config import load
from smallfirst.config.check import problems_at_start
from smallfirst.config.diff import diff
from smallfirst.config.schema import Config, Task
from smallfirst.errors import ConfigError, SmallfirstError
from smallfirst.gateway.channel import Served
from smallfirst.gateway.running import Running, Shared
from smallfirst.ledger.records import Event
from smallfirst.releases.policy import misfits

_log = logging.getLogger(__name__)


def reloaded(
    running: Running,
    path: Path,
    shared: Shared,
    *,
    options_applied: Callable[[Config], Config],
    served_by: Callable[[Config, Served], Served],
) -> Running:
    """The gateway of the file as it is now; the running one where the file is wrong, with the reason in the log and the ledger.

    `served_by` loads what is served by another configuration: a verdict that its rule does not know keeps the running one.
    """
    try:
        fresh = options_applied(load(path))
        config = mergeable(running.config, fresh)
        problems = problems_at_start(config)
        problems += [line for policy in running.serving.policies.values() for line in misfits(policy, config)]
        if problems:
            raise ConfigError("\n".join(problems))
        built = Running(config, served_by(config, running.served), shared, before=running)
    except (SmallfirstError, OSError) as error:
        _log.error("the configuration was not reloaded; the running one stays: %s", error)
        _note(shared, "reload-refused", {"why": str(error)})
        return running
    changes = diff(running.config, fresh)
    applied = [change.path for change in changes if change.kind == "reload"]
    waiting = [change.path for change in changes if change.kind != "reload"]
    _log.warning("the configuration was reloaded: %s", ", ".join(applied) or "nothing differs")
    if waiting:
        _log.warning("not applied by a reload (release build, or a restart): %s", ", ".join(waiting))
    _note(shared, "reloaded", {"applied": applied, "waiting": waiting})
    return built


def mergeable(running: Config, fresh: Config) -> Config:
    """The fresh file, with everything that a reload may not change as it runs now. Of a task its budget, its rate limits, what is kept,
    the rule it is judged by and how it rolls out may change."""
    server = msgspec.structs.replace(fresh.server, host=running.server.host, port=running.server.port)
    storage = msgspec.structs.replace(fresh.storage, path=running.storage.path)
    tasks = {name: _task(task, fresh.tasks.get(name)) for name, task in running.tasks.items()}
    return msgspec.structs.replace(
        fresh,
        server=server,
        storage=storage,
        tasks=tasks,
        frontier=running.frontier,
        cache=running.cache,
    )


def _task(runs: Task, fresh: Task | None) -> Task:
    if fresh is None:
        return runs
    return msgspec.structs.replace(
        runs,
        budget=fresh.budget,
        limits=fresh.limits,
        keep_bodies=fresh.keep_bodies,
        redact=fresh.redact,
        gate=fresh.gate,
        rollout=fresh.rollout,
    )


def _note(shared: Shared, kind: str, detail: dict[str, object]) -> None:
    shared.ledger.journal.append(Event(at_ms=int(time.time() * 1000), kind=kind, detail=detail))
