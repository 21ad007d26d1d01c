"""A state directory with a candidate in a channel, and its ledger written by hand: what a gateway would have recorded, in as many calls as wanted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from support.ledger import AT_MS, attempt, call

from smallfirst.config.schema import Config, Model, Provider, Rollout, Task
from smallfirst.contracts import LabelContract
from smallfirst.gate.controller_canary import Keeper
from smallfirst.ledger import Ledger
from smallfirst.ledger.notes import Notes
from smallfirst.ledger.records import Call, Outcome
from smallfirst.releases import Live, Releases, change_channels, moves, read_channels, release_from_config
from smallfirst.releases.verdict import Disagreement, TaskVerdict, Verdict
from smallfirst.releases.verdicts import Verdicts

CONFIG = Config(
    providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
    models={"small": Model(provider="p"), "large": Model(provider="p")},
    tasks={
        "triage": Task(
            ladder=("small", "large"),
            contract=LabelContract(labels=("a", "b")),
            margin=0.05,
            rollout=Rollout(pairs=1.0),
        )
    },
)


class RolledOut:
    """`calls` and `pairs` write; `keeper` is a controller's, a new one after `restart`; `now_ms` is its clock."""

    def __init__(self, state: Path, *, config: Config = CONFIG, bound: float | None = 0.10) -> None:
        self.state, self.config = state, config
        self.now_ms = AT_MS
        self.events: list[tuple[str, dict[str, Any]]] = []
        release = release_from_config(config)
        self.release, _ = Releases(state).save(release)
        self.verdict = "" if bound is None else self._verdict(release.policies["triage"].hash, bound)
        self.notes = Notes(state)
        self.keeper = self._keeper()
        self._chance = random.Random(7)

    def close(self) -> None:
        self.notes.close()

    def canary(self, *stages: float) -> None:
        live = Live(release=self.release, verdict=self.verdict)
        self.change(lambda channels: moves.with_canary(channels, live, stages, now_ms=self.now_ms))

    def shadow(self, share: float = 0.5) -> None:
        self.change(
            lambda channels: moves.with_shadow(channels, self.release, share, by="me", now_ms=self.now_ms)
        )

    def change(self, change: Callable[[Any], Any]) -> None:
        change_channels(self.state, change)

    @property
    def channels(self) -> Any:
        return read_channels(self.state)

    def usual(self, count: int = 200, **fields: Any) -> None:
        """Calls of the baseline, before anything began."""
        made = [self._call("baseline", "live", at_ms=AT_MS - 1000, **fields) for _ in range(count)]
        self.notes.settle(*made)

    def answered(self, count: int, *, channel: str = "canary", **fields: Any) -> list[Call]:
        """Calls of the candidate."""
        made = [self._call(self.release, channel, **fields) for _ in range(count)]
        self.notes.settle(*made)
        return made

    def pairs(
        self, count: int, disagreement: float, *, channel: str = "canary", source: str = "spot-check"
    ) -> None:
        """Calls that a small model answered, each with its score and the frontier's."""
        told = []
        for made in self.answered(count, channel="live" if channel == "shadow" else channel):
            score = float(self._chance.random() >= disagreement)
            told += self.scores(made, score, channel=channel, source=source)
        self.notes.outcomes(told)

    def scores(
        self, made: Call, score: float, *, channel: str = "canary", source: str = "spot-check", **more: Any
    ) -> list[Outcome]:
        small = {"model": "small", "rung": 0, "score": score, "answered": channel != "shadow"}
        large = {"model": "large", "rung": 1, "score": 1.0, "answered": False}
        common = {"release": self.release, "channel": channel, "reference": "frontier"} | more
        return [
            Outcome(at_ms=self.now_ms, call=made.id, kind="score", value=value | common, source=source)
            for value in (small, large)
        ]

    def turn(self) -> None:
        """One look of the controller, a second later."""
        self.now_ms += 1000
        with Ledger.read(self.state) as ledger:
            self.keeper.turn(ledger)

    def restart(self) -> None:
        """Another controller, which knows what is on the disk and nothing else."""
        self.keeper = self._keeper()

    def _keeper(self) -> Keeper:
        return Keeper(
            self.state,
            self.config,
            lambda kind, detail: self.events.append((kind, detail)),
            now_ms=lambda: self.now_ms,
        )

    def _verdict(self, policy: str, bound: float) -> str:
        found = Disagreement(mean=bound, bounds=((1.0, bound),), examples=800)
        task = TaskVerdict(
            task="triage", finding="pass", policy=policy, live_policy="", rule="", disagreement=found
        )
        verdict = Verdict(
            candidate=self.release,
            comparator="baseline",
            finding="pass",
            tasks=(task,),
            at_ms=AT_MS,
            by="me",
            version="0",
        )
        return Verdicts(self.state).save(verdict)

    def _call(self, release: str, channel: str, **fields: Any) -> Call:
        small = release != "baseline"
        made = call(
            attempt(
                model="small" if small else "large",
                frontier=not small,
                cost_nusd=100 if small else 1000,
                rung=0,
            )
        )
        defaults: dict[str, Any] = {
            "at_ms": self.now_ms,
            "release": release,
            "decision": {"channel": channel},
        }
        return msgspec.structs.replace(made, **(defaults | fields))
