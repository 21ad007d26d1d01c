"""The keeper of semantic hits: reads what the gateway observed, chooses thresholds under the bound, and publishes what was proven, with a lease.

One turn a second, for each policy with a semantic cache that is live or a canary. Evidence is of one policy: another one begins anew, and one that
comes back goes on where it was. Whatever goes wrong here, leases end by themselves, and exact answers alone are served.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.cache.semantic.observed import Row, hits_after, read_rows
from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.semantic.standing import FILE, Standing, Standings, folder_of, guard_path
from smallfirst.config.schema import Config, SemanticCache
from smallfirst.datasets.terms import forbidden_providers
from smallfirst.gate.cache_fitting import Fitting, remove_damaged
from smallfirst.gate.cache_kept import Kept, read_kept, write_kept, write_standings
from smallfirst.releases import BASELINE, Policy, Releases, read_channels
from smallfirst.training.cache.threshold import Proven, Threshold

_log = logging.getLogger("smallfirst.controller")
Tell = Callable[[str, dict[str, Any]], None]
_BATCH = 2000
_FEED_S = 0.5  # of a turn, for each policy; what is left is fed in the next
_TOLD_EVERY_MS = 60_000  # of a policy that opens and closes again and again


class Watched:
    """One policy that is served: its rule, and what is remembered of it."""

    def __init__(self, policy: Policy, policy_hash: str, kept: Kept | None) -> None:
        semantic = policy.cache.semantic
        assert semantic is not None
        self.policy = policy
        self.semantic: SemanticCache = semantic
        self.rule = (
            Threshold.from_state(kept.rule)
            if kept is not None
            else Threshold(semantic.delta, confidence=semantic.confidence, least_check=semantic.min_checks)
        )
        self.kept = kept or Kept(
            task=policy.task, policy=policy_hash, confidence=semantic.confidence, rule=self.rule.state
        )
        self.last_hit = ""  # the call of the last one that was written
        self.fed = False  # since it was last saved


class CacheKeeper:
    """Keeps the standings of one state directory."""

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
        self._watched: dict[str, Watched] = {}
        self._policies: dict[str, dict[str, Policy]] = {}  # by release
        self._published: Standings | None = None
        self._fitting = Fitting(state)

    def turn(self) -> None:
        """One look. Raises `StateError`, `ReleaseError`, `OSError`: then nothing is published, and leases run out."""
        served = self._served()
        self._watched = {name: self._watched.get(name) or self._watch(name, served[name]) for name in served}
        if not self._watched and self._published is None and not (folder_of(self._state) / FILE).exists():
            return  # nothing was ever published here
        self._fitting.forget(self._watched)
        for watched in self._watched.values():
            self._feed(watched)
            if self._lacks_its_guard(watched.kept) or self._learned(watched):
                watched.fed = True
                self._fitting.tidy(each.kept.guard for each in self._watched.values())
            if watched.fed:
                watched.kept.rule = watched.rule.state
                write_kept(self._state, watched.kept)
                watched.fed = False
        self._publish()

    def close(self) -> None:
        """Waits for a guard that is being fitted."""
        self._fitting.close()

    def _learned(self, watched: Watched) -> bool:
        """Whether the policy has another guard now. What providers answer on whose outputs nothing may be trained is only counted."""
        forbidden = forbidden_providers(self.config)
        if any(rung.provider in forbidden for rung in watched.policy.ladder):
            return False
        return self._fitting.turn(watched.kept, self.config)

    def _served(self) -> dict[str, Policy]:
        """The policies that are live, or a canary, and have a semantic cache, by hash."""
        channels = read_channels(self._state)
        releases = [one.release for one in (channels.live, channels.canary) if one is not None]
        found: dict[str, Policy] = {}
        for release in releases:
            if release == BASELINE:
                continue
            if release not in self._policies:
                self._policies[release] = dict(Releases(self._state).load(release).policies)
            for policy in self._policies[release].values():
                if policy.cache.semantic is not None and policy.task in self.config.tasks:
                    found[policy.hash] = policy
        self._policies = {
            release: self._policies[release] for release in releases if release in self._policies
        }
        return found

    def _watch(self, name: str, policy: Policy) -> Watched:
        kept = read_kept(self._state, name)
        if kept is not None and kept.guard:
            remove_damaged(guard_path(self._state, kept.guard))
        try:
            return Watched(policy, name, kept)
        except ValueError:  # its sums are those of another version
            _log.warning("the evidence of %s is of another version, and is counted anew", policy.task)
            return Watched(policy, name, None)

    def _lacks_its_guard(self, kept: Kept) -> bool:
        """A guard that somebody removed is forgotten: what holds before anything is learned judges, until another one is fitted."""
        if not kept.guard or guard_path(self._state, kept.guard).exists():
            return False
        _log.warning("the guard of %s is gone, and is fitted again", kept.task)
        kept.guard, kept.fitted = "", 0
        return True

    # Evidence.

    def _feed(self, watched: Watched) -> None:
        """Counts what was observed since, in its order, up to a spot check that is still awaited."""
        kept, began_s = watched.kept, time.monotonic()
        while True:
            born, rows = read_rows(self._state, kept.policy, after=kept.after, most=_BATCH)
            if not born:
                return
            if born != kept.born:
                self._begin_anew(watched, born)
                continue
            fed = self._fed(watched, rows)
            if fed < len(rows) or len(rows) < _BATCH or time.monotonic() - began_s > _FEED_S:
                break
        found = hits_after(self._state, kept.policy, born=kept.born, after=kept.after)
        if found is not None:
            watched.fed |= found[0] != kept.in_flight
            kept.in_flight, watched.last_hit = found

    def _begin_anew(self, watched: Watched, born: str) -> None:
        """There is another file: what was counted stays counted, and hits that were not are lost. Of those that it never saw, the gateway writes
        the rows again.
        """
        kept = watched.kept
        if kept.born:
            _log.warning("the cache's evidence was begun anew; what was counted before stays")
            watched.rule.lost(kept.in_flight)
        kept.born, kept.after, kept.in_flight = born, 0, 0
        watched.fed = True

    def _fed(self, watched: Watched, rows: list[Row]) -> int:
        patience_ms, now_ms = round(limits.CACHE_CHECK_PATIENCE_S * 1000), self._now_ms()
        for at, row in enumerate(rows):
            seen = row.seen
            if row.pending:
                if now_ms - row.at_ms < patience_ms:
                    return at
                seen = msgspec.structs.replace(seen, right=False)  # it could not be checked
            if row.kind == "told":
                watched.rule.told_wrong()
            else:
                _count(watched.rule, seen)
            watched.kept.after = row.seq
            watched.kept.known += seen.right is not None
            watched.fed = True
        return len(rows)

    # What was proven.

    def _publish(self) -> None:
        policies = {name: self._standing(watched) for name, watched in self._watched.items()}
        if not self._is_news(policies):
            return
        self._published = Standings(policies=policies)
        write_standings(self._state, self._published)
        for watched in self._watched.values():
            self._tell_change(watched, policies[watched.kept.policy])

    def _is_news(self, policies: dict[str, Standing]) -> bool:
        """Whether the gateway has to know: something else was proven, or a lease is to be renewed."""
        if self._published is None:
            return True
        before = self._published.policies
        if before.keys() != policies.keys():
            return True
        renewed_ms = round(limits.CACHE_STANDING_LEASE_S * 1000 / limits.LEASES_A_LEASE)
        return any(
            new.lease_until_ms - before[name].lease_until_ms >= renewed_ms
            or msgspec.structs.replace(new, lease_until_ms=before[name].lease_until_ms) != before[name]
            for name, new in policies.items()
        )

    def _standing(self, watched: Watched) -> Standing:
        kept, semantic = watched.kept, watched.semantic
        proven = watched.rule.proven(in_flight=kept.in_flight)
        return Standing(
            task=kept.task,
            policy=kept.policy,
            lease_until_ms=self._now_ms() + round(limits.CACHE_STANDING_LEASE_S * 1000),
            room=_room(proven, kept.in_flight),
            read=watched.last_hit,
            threshold=proven.threshold,
            check=proven.check,
            guard=kept.guard,
            delta=semantic.delta,
            confidence=semantic.confidence,
            why=proven.why,
            since_ms=kept.since_ms,
            figures=proven.figures,
        )

    def _tell_change(self, watched: Watched, standing: Standing) -> None:
        """Notes in the ledger that hits are served from now on, or not any more."""
        kept, now_ms = watched.kept, self._now_ms()
        is_open = standing.threshold is not None
        if is_open == kept.open or now_ms - kept.told_ms < _TOLD_EVERY_MS:
            return
        how = "closed" if not is_open else "reopened" if kept.since_ms else "opened"
        told = msgspec.to_builtins(standing.figures)
        self._tell(
            "cache",
            {
                "how": how,
                "task": kept.task,
                "policy": kept.policy,
                "threshold": standing.threshold,
                "delta": standing.delta,
                "why": standing.why,
                "at_ms": now_ms,
                "figures": told,
            },
        )
        kept.open, kept.told_ms, kept.since_ms = is_open, now_ms, now_ms
        write_kept(self._state, kept)


def _count(rule: Threshold, seen: Observation) -> None:
    try:
        rule.add(seen)
    except ValueError as error:  # no gateway writes such a row
        _log.error(
            "an observation of the cache was damaged, and counts as wrong where it was a hit: %s", error
        )
        rule.lost(int(seen.hit))


def _room(proven: Proven, in_flight: int) -> int:
    """Hits that may be served until the next turn: all of them may be wrong, and those that are not counted yet."""
    wrong = proven.bound * proven.figures.requests
    return max(0, int(proven.allowed - wrong) - in_flight)
