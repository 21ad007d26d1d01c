"""Follows `channels.json`: what stands there is loaded and checked beside what runs, then swapped whole.

Each channel stands for itself. A release that may not be served is refused, logged and noted, and what is live stays; a canary or a shadow that may
not is left out. After a rollback nothing is refused into staying: what cannot be loaded then gives way to baseline, and so does, for as long, what
takes long to load.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.config.schema import Config
from smallfirst.errors import SmallfirstError
from smallfirst.gateway.channel import Served
from smallfirst.gateway.hand import Desk
from smallfirst.gateway.running import Running, Shared
from smallfirst.releases import BASELINE, Canary, Channels, Live, Serving, Shadow, load_serving, read_channels
from smallfirst.releases.channels import FILE

_log = logging.getLogger(__name__)
_UNSEEN = (-1, -1, -1)
_REFUSALS = (SmallfirstError, OSError)  # a folder that is gone or cannot be read must not hold up a rollback
Note = Callable[[str, dict[str, object]], None]


class Follower:
    """One gateway's view of the file. `override` is what its command line serves instead of what is live there.

    The command line holds until somebody makes another release live, or rolls back.
    """

    def __init__(
        self, state: Path, environ: Mapping[str, str], note: Note, *, override: Live | None = None
    ) -> None:
        self._state = state
        self._environ = environ
        self.note = note
        self._override = override
        self._stamp = self._look()
        self._channels = read_channels(state)
        self._refused: dict[str, str] = {}  # what was said last of each channel: once is enough
        # A thread of its own: slow embedders queue in the loop's, and a rollback waits for none of them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="channels")

    def first(self, config: Config) -> Served:
        """What is served from the start. Raises `ReleaseError` where what is live may not be; a canary or shadow that may not is left out."""
        live = self._load(self._override or self._channels.live, config)
        return self._others(live, self._channels, config)

    def again(self, config: Config, served: Served) -> Served:
        """The same channels by another configuration. Raises `ReleaseError`, `OSError` where one of them may not be served by it."""
        canary, shadow = served.canary, served.shadow
        return Served(
            live=self._load(_as_live(served.live), config),
            canary=(self._load(canary[1].as_live, config), canary[1]) if canary else None,
            shadow=(self._load(_unseen(shadow[1]), config), shadow[1]) if shadow else None,
        )

    async def follow(self, desk: Desk, shared: Shared) -> None:
        """Takes up what the file says, where that is something else than before."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        running = desk.running
        try:
            channels = read_channels(self._state)
        except _REFUSALS as error:
            self._stamp = stamp
            self._refuse("channels.json", error)
            return
        if _alike(channels, self._channels) and _served_alike(channels, running.served):
            self._stamp, self._channels = stamp, channels
            if channels.canary is not None:
                running.renew(channels.canary)
            return
        override = self._override if _holds(channels, self._channels) else None
        rolled_back = channels.rolled_back_ms != self._channels.rolled_back_ms
        building = asyncio.get_running_loop().run_in_executor(
            self._thread, self._built, channels, override, running, shared
        )
        if rolled_back:
            running = await self._meanwhile(building, desk, shared)
        built = await building
        if desk.running is not running:
            return  # the configuration was reloaded meanwhile: build on that, at the next turn
        self._stamp, self._channels, self._override = stamp, channels, override
        if built is None or (built.served == running.served and not rolled_back):
            return
        built.reload_keys()  # what changed while it was built
        built.keep_lapsed(running)
        desk.running = built
        self._tell(built.served, rolled_back=rolled_back)

    def close(self) -> None:
        """Waits for what is being loaded."""
        self._thread.shutdown()

    async def _meanwhile(
        self, building: asyncio.Future[Running | None], desk: Desk, shared: Shared
    ) -> Running:
        """What runs while something is being loaded after a rollback: nothing of what was rolled back, longer than a moment."""
        running = desk.running
        done, _ = await asyncio.wait([building], timeout=limits.ROLLBACK_WAIT_S)
        if done or desk.running is not running or running.serving.id == BASELINE:
            return running
        baseline = Served(live=self._load(Live(), running.config))
        desk.running = Running(running.config, baseline, shared, before=running)
        _log.warning("rolled back: baseline answers until what was live before is loaded")
        return desk.running

    def _built(
        self, channels: Channels, override: Live | None, running: Running, shared: Shared
    ) -> Running | None:
        """What is to run by these channels; None where it cannot be built."""
        config = running.config
        rolled_back = channels.rolled_back_ms != self._channels.rolled_back_ms
        try:
            live = self._load(override or channels.live, config)
            self._refused.pop("live", None)
        except _REFUSALS as error:
            self._refuse("live", error)
            live = self._load(Live(), config) if rolled_back else running.served.live
        served = self._others(live, channels, config)
        for choice in (served, Served(live=live), Served(live=self._load(Live(), config))):
            try:
                return Running(config, choice, shared, before=running)
            except Exception as error:  # a boundary: whatever weights or an embedder's library raise, a rollback goes through
                self._refuse("weights", error)
            if not rolled_back and choice.canary is None and choice.shadow is None:
                break
        return None

    def _others(self, live: Serving, channels: Channels, config: Config) -> Served:
        """What is live, with the canary and the shadow that may be served beside it."""
        canary, shadow = channels.canary, channels.shadow
        loaded_canary: tuple[Serving, Canary] | None = None
        loaded_shadow: tuple[Serving, Shadow] | None = None
        if canary is not None:
            try:
                loaded_canary = (self._load(canary.as_live, config), canary)
                self._refused.pop("canary", None)
            except _REFUSALS as error:
                self._refuse("canary", error)
        if shadow is not None:
            try:
                loaded_shadow = (self._load(_unseen(shadow), config), shadow)
                self._refused.pop("shadow", None)
            except _REFUSALS as error:
                self._refuse("shadow", error)
        return Served(live=live, canary=loaded_canary, shadow=loaded_shadow)

    def _load(self, live: Live, config: Config) -> Serving:
        return load_serving(live, state=self._state, config=config, environ=self._environ)

    def _look(self) -> tuple[int, int, int]:
        """Changes whenever the file does: it is replaced, never written into."""
        try:
            found = (self._state / FILE).stat()
        except FileNotFoundError:
            return _UNSEEN
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _refuse(self, what: str, error: Exception) -> None:
        if self._refused.get(what) == str(error):
            return
        self._refused[what] = str(error)
        _log.error("%s was not taken up: %s", what, error, exc_info=not isinstance(error, _REFUSALS))
        self.note("channels-refused", {"channel": what, "why": str(error)})

    def _tell(self, served: Served, *, rolled_back: bool) -> None:
        live, told = served.live, describe(served)
        _log.warning("%s: %s", "rolled back" if rolled_back else "other releases answer", told)
        detail: dict[str, object] = {
            "live": live.id,
            "unproven": live.unproven,
            "verdict": live.proof.id if live.proof else "",
        }
        for name, pair in (("canary", served.canary), ("shadow", served.shadow)):
            if pair is not None:
                detail[name] = {"release": pair[0].id} | msgspec.to_builtins(pair[1])
        self.note("rolled-back" if rolled_back else "channels", detail)


