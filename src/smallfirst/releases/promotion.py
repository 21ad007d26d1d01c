"""Promoting a release, and rolling back: what is asked of a release before its name is written into `channels.json`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.config.schema import Config
from smallfirst.errors import ReleaseError, SmallfirstError
from smallfirst.releases import moves
from smallfirst.releases.bundle import BASELINE, Releases
from smallfirst.releases.channels import FILE, Channels, Live, change_channels
from smallfirst.releases.proof import Proof, Prover, check_comparator, check_newest, check_not_lapsed
from smallfirst.releases.serving import load_serving
from smallfirst.releases.verdicts import Verdicts
from smallfirst.user import user_name


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """How a release is to be served: live at once, or by `stages` of a canary, or to a share of calls as a `shadow`.

    `verdict` names the one that is to prove it, by the beginning of its id or as a file; `unproven` is the reason to do without.
    """

    stages: tuple[float, ...] = ()
    shadow: float | None = None
    verdict: str = ""
    unproven: str = ""


class Promoter:
    """Writes the channels of one state directory."""

    def __init__(self, state: Path, config: Config, environ: Mapping[str, str]) -> None:
        self._state = state
        self._config = config
        self._environ = environ

    def promote(self, name: str, how: Promotion) -> Channels:
        """What the channels say now. `name` is a release's whole id, or `baseline`, which needs no proof.

        Raises `ReleaseError` where it may not be served: altered, unfit, unproven, lapsed, or compared with something else than what is live.
        """
        if name == BASELINE:
            if how.stages or how.shadow is not None:
                raise ReleaseError("baseline needs no canary and no shadow: it is what the user had before")
            return change_channels(self._state, lambda now: moves.live_at_once(now, self._as_live(BASELINE)))[
                1
            ]
        if how.shadow is not None:
            return self._shadow(name, how.shadow)
        named = self._named(name, how.verdict) if how.verdict else ""
        load_serving(Live(release=name, unproven="looked at"), state=self._state, config=self._config)
        if not how.unproven:
            self._prove(name, named)  # said before anything is locked

        def change(now: Channels) -> Channels:
            proof = None if how.unproven else self._prove(name, named, comparator=now.live.release)
            live = self._as_live(name, proof.id if proof else "", how.unproven)
            if how.stages:
                if now.live.release == name:
                    raise ReleaseError(
                        f"release {name[:12]} is live already: there is nothing to compare it with"
                    )
                return moves.with_canary(now, live, how.stages, now_ms=live.since_ms)
            return moves.live_at_once(now, live)

        return change_channels(self._state, change)[1]

    def roll_back(self) -> tuple[Channels, Channels, str]:
        """Channels before and after, and why it went to baseline although something else was live before; mostly empty. Asks for no proof."""
        return roll_back(self._state, self._config, self._environ)

    def _shadow(self, name: str, share: float) -> Channels:
        load_serving(Live(release=name, unproven="shadow"), state=self._state, config=self._config)
        by, now_ms = user_name(), _now_ms()
        return change_channels(
            self._state, lambda now: moves.with_shadow(now, name, share, by=by, now_ms=now_ms)
        )[1]

    def _prove(self, name: str, named: str, *, comparator: str | None = None) -> Proof:
        """The proof on which the release is promoted: exactly the verdict that was named, where one was.

        Of verdicts against what is live the newest decides: an older pass does not outlive a newer fail.
        """
        prover, release = Prover(self._state, self._config, self._environ), Releases(self._state).load(name)
        newest = "" if comparator in (None, name) else prover.newest(name, release, comparator)

        def fit(proof: Proof) -> None:
            check_not_lapsed(proof, name)
            if comparator is not None:
                check_comparator(proof, name, comparator)
            check_newest(proof, name, newest)

        if not named:
            return prover.prove(name, release, named=newest, also=fit)
        proof = prover.check(name, release, named)
        fit(proof)
        return proof

    def _named(self, name: str, verdict: str) -> str:
        """The id of the verdict that was named; one in a file is taken over, whatever it says: whether it counts is asked next."""
        verdicts, path = Verdicts(self._state), Path(verdict)
        if not path.is_file():
            return verdicts.find(name, verdict)
        found = verdicts.read(path)
        if found.candidate != name:
            raise ReleaseError(f"{path} is a verdict on release {found.candidate[:12]}, not on {name[:12]}")
        if not found.signature and found.id in verdicts.ids(name):
            return found.id  # the one that is kept may be signed
        return verdicts.save(found)

    def _as_live(self, name: str, verdict: str = "", unproven: str = "") -> Live:
        return Live(release=name, verdict=verdict, unproven=unproven, by=user_name(), since_ms=_now_ms())


def roll_back(
    state: Path, config: Config | None, environ: Mapping[str, str]
) -> tuple[Channels, Channels, str]:
    """Ends a canary, else returns to what was live before, else to baseline; never refused, whatever the file said.

    Without a configuration nothing is looked at: a gateway that cannot serve what was live before goes to baseline by itself.
    """
    why = ""

    def change(now: Channels) -> Channels:
        nonlocal why
        after = moves.rolled_back(now, now_ms=_now_ms())
        if config is not None and now.canary is None:
            try:
                load_serving(after.live, state=state, config=config, environ=environ)
            except (SmallfirstError, OSError) as error:
                why = str(error)
                after = msgspec.structs.replace(after, live=Live())
        return after

    try:
        before, after = change_channels(state, change, mend=True)
    except OSError as error:
        if not (state / FILE).exists():
            raise
        # A full disk takes no new file, but lets go of an old one; without it baseline is live.
        (state / FILE).unlink()
        return Channels(), Channels(), f"{FILE} could not be written ({error.strerror}), and was removed"
    return before, after, why


def _now_ms() -> int:
    return int(time.time() * 1000)
