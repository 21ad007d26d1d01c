"""The controller's turn over real state: it goes on, rolls back, renews, begins again, and counts everything once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.rollout import CONFIG, RolledOut

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.gate.controller import Controller, main
from smallfirst.gate.rollout import read_rollout
from smallfirst.gate.rollout_seen import look
from smallfirst.ledger import Ledger
from smallfirst.ledger.notes import Notes
from smallfirst.releases import moves
from smallfirst.releases.verdicts import Verdicts


@pytest.fixture
def rolled(tmp_path: Path) -> Iterator[RolledOut]:
    made = RolledOut(tmp_path)
    yield made
    made.close()


def standing(rolled: RolledOut):
    (seen,) = look(rolled.state, rolled.config).rollouts
    return seen.tasks[0]


def test_a_good_canary_goes_from_stage_to_stage_and_live(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(0.05, 1.0)
    rolled.turn()
    needed = standing(rolled).pairs_needed
    assert standing(rolled).waits_for
    rolled.pairs(needed, 0.05)
    rolled.turn()
    assert rolled.channels.canary.stage == 1
    rolled.turn()
    assert rolled.channels.canary.stage == 1  # a stage has pairs of its own
    rolled.pairs(needed, 0.05)
    rolled.turn()
    assert rolled.channels.canary is None
    assert rolled.channels.live.release == rolled.release
    assert rolled.channels.previous.release == "baseline"
    assert [kind for kind, _ in rolled.events] == ["canary-advanced", "canary-live"]
    assert look(rolled.state, rolled.config).rollouts == ()


def test_a_canary_that_disagrees_more_than_its_verdict_found_is_rolled_back(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(0.05, 1.0)
    rolled.turn()
    rolled.pairs(200, 0.40)
    rolled.turn()
    assert rolled.channels.canary is None
    assert rolled.channels.live.release == "baseline"
    ((kind, detail),) = rolled.events
    assert kind == "canary-rolled-back"
    assert detail["why"][0].startswith("triage: quality 0.")
    assert "0.100 was to be expected" in detail["why"][0]
    assert Verdicts(rolled.state).lapsed(rolled.release, rolled.verdict)  # it needs another verdict now
    last = look(rolled.state, rolled.config).last
    assert last is not None
    assert last.how == "rolled-back"


@pytest.mark.parametrize(
    ("fields", "question"),
    [
        ({"status": "error", "http_status": 502}, "errors"),
        ({"latency_ms": 9000.0}, "latency"),
        ({"cost_nusd": 5000}, "cost"),
    ],
)
def test_every_question_can_end_a_canary(rolled: RolledOut, fields: dict[str, object], question: str) -> None:
    rolled.usual()
    rolled.canary(0.05, 1.0)
    rolled.answered(60, **fields)
    rolled.turn()
    assert rolled.channels.canary is None
    ((_, detail),) = rolled.events
    assert [why.split()[1] for why in detail["why"]] == [question]
    assert not Verdicts(rolled.state).lapsed(rolled.release, rolled.verdict)  # its answers were not refuted


def test_what_the_cache_answers_for_nothing_makes_no_canary_look_dear_nor_cheap(rolled: RolledOut) -> None:
    rolled.usual(100)
    rolled.usual(1900, cache="exact", cost_nusd=0)
    rolled.canary(0.05, 1.0)
    rolled.answered(60, cost_nusd=500)  # half of what a call cost that was asked; ten times the mean of all
    rolled.turn()
    assert rolled.channels.canary is not None
    rolled.answered(600, cost_nusd=0, cache="exact")  # what the canary has kept itself hides nothing
    rolled.answered(60, cost_nusd=5000)
    rolled.turn()
    assert rolled.channels.canary is None


def test_without_a_verdict_more_than_the_margin_is_too_much(tmp_path: Path) -> None:
    rolled = RolledOut(tmp_path, bound=None)
    rolled.usual()
    rolled.canary(1.0)
    rolled.turn()
    assert {each.question: each.expected for each in standing(rolled).estimates}["quality"] == 0.05
    rolled.pairs(300, 0.2)
    rolled.turn()
    assert rolled.channels.canary is None
    rolled.close()


def test_restarts_in_the_middle_change_nothing(tmp_path: Path) -> None:
    found = []
    for name, restarts in (("whole", False), ("parted", True)):
        rolled = RolledOut(tmp_path / name)
        rolled.usual()
        rolled.canary(0.05, 1.0)
        for _ in range(12):
            rolled.pairs(15, 0.08)
            rolled.turn()
            if restarts:
                rolled.restart()
        saved = read_rollout(rolled.state).canary
        assert saved is not None
        found.append(msgspec.json.encode(saved.tasks))
        rolled.close()
    assert found[0] == found[1]


def test_a_score_that_is_told_again_is_no_other_pair(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(1.0)
    (made,) = rolled.answered(1)
    rolled.notes.outcomes(rolled.scores(made, 1.0))
    rolled.turn()
    rolled.now_ms += 50
    rolled.notes.outcomes(rolled.scores(made, 0.0))
    rolled.turn()
    assert standing(rolled).pairs == 1
    quality = standing(rolled).estimates[0]
    assert (quality.observations, quality.seen) == (1, 0.0)


def test_corrected_labels_are_compared_for_both_answers_and_once(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(1.0)
    (made,) = rolled.answered(1)
    rolled.notes.outcomes(rolled.scores(made, 1.0, reference="label"))
    rolled.turn()
    by_question = {each.question: each for each in standing(rolled).estimates}
    assert (by_question["labels"].observations, by_question["labels"].seen) == (1, 0.0)
    assert by_question["quality"].observations == 0
    assert standing(rolled).pairs == 1
    (other,) = rolled.answered(1)
    rolled.notes.outcomes(rolled.scores(other, 0.0))
    rolled.turn()
    rolled.now_ms += 50
    rolled.notes.outcomes(
        rolled.scores(other, 1.0, reference="label")
    )  # a label that comes late: the frontier was wrong
    rolled.turn()
    by_question = {each.question: each for each in standing(rolled).estimates}
    assert (by_question["labels"].observations, by_question["quality"].observations) == (2, 1)
    assert standing(rolled).pairs == 2  # the label makes no third


def test_what_is_not_of_this_canary_is_not_counted(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(1.0)
    rolled.turn()
    (live,) = rolled.answered(1, channel="live")
    rolled.notes.outcomes(rolled.scores(live, 0.0, channel="live", source="explore"))
    (mine,) = rolled.answered(1)
    rolled.notes.outcome(mine.id, "score", 0.0, source="me")  # a client's own score
    (other,) = rolled.answered(1, status="cancelled")
    rolled.notes.outcome(other.id, "score", {"score": 0.0, "model": "small"}, source="explore")  # not ours
    rolled.turn()
    assert (standing(rolled).pairs, standing(rolled).calls) == (0, 1)


def test_the_lease_is_renewed_and_not_too_often(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(0.05, 1.0)
    ends = []
    for _ in range(40):
        rolled.turn()
        ends.append(rolled.channels.canary.lease_until_ms)
        assert ends[-1] > rolled.now_ms
    assert len(set(ends)) <= 40 / (limits.CANARY_LEASE_S / 3) + 1


def test_what_somebody_else_ended_stays_ended(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(0.05, 1.0)
    rolled.turn()
    rolled.change(lambda channels: moves.rolled_back(channels, now_ms=rolled.now_ms))
    rolled.pairs(200, 0.4)
    rolled.turn()
    assert rolled.channels.canary is None
    assert [kind for kind, _ in rolled.events] == ["canary-withdrawn"]
    rolled.canary(0.1, 1.0)  # the same release again is another canary: nothing of the first counts
    rolled.turn()
    assert standing(rolled).pairs == 0


def test_a_controller_that_died_after_it_rolled_back_says_so_when_it_is_back(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(0.05, 1.0)
    rolled.turn()
    rolled.pairs(200, 0.40)
    rolled.keeper._roll_back = lambda watched: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        rolled.turn()
    began_ms = rolled.channels.canary.began_ms
    rolled.change(lambda channels: moves.without_canary(channels, began_ms, now_ms=rolled.now_ms))
    rolled.restart()
    rolled.turn()
    assert [kind for kind, _ in rolled.events] == ["canary-rolled-back"]
    assert Verdicts(rolled.state).lapsed(rolled.release, rolled.verdict)


def test_it_waits_for_something_to_compare_with_and_then_counts_from_the_beginning(rolled: RolledOut) -> None:
    rolled.canary(0.5, 1.0)
    rolled.answered(30)
    rolled.turn()
    assert "calls of what is live, to compare with" in standing(rolled).waits_for
    assert standing(rolled).calls == 0
    rolled.usual()
    rolled.turn()
    assert standing(rolled).calls == 30


def test_a_candidate_that_asks_the_frontier_alone_needs_calls_and_no_pairs(rolled: RolledOut) -> None:
    rolled.usual()
    rolled.canary(1.0)
    rolled.answered(120, rung=1)
    rolled.turn()
    assert rolled.channels.live.release == rolled.release


def test_a_shadow_is_reported_and_ends_by_itself(rolled: RolledOut) -> None:
    rolled.shadow()
    rolled.turn()
    needed = standing(rolled).pairs_needed
    rolled.pairs(needed, 0.05, channel="shadow", source="shadow")
    rolled.turn()
    assert rolled.channels.shadow is None
    assert rolled.channels.live.release == "baseline"
    assert [kind for kind, _ in rolled.events] == ["shadow-passed"]
    rolled.shadow()
    rolled.turn()
    rolled.pairs(200, 0.4, channel="shadow", source="shadow")
    rolled.turn()
    assert rolled.events[-1][0] == "shadow-failed"


def test_a_damaged_file_is_not_taken_for_a_fresh_start(rolled: RolledOut) -> None:
    (rolled.state / "rollout.json").write_bytes(b'{"canary": 5}')
    with pytest.raises(StateError, match="delete it, and the watch over a canary begins anew"):
        rolled.restart()


# The process.

TOML = """
[storage]
path = "state"

