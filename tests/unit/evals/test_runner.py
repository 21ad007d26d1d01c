"""Examples put to arms: what is asked again, what is not, and when a run gives up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.evals import LABELS, home_for, work_for
from support.examples import nine, save
from support.scripted import ScriptedUpstream, completion

from smallfirst.config.schema import Retrieve, Rung
from smallfirst.errors import EvalError, ScorerError
from smallfirst.evals.arm import model_arm
from smallfirst.evals.runner import Options, Run
from smallfirst.evals.session import Home, evaluate
from smallfirst.evals.store import RunStore
from smallfirst.ledger import Ledger
from smallfirst.releases import LearnedHere
from smallfirst.scoring.scorer import Score

Told = tuple[int, dict[str, Any]]


def at(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].split()[-1])


def right(body: dict[str, Any]) -> Told:
    return 200, completion(LABELS[at(body) % 3])


async def ask(home: Home, folder: Path, count: int, **more: Any) -> Run:
    options = {name: more.pop(name) for name in ("options", "progress") if name in more}
    return await evaluate(work_for(home, count, **more), home, store=RunStore(folder / "run"), **options)


async def test_every_example_is_put_to_every_arm_once(tmp_path: Path) -> None:
    def sometimes(body: dict[str, Any]) -> Told:
        return right(body) if body["model"] == "big" or at(body) % 2 else (200, completion("no label"))

    steps: list[tuple[int, int, int]] = []
    with ScriptedUpstream(sometimes) as upstream:
        home = home_for(upstream.base_url, tmp_path)
        run = await ask(home, tmp_path, 10, progress=lambda *told: steps.append(told))
        assert Counter((body["model"], at(body)) for body in upstream.bodies).most_common(1)[0][1] == 1
        assert len(upstream.bodies) == 20
        again = await ask(home, tmp_path, 10)
        assert len(upstream.bodies) == 20
    assert (run.stopped, run.missing) == ("", 0)
    assert again.answers == run.answers
    assert RunStore(tmp_path / "run").finished
    assert steps[0][:2] == (0, 20)
    assert steps[-1][:2] == (20, 20)
    small, big = run.of("small"), run.of("big")
    assert [one.score for one in small if one] == [0.0, 1.0] * 5
    assert all(one.unmet for one in small[::2] if one)  # noted, and released all the same
    assert all(one and one.score == 1 and not one.unmet for one in big)
    with Ledger.read(home.state) as view:
        calls = [listed.call for listed in view.queries.calls(limit=100)]
    assert {call.id for call in calls} == {one.call for one in run.answers.values()}
    assert {(call.origin, call.task, call.decision["by"]) for call in calls} == {("eval", "triage", "eval")}


async def test_what_nobody_answered_is_asked_again_and_what_a_model_refused_is_not(tmp_path: Path) -> None:
    trouble = {1: 503, 2: 429, 3: 422}

    def troubled(body: dict[str, Any]) -> Told:
        status = trouble.get(at(body))
        return (status, {"error": {"message": "not now"}}) if status else right(body)

    with ScriptedUpstream(troubled) as upstream:
        home = home_for(upstream.base_url, tmp_path)
        run = await ask(home, tmp_path, 6, arms=["small"])
        assert (run.stopped, run.missing) == ("failures", 2)
        assert [one.failed_by for one in run.of("small") if one] == [
            "",
            "outside",
            "outside",
            "model",
            "",
            "",
        ]
        trouble.clear()
        upstream.bodies.clear()
        run = await ask(home, tmp_path, 6, arms=["small"])
        assert {at(body) for body in upstream.bodies} == {1, 2}
    assert (run.stopped, run.missing) == ("", 0)
    refused = run.of("small")[3]
    assert refused is not None
    assert (refused.score, refused.error) == (0.0, "not now")


@pytest.mark.parametrize(("status", "most"), [(401, 8), (500, 40)])
async def test_an_arm_that_only_fails_is_given_up(tmp_path: Path, status: int, most: int) -> None:
    with ScriptedUpstream(lambda body: (status, {"error": {"message": "go away"}})) as upstream:
        home = home_for(upstream.base_url, tmp_path)
        with pytest.raises(EvalError, match=r"small.*(go away|cannot be asked)"):
            await ask(home, tmp_path, 100, arms=["small"], options=Options(patience_s=0.1))
        assert len(upstream.bodies) <= most


async def test_a_model_is_asked_no_more_at_once_than_it_may(tmp_path: Path) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def slow(body: dict[str, Any]) -> Told:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return right(body)

    with ScriptedUpstream(slow) as upstream:
        home = home_for(upstream.base_url, tmp_path)
        await ask(home, tmp_path, 12, arms=["small"], options=Options(concurrency=3))
    assert 1 < most <= 3


class Fails:
    """A scorer that fails on one example, as long as it is told to."""

    id = "fails@1"
    failing = True

    async def score(self, output: str, reference: Any, *, messages: Any = ()) -> Score:
        if self.failing and messages[-1]["content"].endswith(" 2"):
            raise ScorerError("the judge does not answer")
        return Score(float(output == reference))

    def summary(self, outputs: Any, references: Any) -> dict[str, float]:
        return {}


async def test_what_could_not_be_scored_is_scored_later_and_not_asked_again(tmp_path: Path) -> None:
    scorer = Fails()
    with ScriptedUpstream(right) as upstream:
        home = home_for(upstream.base_url, tmp_path)
        run = await ask(home, tmp_path, 5, arms=["small"], scorer=scorer)
        assert (run.stopped, run.missing) == ("failures", 1)
        unscored = run.of("small")[2]
        assert unscored is not None
        assert (unscored.score, unscored.note) == (None, "the judge does not answer")
        scorer.failing = False
        run = await ask(home, tmp_path, 5, arms=["small"], scorer=scorer)
        assert len(upstream.bodies) == 5
    assert run.missing == 0
    assert [one.score for one in run.of("small") if one] == [1.0] * 5


@pytest.mark.parametrize("after", [0, 3])
async def test_a_run_that_is_told_to_stop_keeps_what_was_under_way(tmp_path: Path, after: int) -> None:
    with ScriptedUpstream(right) as upstream:
        home = home_for(upstream.base_url, tmp_path)
        stop: Callable[[], bool] = lambda: len(upstream.bodies) >= after  # noqa: E731
        run = await ask(home, tmp_path, 20, arms=["small"], options=Options(concurrency=1, stop=stop))
        assert run.stopped == "interrupted"
        assert len(run.answers) == len(upstream.bodies) == after
    assert not RunStore(tmp_path / "run").finished


async def test_two_examples_of_one_name_are_refused(tmp_path: Path) -> None:
    home = home_for("http://127.0.0.1:9", tmp_path)
    work = work_for(home, 2)
    work.examples[1] = work.examples[0]  # pyright: ignore[reportIndexIssue]
    with pytest.raises(EvalError, match="two examples are called 'e-0'"):
        await evaluate(work, home, store=RunStore(tmp_path / "run"))


async def test_an_example_of_the_train_part_is_not_shown_itself(tmp_path: Path) -> None:
    """Else it would be told its own answer, and a router fitted on such outcomes would trust the model far too much."""
    examples = nine()

    def told(body: dict[str, Any]) -> Told:
        *shots, asked = body["messages"]
        assert asked["content"] not in [shot["content"] for shot in shots]
        return 200, completion(shots[-1]["content"])

    with ScriptedUpstream(told) as upstream:
        home = home_for(upstream.base_url, tmp_path)
        save(home.state, examples)
        rung = Rung(model="small", retrieve=Retrieve(k=1))
        task = msgspec.structs.replace(home.config.tasks["triage"], ladder=(rung, "big"))
        home = Home(msgspec.structs.replace(home.config, tasks={"triage": task}), home.state, tmp_path, {})
        arm = model_arm("small", "triage", home.config, LearnedHere(home.state))
        work = msgspec.structs.replace(work_for(home, 1, arms=["big"]), arms=[arm], examples=examples)
        found = await evaluate(work, home, store=RunStore(tmp_path / "run"))
    answers = [one for one in found.of("small") if one is not None]
    assert [len(one.decision["shots"]["0"]["shown"]) for one in answers] == [1] * 9
    assert all(one.example not in dict(one.decision["shots"]["0"]["shown"]) for one in answers)
