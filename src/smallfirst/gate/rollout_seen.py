"""What a rollout looks like from outside the controller: the channels and what the controller saved, put together."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from smallfirst.config.schema import Config
from smallfirst.gate.rollout import Channel, Ended, RolloutState, Watched, read_rollout
from smallfirst.gate.rollout_stage import TaskStanding, standing
from smallfirst.gate.watch import TaskWatch
from smallfirst.releases.channels import FILE as CHANNELS
from smallfirst.releases.channels import Canary, Channels, Shadow, read_channels


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate that is being rolled out. `stages` is 0 for a shadow, and `lease_s` None."""

    channel: Channel
    release: str
    share: float
    stage: int = 0
    stages: int = 0
    lease_s: float | None = None  # what is left of it; below 0 all calls go to what is live
    tasks: tuple[TaskStanding, ...] = ()
    note: str = ""


class RolloutSeen(msgspec.Struct, frozen=True, kw_only=True):
    """All that is being rolled out, and how the last rollout ended."""

    rollouts: tuple[Seen, ...] = ()
    last: Ended | None = None


def look(state: Path, config: Config) -> RolloutSeen:
    """How it stands now. Raises `StateError` where a file cannot be read."""
    channels, saved = read_channels(state), read_rollout(state)
    found = []
    for channel, watched in ((channels.canary, saved.canary), (channels.shadow, saved.shadow)):
        if channel is not None:
            found.append(_seen(channel, watched if _same(watched, channel) else None, config))
    return RolloutSeen(rollouts=tuple(found), last=_last(state, channels, saved))


def _same(watched: Watched | None, channel: Canary | Shadow | None) -> bool:
    if watched is None or channel is None:
        return False
    return (watched.release, watched.began_ms) == (channel.release, channel.began_ms)


def _last(state: Path, channels: Channels, saved: RolloutState) -> Ended | None:
    """How the last one ended. A controller that has nothing left to watch is stopped: what somebody else ended is then told by the channels."""
    path = state / CHANNELS
    for watched, channel in ((saved.canary, channels.canary), (saved.shadow, channels.shadow)):
        if watched is not None and not _same(watched, channel) and path.exists():
            how = "live" if channels.live.release == watched.release else "withdrawn"
            at_ms = path.stat().st_mtime_ns // 1_000_000
            return Ended(channel=watched.channel, release=watched.release, at_ms=at_ms, how=how)
    return saved.last


def _seen(channel: Canary | Shadow, watched: Watched | None, config: Config) -> Seen:
    tasks = ()
    note = "no controller has looked at it yet: `smallfirst serve` runs one"
    if watched is not None:
        tasks = tuple(
            standing(watched, TaskWatch.from_state(kept), judged=is_scored(config, task))
            for task, kept in sorted(watched.tasks.items())
        )
        note = ""
    if isinstance(channel, Shadow):
        return Seen(channel="shadow", release=channel.release, share=channel.share, tasks=tasks, note=note)
    lease_s = channel.lease_until_ms / 1000 - time.time()
    if lease_s < 0:
        note = "its lease is over, so what is live answers all calls: no controller renews it"
    return Seen(
        channel="canary",
        release=channel.release,
        share=channel.share,
        stage=channel.stage,
        stages=len(channel.stages),
        lease_s=round(lease_s, 1),
        tasks=tasks,
        note=note,
    )


def is_scored(config: Config, task: str) -> bool:
    """Whether the task's answers are scored as they come: a judge is asked later, if at all."""
    return task not in config.tasks or config.tasks[task].scorer.kind != "judge"
