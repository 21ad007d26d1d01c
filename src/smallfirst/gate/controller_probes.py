"""The probe set asked again, while a release answers: a model that changed behind its name, whose provider says nothing of it, shows in its answers.

Every hour, in a thread of its own: a model that hangs must not keep a lease from being renewed. A model counts as changed when it gives the same
answers twice and they are not those of the verdict.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.answering.offline import Wanted, open_bench
from smallfirst.config.schema import Config
from smallfirst.datasets import Datasets
from smallfirst.errors import SmallfirstError
from smallfirst.evals.books import Books
from smallfirst.evals.till import Till
from smallfirst.gate.bout import some_of
from smallfirst.gate.controller_canary import Tell
from smallfirst.gate.probes import Paying, probe, probe_set, probed_rungs
from smallfirst.ledger import Notes
from smallfirst.releases import Policy, Releases, Verdicts, read_channels
from smallfirst.releases.bundle import WEIGHTS
from smallfirst.releases.verdict import Verdict
from smallfirst.stops import read_stops

_log = logging.getLogger("smallfirst.controller")
PROBE_EVERY_S = 3600.0
FIRST_AFTER_S = 60.0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose answers to the probes are not those of the verdict any more."""

    release: str
    verdict: str
    model: str
    task: str


class Prober:
    """Asks in the background. `turn` begins where it is time, and acts on what was found."""

    def __init__(self, state: Path, base: Path, config: Config, tell: Tell) -> None:
        self.config = config
        self._state, self._base, self._tell = state, base, tell
        self._due_s = time.monotonic() + FIRST_AFTER_S
        self._thread: threading.Thread | None = None
        self._found: list[Change] = []

    def turn(self) -> None:
        """Never waits."""
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
            self.act(self._found)
            self._found = []
        if self._thread is None and time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + PROBE_EVERY_S
            self._thread = threading.Thread(target=self._look, name="probes", daemon=True)
            self._thread.start()

    def act(self, changes: list[Change]) -> None:
        """Lets the evidence on these models lapse: their tasks go to the frontier until there is another verdict."""
        for change in changes:
            reason = f"{change.model} answers the probes of {change.task} otherwise than when it was compared"
            if Verdicts(self._state).lapse(change.release, change.verdict, model=change.model, reason=reason):
                self._tell("probes-changed", msgspec.to_builtins(change))

    def _look(self) -> None:
        try:
            self._found = asyncio.run(look(self._state, self._base, self.config, os.environ))
        except (SmallfirstError, OSError) as error:  # what cannot be asked is not a model that changed
            _log.warning("the probes could not be asked: %s", error)


async def look(state: Path, base: Path, config: Config, environ: Mapping[str, str]) -> list[Change]:
    """Which models of what is live, or in canary, have changed. Models that are pinned by their weights are not asked.

    Raises as `open_bench` does, and `DatasetError` where a verdict's dataset is gone.
    """
    channels = read_channels(state)
    changes: list[Change] = []
    for channel in (channels.live, channels.canary):
        if channel is None or not channel.verdict:
            continue
        verdict = Verdicts(state).load(channel.release, channel.verdict)
        policies = Releases(state).load(channel.release).policies
        fits: dict[str, bool] = {}
        tasks: dict[str, str] = {}
        for task, policy in policies.items():
            for model, same in (
                await _fitting(verdict, task, policy, (state, base, config, environ))
            ).items():
                # A model may be in several tasks, and its mark is of the probes of one: where any task's answers fit, it is the same.
                fits[model] = fits.get(model, False) or same
                tasks[model] = task
        changes += [
            Change(release=channel.release, verdict=channel.verdict, model=model, task=tasks[model])
            for model, same in fits.items()
            if not same
        ]
    return changes


async def _fitting(
    verdict: Verdict, task: str, policy: Policy, home: tuple[Path, Path, Config, Mapping[str, str]]
) -> dict[str, bool]:
    """Of each model that can be told by its answers to this task's probes, whether they are those of the verdict. What an operator has stopped is
    not asked.
    """
    state, base, config, environ = home
    stopped = {stop.scope for stop in read_stops(state)}
    if ("all", "") in stopped or ("task", task) in stopped:
        return {}
    judged = next((each for each in verdict.tasks if each.task == task and each.dataset), None)
    rungs = [
        rung
        for rung in probed_rungs(policy)
        if (mark := verdict.fingerprints.get(rung.model)) is not None
        and mark.probes
        and config.providers[rung.provider].kind != "embedded"
        and ("model", rung.model) not in stopped
    ]
    if judged is None or not rungs:
        return {}
    probes = probe_set(some_of(Datasets(state).open(judged.dataset).examples("calibration")))
    weights = Releases(state).folder / verdict.candidate / WEIGHTS
    found = {}
    opened = open_bench(config, [Wanted(policy, weights)], state=state, base=base, environ=environ)
    with Notes(state) as notes:
        async with opened as bench:
            paying = Paying(Till(), Books(task, notes.settle, (), {}))
            for rung in rungs:
                answers = await probe(policy, rung, probes, bench, paying)
                if answers:  # else it cannot be asked, or answers now so and now so: that says nothing
                    found[rung.model] = answers == verdict.fingerprints[rung.model].probes
    return found