[providers.p]
base_url = "http://127.0.0.1:1/v1"

[models.small]
provider = "p"

[models.large]
provider = "p"

[tasks.triage]
contract = { type = "label", labels = ["a", "b"] }
ladder = ["small", "large"]
margin = 0.05
rollout = { pairs = 1.0 }
"""


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    path = tmp_path / "smallfirst.toml"
    path.write_text(TOML, "utf-8")
    return path


def test_a_turn_that_fails_renews_no_lease_and_the_next_one_does(config_path: Path, tmp_path: Path) -> None:
    rolled = RolledOut(tmp_path / "state")
    rolled.usual()
    rolled.canary(0.05, 1.0)
    controller = Controller(config_path, rolled.state)
    good = (rolled.state / "channels.json").read_bytes()
    (rolled.state / "channels.json").write_bytes(b"{")
    assert not controller.turn()
    (rolled.state / "channels.json").write_bytes(good)
    assert controller.turn()
    controller.close()
    rolled.close()


def test_an_event_is_told_once(config_path: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    Notes(tmp_path / "state").close()
    controller = Controller(config_path, tmp_path / "state")
    for _ in range(3):
        controller._tell("canary-live", {"release": "r", "began_ms": 1})
    controller.close()
    with Ledger.read(tmp_path / "state") as ledger:
        assert len(ledger.queries.events(kind="canary-live")) == 1


def test_two_controllers_are_one_too_many(
    config_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    from smallfirst.gate import controller

    monkeypatch.setattr(controller.signal, "signal", lambda *_: None)
    monkeypatch.setattr(controller, "_stop_with_parent", lambda stopped: None)
    with controller._alone(state):
        assert main(["--config", str(config_path), "--state", str(state)]) == 1
    assert "another controller watches" in capsys.readouterr().err


def test_an_edited_configuration_is_taken_up_and_a_wrong_one_is_not(
    config_path: Path, tmp_path: Path
) -> None:
    Notes(tmp_path / "state").close()
    controller = Controller(config_path, tmp_path / "state")
    config_path.write_text(TOML.replace("margin = 0.05", "margin = 0.01"), "utf-8")
    assert controller.turn()
    assert controller.keeper.config.tasks["triage"].margin == 0.01
    config_path.write_text("[tasks", "utf-8")
    assert controller.turn()
    assert controller.watcher.config.tasks["triage"].margin == 0.01
    controller.close()


def test_the_configuration_of_these_tests_is_that_of_the_other_ones(config_path: Path) -> None:
    from smallfirst.config import load

    assert load(config_path).tasks == CONFIG.tasks
