"""One turn of the controller over a canary or a shadow: read what came, roll back, go on, or renew the lease."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.config.schema import Config
from smallfirst.errors import ReleaseError
from smallfirst.gate.rollout import End, Ended, Watched, read_rollout, write_rollout
from smallfirst.gate.rollout_feed import feed_calls, feed_scores, first_call, usual
from smallfirst.gate.rollout_seen import is_scored
from smallfirst.gate.rollout_stage import TaskStanding, begin_of, standing
from smallfirst.gate.watch import Estimate, Rule, TaskWatch
from smallfirst.gate.watch_expected import expectation
from smallfirst.ledger import LedgerView
from smallfirst.releases import BASELINE, Policy, Releases, baseline, moves
from smallfirst.releases.channels import Canary, Channels, Shadow, change_channels, read_channels
from smallfirst.releases.verdicts import ANY_MODEL, Verdicts

Tell = Callable[[str, dict[str, Any]], None]
"""Notes an event in the ledger; it is on the disk when this returns."""


class Keeper:
    """Keeps the rollouts of one state directory. What it counted is in `STATE/rollout.json` after each turn."""

    def __init__(
        self,
        state: Path,
        config: Config,
        tell: Tell,
        *,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self.config = config
        self._state = state
        self._tell = tell
        self._now_ms = now_ms
        self._rollout = read_rollout(state)
        self._saved = msgspec.json.encode(self._rollout)
        self._watches: dict[str, dict[str, TaskWatch]] = {}
        self._policies: dict[str, dict[str, Policy]] = {}
        for watched in (self._rollout.canary, self._rollout.shadow):
            if watched is not None:
                self._open(watched)

    @property
    def busy(self) -> bool:
        """Whether something is being rolled out."""
        return self._rollout.canary is not None or self._rollout.shadow is not None

    def turn(self, ledger: LedgerView) -> None:
        """One look. Raises `StateError` where the ledger or the channels cannot be read: then no lease is renewed."""
        channels = read_channels(self._state)
        self._follow(ledger, channels)
        if (watched := self._rollout.canary) is not None and channels.canary is not None:
            self._turn_canary(ledger, watched, channels.canary)
        if (watched := self._rollout.shadow) is not None:
            self._turn_shadow(ledger, watched)
        self._save()

    def standings(self, watched: Watched) -> list[TaskStanding]:
        """How each task of a rollout stands."""
        watches = self._watches[watched.release]
        return [
            standing(watched, watch, judged=is_scored(self.config, task))
            for task, watch in sorted(watches.items())
        ]

    # What is to be watched.

    def _follow(self, ledger: LedgerView, channels: Channels) -> None:
        """Begins to watch what is new in the channels, and stops watching what somebody else ended."""
        rollout = self._rollout
        if rollout.canary is not None and not _same(rollout.canary, channels.canary):
            self._was_ended(rollout.canary, channels)
            rollout.canary = None
        if rollout.shadow is not None and not _same(rollout.shadow, channels.shadow):
            self._end(rollout.shadow, "withdrawn")
            rollout.shadow = None
        if rollout.canary is not None and channels.canary is not None:
            self._at_stage(rollout.canary, channels.canary)
        if channels.canary is not None and rollout.canary is None:
            rollout.canary = self._begin(ledger, channels.canary, channels)
        if channels.shadow is not None and rollout.shadow is None:
            rollout.shadow = self._begin(ledger, channels.shadow, channels)

    def _begin(self, ledger: LedgerView, channel: Canary | Shadow, channels: Channels) -> Watched:
        watched = Watched(
            channel="canary" if isinstance(channel, Canary) else "shadow",
            release=channel.release,
            began_ms=channel.began_ms,
            verdict=channel.verdict if isinstance(channel, Canary) else "",
            stage=channel.stage if isinstance(channel, Canary) else 0,
            calls_after=first_call(ledger, channel.began_ms),
        )
        found = self._verdict_of(watched)
        self._policies[watched.release] = policies = _changed(
            self._state, self.config, watched.release, channels
        )
        watches = {
            task: TaskWatch(
                task, self._rule(task, policy.margin), expectation(found.get(task), policy.margin)
            )
            for task, policy in policies.items()
        }
        self._watches[watched.release] = watches
        watched.began = {task: begin_of(watch) for task, watch in watches.items()}
        return watched

    def _open(self, watched: Watched) -> None:
        """Takes up a rollout where the last controller left it."""
        self._watches[watched.release] = {
            task: TaskWatch.from_state(kept) for task, kept in watched.tasks.items()
        }
        loaded = Releases(self._state).load(watched.release).policies
        self._policies[watched.release] = {task: loaded[task] for task in watched.tasks}

    def _verdict_of(self, watched: Watched) -> dict[str, Any]:
        """By task, the disagreement that the release's verdict measured; nothing of a release without one."""
        verdicts = Verdicts(self._state)
        name = watched.verdict or next(iter(verdicts.ids(watched.release)), "")
        if not name:
            return {}
        return {task.task: task.disagreement for task in verdicts.load(watched.release, name).tasks}

    def _rule(self, task: str, margin: float) -> Rule:
        told = self.config.tasks[task]
        ratios = told.gate
        rule = Rule(
            alpha=1 - told.rollout.confidence,
            drop=max(told.rollout.drop or margin, 0.001),
            margin=margin,
        )
        return msgspec.structs.replace(
            rule,
            cost_ratio=ratios.cost_ratio_max or rule.cost_ratio,
            latency_ratio=ratios.latency_ratio_max or rule.latency_ratio,
            latency_floor_ms=told.latency_ms or rule.latency_floor_ms,
        )

    # A canary.

    def _turn_canary(self, ledger: LedgerView, watched: Watched, canary: Canary) -> None:
        watches = self._watches[watched.release]
        for task, watch in watches.items():
            if watch.usual is None and (found := usual(ledger, task, without=watched.release)) is not None:
                watch.compare_with(found)
        feed_calls(ledger, watched, watches, self._policies[watched.release])
        feed_scores(ledger, watched, watches, self._policies[watched.release])
        self._save()  # before anything follows from it: what was counted is not counted again
        if any(watch.alarms() for watch in watches.values()):
            self._roll_back(watched)
            return
        if all(not one.waits_for for one in self.standings(watched)):
            self._go_on(watched, canary)
            return
        now_ms = self._now_ms()
        lease_ms = limits.CANARY_LEASE_S * 1000
        if canary.lease_until_ms - now_ms < lease_ms * (1 - 1 / limits.LEASES_A_LEASE):
            self._change(lambda channels: moves.renewed(channels, watched.began_ms, now_ms=self._now_ms()))

    def _roll_back(self, watched: Watched) -> None:
        self._change(lambda channels: moves.without_canary(channels, watched.began_ms, now_ms=self._now_ms()))
        self._lapse_if_worse(watched)
        self._end(watched, "rolled-back")
        self._rollout.canary = None

    def _at_stage(self, watched: Watched, canary: Canary) -> None:
        """Begins the stage that the channels name, where it is another than the one that was watched."""
        if canary.stage == watched.stage:
            return
        told = {"release": watched.release, "began_ms": watched.began_ms, "stage": canary.stage}
        self._tell("canary-advanced", told | {"share": canary.share, "tasks": self._figures(watched)})
        watched.stage = canary.stage
        watched.began = {task: begin_of(watch) for task, watch in self._watches[watched.release].items()}

    def _go_on(self, watched: Watched, canary: Canary) -> None:
        """The next stage; after the last, live."""
        self._change(lambda channels: moves.advanced(channels, watched.began_ms, now_ms=self._now_ms()))
        if watched.stage + 1 >= len(canary.stages):
            self._end(watched, "live")
            self._rollout.canary = None
            return
        self._at_stage(watched, msgspec.structs.replace(canary, stage=watched.stage + 1))

    def _was_ended(self, watched: Watched, channels: Channels) -> None:
        """The canary is not in the channels any more: live, rolled back by a controller that died at once, or by somebody else."""
        if channels.live.release == watched.release:
            self._end(watched, "live")
        elif any(watch.alarms() for watch in self._watches[watched.release].values()):
            self._lapse_if_worse(watched)
            self._end(watched, "rolled-back")
        else:
            self._end(watched, "withdrawn")

    def _lapse_if_worse(self, watched: Watched) -> None:
        """Answers worse than the verdict found refute it: the release needs another before it may answer again."""
        if not watched.verdict:
            return
        for watch in self._watches[watched.release].values():
            for alarm in watch.alarms():
                if alarm.question in ("quality", "labels"):
                    reason = f"rolled back as a canary: {watch.task}: {in_words(alarm)}"
                    Verdicts(self._state).lapse(
                        watched.release, watched.verdict, model=ANY_MODEL, reason=reason
                    )

    # A shadow.

    def _turn_shadow(self, ledger: LedgerView, watched: Watched) -> None:
        watches = self._watches[watched.release]
        feed_scores(ledger, watched, watches, self._policies[watched.release])
        failed = any(watch.alarms() for watch in watches.values())
        if not failed and any(one.waits_for for one in self.standings(watched)):
            return
        self._change(lambda channels: moves.without_shadow(channels, watched.began_ms))
        self._end(watched, "failed" if failed else "passed")
        self._rollout.shadow = None

    # What both do.

    def _change(self, change: Callable[[Channels], Channels]) -> None:
        change_channels(self._state, change)

    def _end(self, watched: Watched, how: End) -> None:
        watches = self._watches.get(watched.release, {})
        why = tuple(
            f"{watch.task}: {in_words(alarm)}" for watch in watches.values() for alarm in watch.alarms()
        )
        self._rollout.last = Ended(
            channel=watched.channel, release=watched.release, at_ms=self._now_ms(), how=how, why=why
        )
        self._tell(
            f"{watched.channel}-{how}",
            {
                "release": watched.release,
                "began_ms": watched.began_ms,
                "stage": watched.stage,
                "why": list(why),
                "tasks": self._figures(watched),
            },
        )

    def _figures(self, watched: Watched) -> dict[str, Any]:
        """The numbers of each task, for an event."""
        return {
            task: [msgspec.to_builtins(each) for each in watch.estimates()]
            for task, watch in self._watches.get(watched.release, {}).items()
        }

    def _save(self) -> None:
        """Writes what changed since it was last written."""
        for watched in (self._rollout.canary, self._rollout.shadow):
            if watched is not None:
                watches = self._watches[watched.release]
                watched.tasks = {task: watch.state for task, watch in watches.items()}
        data = msgspec.json.encode(self._rollout)
        if data != self._saved:
            write_rollout(self._state, self._rollout)
            self._saved = data


def in_words(alarm: Estimate) -> str:
    """What an alarm says, for people: `quality 0.31, surely above 0.24, and 0.14 was to be expected (412 observations)`."""
    return (
        f"{alarm.question} {alarm.seen:.3f}, surely above {alarm.at_least:.3f}, and {alarm.expected:.3f} was to be expected "
        f"({alarm.observations:,} observations)"
    )


def _same(watched: Watched, channel: Canary | Shadow | None) -> bool:
    return channel is not None and (channel.release, channel.began_ms) == (watched.release, watched.began_ms)


def _changed(state: Path, config: Config, release: str, channels: Channels) -> dict[str, Policy]:
    """The policies by which a release differs from what is live, of tasks that are configured."""
    releases = Releases(state)
    live = channels.live.release
    try:
        known = baseline(config) if live == BASELINE else releases.load(live)
    except ReleaseError:  # what is live cannot be read: then everything counts as changed
        known = None
    hashes = {} if known is None else {task: policy.hash for task, policy in known.policies.items()}
    return {
        task: policy
        for task, policy in releases.load(release).policies.items()
        if task in config.tasks and policy.hash != hashes.get(task)
    }
