"""Which releases name an adapter, and through which channel they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from smallfirst.config.schema import Config
from smallfirst.models.adapters.deployments import EMBEDDED, Deployment
from smallfirst.releases import BASELINE, Channels, Releases, RungPolicy, read_channels

Channel = Literal["live", "canary", "shadow", "previous", "none"]
ANSWERING: tuple[Channel, ...] = ("live", "canary", "shadow")


class Use(msgspec.Struct, frozen=True):
    """A rung of a release whose adapter it is. `channel` "previous": a rollback would go there; "none": it answers nothing."""

    channel: Channel
    release: str
    task: str
    model: str

    @property
    def answers(self) -> bool:
        return self.channel in ANSWERING

    def __str__(self) -> str:
        how = {"previous": ", where a rollback goes", "none": ""}.get(self.channel, f", {self.channel}")
        return f"release {self.release[:12]}{how} (task {self.task}, model {self.model})"


def uses_of(state: Path, adapter: str) -> list[Use]:
    """Every release that names it, those that answer first. Raises `ReleaseError` where one cannot be read: it may be one that does."""
    releases, channels = Releases(state), read_channels(state)
    placed = _placed(channels)
    names = [*placed, *(listed.id for listed in releases.list() if listed.id not in placed)]
    return [
        Use(placed.get(name, "none"), name, task, rung.model)
        for name in names
        for task, policy in releases.load(name).policies.items()
        for rung in policy.ladder
        if _adapter_of(rung) == adapter
    ]


def needs(use: Use, deployed: Deployment, config: Config) -> bool:
    """Whether the use is served from there. A model that is not configured any more is taken to be."""
    model = config.models.get(use.model)
    provider = config.providers.get(model.provider) if model is not None else None
    if model is None or provider is None:
        return True
    if provider.kind == "embedded":
        return deployed.target == EMBEDDED
    return deployed.target in (model.endpoints or (provider.base_url,))


def _placed(channels: Channels) -> dict[str, Channel]:
    found: list[tuple[str | None, Channel]] = [
        (channels.live.release, "live"),
        (channels.canary.release if channels.canary else None, "canary"),
        (channels.shadow.release if channels.shadow else None, "shadow"),
        (channels.previous.release if channels.previous else None, "previous"),
    ]
    placed: dict[str, Channel] = {}
    for name, channel in found:
        if name is not None and name != BASELINE:
            placed.setdefault(name, channel)
    return placed


def _adapter_of(rung: RungPolicy) -> str | None:
    return rung.adapter.id if rung.adapter is not None else None