def describe(served: Served) -> str:
    """The channels in one line."""
    parts = [f"live {served.live.short}" + (" (unproven)" if served.live.unproven else "")]
    if served.canary is not None:
        serving, canary = served.canary
        stage = f"stage {canary.stage + 1} of {len(canary.stages)}"
        parts.append(f"canary {serving.short} at {canary.share * 100:.4g}% of conversations, {stage}")
    if served.shadow is not None:
        parts.append(f"shadow {served.shadow[0].short} of {served.shadow[1].share * 100:.4g}% of calls")
    return ", ".join(parts)


def _as_live(serving: Serving) -> Live:
    return Live(
        release=serving.id,
        verdict=serving.proof.id if serving.proof is not None else "",
        unproven=serving.unproven,
    )


def _unseen(shadow: Shadow) -> Live:
    """A shadow needs no proof: nobody gets its answers."""
    return Live(release=shadow.release, unproven="shadow")


def _holds(now: Channels, before: Channels) -> bool:
    """Whether the command line's release still stands: nobody made another live since, nor rolled back."""
    return now.live.content == before.live.content and now.rolled_back_ms == before.rolled_back_ms


def _alike(now: Channels, before: Channels) -> bool:
    """Whether the same releases answer, so that nothing need be loaded; stages and leases may differ."""
    return _holds(now, before) and _names(now.canary, now.shadow) == _names(before.canary, before.shadow)


def _served_alike(channels: Channels, served: Served) -> bool:
    """Whether what the file names besides what is live is what runs: a canary that was refused is tried again when the file is written anew."""
    canary = served.canary[1] if served.canary else None
    shadow = served.shadow[1] if served.shadow else None
    return _names(channels.canary, channels.shadow) == _names(canary, shadow)


def _names(canary: Canary | None, shadow: Shadow | None) -> tuple[object, ...]:
    return (
        (canary.release, canary.verdict, canary.unproven, canary.began_ms) if canary else None,
        (shadow.release, shadow.share, shadow.began_ms) if shadow else None,
    )
