"""What is live, measured on explored calls: published, kept over restarts, and its evidence lapsed where it is refuted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.rollout import RolledOut

from smallfirst.errors import StateError
from smallfirst.gate.outlook import TaskOutlook, Watcher, read_outlook
from smallfirst.ledger import Ledger
from smallfirst.releases import Live, moves
from smallfirst.releases.verdicts import Verdicts


class LiveRelease(RolledOut):
    """The same state, with the release live; `look` is a turn of the outlook."""

    def __init__(self, state: Path, **more: Any) -> None:
        super().__init__(state, **more)
        live = Live(release=self.release, verdict=self.verdict, since_ms=self.now_ms)
        self.change(lambda channels: moves.live_at_once(channels, live))
        self.watcher = self._watcher()

    def _watcher(self) -> Watcher:
        return Watcher(self.state, self.config, lambda kind, detail: self.events.append((kind, detail)))

    def look(self) -> TaskOutlook:
        with Ledger.read(self.state) as ledger:
            self.watcher.turn(ledger)
        return read_outlook(self.state).tasks["triage"]

    def explored(self, count: int, disagreement: float) -> None:
        self.pairs(count, disagreement, channel="live", source="explore")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveRelease]:
    made = LiveRelease(tmp_path)
    yield made
    made.close()


def test_quality_is_measured_with_its_confidence_sequence(live: LiveRelease) -> None:
    live.explored(400, 0.1)
    found = live.look()
    assert found.explored == 400
    assert found.disagreement is not None
    assert found.low < 0.1 < found.high
    assert found.high - found.low < 0.2
    assert found.models["large"].score == 1.0
    assert found.models["small"].score == pytest.approx(1 - found.disagreement)
    assert not found.broken
    assert live.events == []


def test_restarts_change_nothing(tmp_path: Path) -> None:
    found = []
    for name, restarts in (("whole", False), ("parted", True)):
        live = LiveRelease(tmp_path / name)
        for _ in range(6):
            live.explored(60, 0.1)
            live.look()
            if restarts:
                live.watcher = live._watcher()
        found.append(msgspec.json.encode(live.look()))
        live.close()
    assert found[0] == found[1]


def test_more_than_the_verdict_and_the_margin_allow_lapses_the_evidence_once(live: LiveRelease) -> None:
    live.explored(300, 0.5)
    assert live.look().broken
    ((kind, detail),) = [event for event in live.events if event[0] != "drift"]
    assert (kind, detail["task"], detail["lapsed"]) == ("quality-bound-broken", "triage", True)
    (lapse,) = Verdicts(live.state).lapsed(live.release, live.verdict).values()
    assert "the frontier disagrees more than the verdict and the margin" in lapse.reason
    live.explored(100, 0.5)
    live.look()
    assert [kind for kind, _ in live.events].count("quality-bound-broken") == 1


def test_an_unproven_release_is_told_and_has_nothing_to_lapse(tmp_path: Path) -> None:
    live = LiveRelease(tmp_path, bound=None)
    live.explored(300, 0.5)
    live.look()
    assert [(kind, detail["lapsed"]) for kind, detail in live.events if kind != "drift"] == [
        ("quality-bound-broken", False)
    ]
    live.close()


def test_a_rise_is_an_event_and_stays_to_be_read(live: LiveRelease) -> None:
    live.explored(600, 0.02)
    live.look()
    live.explored(400, 0.2)
    live.look()
    drifts = [detail for kind, detail in live.events if kind == "drift"]
    assert drifts[0]["of"] == "outcome"
    assert drifts[0]["before"] < drifts[0]["value"]
    assert msgspec.to_builtins(read_outlook(live.state).findings) == drifts


def test_an_input_shift_is_an_event(live: LiveRelease) -> None:
    live.answered(1000, channel="live", prompt_bytes=300)
    live.look()
    live.answered(500, channel="live", prompt_bytes=9000)
    found = live.look()
    assert [detail["feature"] for kind, detail in live.events if kind == "drift"] == ["length"]
    assert found.shift["length"] > 1


def test_a_new_live_release_begins_anew_and_a_canarys_calls_are_not_its(live: LiveRelease) -> None:
    live.explored(50, 0.1)
    live.look()
    live.pairs(50, 0.1, channel="canary", source="explore")
    assert live.look().explored == 50
    live.now_ms += 10_000
    again = Live(release=live.release, verdict=live.verdict, since_ms=live.now_ms)
    live.change(lambda channels: msgspec.structs.replace(channels, live=again))
    live.explored(10, 0.1)
    assert live.look().explored == 10


def test_baseline_has_no_outlook(tmp_path: Path) -> None:
    rolled = RolledOut(tmp_path)
    with Ledger.read(tmp_path) as ledger:
        Watcher(tmp_path, rolled.config, lambda *_: None).turn(ledger)
    assert read_outlook(tmp_path).tasks == {}
    rolled.close()


def test_a_damaged_outlook_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "outlook.json").write_bytes(b"[")
    with pytest.raises(StateError, match="delete it, and the outlook begins anew"):
        read_outlook(tmp_path)
