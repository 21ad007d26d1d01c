"""The embedded models of a configuration: a supervised server for each base, started beside the gateway, ordinary endpoints to everything else."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from pathlib import Path

from smallfirst.config.adapters import form_of
from smallfirst.config.schema import Config
from smallfirst.errors import StateError
from smallfirst.models.adapters.deployments import EMBEDDED, Deployment, deployments, deployments_stamp
from smallfirst.models.embedded_line import Line, maker
from smallfirst.models.embedded_plan import Wanted, planned
from smallfirst.models.embedded_reach import EmbeddedReach
from smallfirst.models.endpoints import Endpoint

_log = logging.getLogger(__name__)
_PENDING = "http://127.0.0.1:9/v1"  # the discard port: nobody is asked before the server is ready


class EmbeddedModels:
    """Their endpoints exist from the start and are ready when their servers are; the gateway does not wait for them.

    Models that name the same base share one server, which has the adapters that are deployed over it; an adapter that is merged into its base
    has a server of its own. `follow` takes up what is deployed and undeployed while they run.
    """

    def __init__(self, config: Config, state: Path, *, base: Path, wanted: bool = True) -> None:
        """`state` has the adapters and takes the logs; a path to a `.gguf` is relative to `base`, the configuration's folder.

        Raises `StateError` where it cannot be read what is deployed.
        """
        self._config = config
        self._state = state
        self._base = base
        self._wanted = wanted
        self.reach = EmbeddedReach()
        for name, model in config.models.items():
            if config.providers[model.provider].kind == "embedded":
                self.reach.endpoints[name] = _endpoint(name)
        self._make = maker(state / "logs", self.reach.key)
        self._leaving: set[asyncio.Task[None]] = set()
        self._stamp = deployments_stamp(state)
        self._deployed = deployments(state)
        self._lines: dict[str, Line] = {}
        self._starting: asyncio.Task[None] | None = None
        self._tell()

    @property
    def ready(self) -> int:
        """How many of the models are."""
        return sum(endpoint.ready for endpoint in self.reach.endpoints.values())

    @property
    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [*self.reach.endpoints.values(), *self.reach.merged.values()]

    def starts(self, model: str) -> bool:
        """Whether a server is started for this model; known once they are `started`."""
        return any(model in line.wanted.models for line in self._lines.values())

    def start(self) -> None:
        """Begins to start them, in the background: files are hashed before they are loaded, and they may be large."""
        self._starting = asyncio.create_task(self._begin(), name="embedded models starting")
        self._starting.add_done_callback(_said)

    async def started(self) -> None:
        """Returns when each is ready. Raises `StateError` with the end of the log of one that does not start."""
        assert self._starting is not None, "not begun"
        await self._starting
        for line in self._lines.values():
            await line.started()

    async def follow(self) -> None:
        """Takes up what is deployed now, where that is something else than before. What does not start is logged, and what ran stays."""
        stamp = deployments_stamp(self._state)
        if stamp == self._stamp or self._starting is None or not self._starting.done():
            return
        self._stamp = stamp
        try:
            self._deployed = deployments(self._state)
        except StateError as error:
            _log.error("what is deployed was not taken up: %s", error)
            return
        self._tell()  # what is gone is asked for no more, before its server goes
        plans = await self._plans()
        for name, plan in plans.items():
            await self._take_up(name, plan)
            self._tell()
        for name in [name for name in self._lines if name not in plans]:
            self._leave(name)
        self._tell()

    async def stop(self) -> None:
        """Ends them all."""
        under_way = [*self._leaving, *([self._starting] if self._starting else [])]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await asyncio.gather(*(line.stop() for line in self._lines.values()))

    async def _plans(self) -> dict[str, Wanted]:
        if not self._wanted:
            return {}
        return await asyncio.to_thread(
            planned, self._config, self._deployed, state=self._state, base=self._base
        )

    async def _begin(self) -> None:
        for name, plan in (await self._plans()).items():
            self._line(name, plan)
        self._tell()

    def _line(self, name: str, plan: Wanted) -> Line:
        """A new server, which begins to start."""
        line = self._lines[name] = Line(plan, self._endpoints(plan), self._make)
        line.start()
        return line

    async def _take_up(self, name: str, plan: Wanted) -> None:
        line = self._lines.get(name)
        try:
            if line is None:
                await self._line(name, plan).started()
            elif plan.is_served_by(line.wanted):
                line.wanted = plan
                return
            else:
                await line.change(plan)
        except StateError as error:
            what = "goes on as it was" if line is not None else "is not there"
            _log.error("what was deployed is not served, the server of %s %s: %s", name, what, error)
            if line is None:
                self._leave(name)
            return
        served = ", ".join(one.served_name for one in plan.served) or "no adapter"
        _log.warning("the embedded server of %s serves %s", name, served)

    def _leave(self, name: str) -> None:
        """Lets a server finish that is not wanted any more."""
        line = self._lines.pop(name)
        self.reach.merged.pop(name, None)
        task = asyncio.create_task(line.finish(), name=f"embedded {name} finishing")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _endpoints(self, plan: Wanted) -> list[Endpoint]:
        """Those that lead to a server: of a base all its models'; of a merged adapter its own, and `_tell` gives it its models'."""
        if not plan.merged:
            return [self.reach.endpoints[name] for name in plan.models]
        name = plan.settings.name
        return [self.reach.merged.setdefault(name, _endpoint(name))]

    def _tell(self) -> None:
        """What is served now, to those who ask for it. Of what is deployed to the embedded servers that is what they have: until another file
        of an adapter is loaded, the one that was there before.
        """
        has: defaultdict[str, list[Deployment]] = defaultdict(list)
        for line in self._lines.values():
            for one in line.wanted.served:
                has[one.adapter].append(one)
        self.reach.served.become(
            served
            for one in self._deployed
            for served in (has[one.adapter] if one.target == EMBEDDED else [one])
        )
        self._lead()

    def _lead(self) -> None:
        """Endpoints of models that are merged lead to the newest adapter's server, and nowhere where there is none."""
        own: dict[str, list[Endpoint]] = {name: [] for name in self._lines}
        for name, model in self._config.models.items():
            if name not in self.reach.endpoints or model.adapter is None:
                continue
            form = form_of(model, self._config.providers[model.provider])
            one = self.reach.served.newest(model.adapter, form, model.id or name, (EMBEDDED,))
            if form == "lora":
                continue
            if one is None:
                self.reach.endpoints[name].ready = False
            else:
                own[one.served_name].append(self.reach.endpoints[name])
        for name, line in self._lines.items():
            if line.wanted.merged:
                line.lead([self.reach.merged[name], *own[name]])


def _said(starting: asyncio.Task[None]) -> None:
    """Nobody may wait for it."""
    if not starting.cancelled() and (fault := starting.exception()) is not None:
        _log.error("the embedded models are not started: %s", fault, exc_info=fault)


def _endpoint(name: str) -> Endpoint:
    endpoint = Endpoint(_PENDING, name=f"embedded {name}")
    endpoint.ready = False
    return endpoint
