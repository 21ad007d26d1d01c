"""A model is asked once about each call: what it has said outlives a failure, a kill and another fit."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.scripted import ScriptedUpstream, completion

from smallfirst.classify.prompt import Prompt
from smallfirst.config.schema import Config, Model, Provider
from smallfirst.errors import ConfigError
from smallfirst.training.ratings import Rater

PROMPTS = [Prompt(question=f"question {at}") for at in range(40)]


class Upstream:
    """Says 3, to the first `healthy` requests; then it refuses with `status`."""

    def __init__(self, *, healthy: int = 10**6, status: int = 401) -> None:
        self.healthy = healthy
        self._status = status
        self._lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> tuple[int, Mapping[str, Any]]:
        with self._lock:
            self.healthy -= 1
            if self.healthy < 0:
                return self._status, {"error": {"message": "no more"}}
        text = body["messages"][0]["content"]
        return 200, completion("none" if "question 7\n" in text else "3")


def rater(url: str, state: Path, *, concurrency: int = 4, upstream_id: str = "judge-1") -> Rater:
    config = Config(
        providers={"p": Provider(base_url=f"{url}/v1")}, models={"judge": Model(provider="p", id=upstream_id)}
    )
    return Rater(config, "judge", state=state, base=state, environ={}, concurrency=concurrency)


def quiet(step: str, done: int, total: int) -> None:
    """Nobody watches."""


def test_answers_are_in_the_order_of_the_calls_and_none_is_asked_twice(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with ScriptedUpstream(Upstream()) as upstream:
        found = rater(upstream.base_url, tmp_path)
        rated = found.rate([*PROMPTS, *PROMPTS], lambda *step: told.append(step))
        assert [one.rating for one in rated] == [None if at % 40 == 7 else 3.0 for at in range(80)]
        assert len(upstream.bodies) == 40
        rater(upstream.base_url, tmp_path).rate(PROMPTS, quiet)
        assert len(upstream.bodies) == 40
        rater(upstream.base_url, tmp_path, upstream_id="judge-2").rate(PROMPTS[:1], quiet)
        assert len(upstream.bodies) == 41  # another model has said nothing yet
    assert told[0] == ("asking", 0, 40)
    assert told[-1] == ("asking", 40, 40)
    assert all(one.latency_ms > 0 for one in rated)
    assert all(one.cost_nusd is None for one in rated)  # no price is known


def test_what_was_said_before_a_failure_is_kept(tmp_path: Path) -> None:
    script = Upstream(healthy=15)
    with ScriptedUpstream(script) as upstream:
        with pytest.raises(ConfigError, match="no more; what it has said is kept"):
            rater(upstream.base_url, tmp_path, concurrency=1).rate(PROMPTS, quiet)
        script.healthy = 100
        asked = len(upstream.bodies)
        rated = rater(upstream.base_url, tmp_path).rate(PROMPTS, quiet)
        assert len(upstream.bodies) == asked + 25
    assert sum(one.rating is not None for one in rated) == 39


def test_a_line_that_was_cut_short_is_asked_again(tmp_path: Path) -> None:
    with ScriptedUpstream(Upstream()) as upstream:
        rater(upstream.base_url, tmp_path, concurrency=1).rate(PROMPTS[:3], quiet)
        (path,) = (tmp_path / "ratings").iterdir()
        path.write_bytes(path.read_bytes()[:-20])
        assert len(rater(upstream.base_url, tmp_path).rate(PROMPTS[:3], quiet)) == 3
        assert len(upstream.bodies) == 4
        rater(upstream.base_url, tmp_path).rate(PROMPTS[:3], quiet)
        assert len(upstream.bodies) == 4
        assert b"question" not in path.read_bytes()  # nothing of the texts is kept


def test_a_text_that_is_refused_has_no_rating(tmp_path: Path) -> None:
    with ScriptedUpstream(Upstream(healthy=2, status=400)) as upstream:
        rated = rater(upstream.base_url, tmp_path, concurrency=1).rate(PROMPTS[:3], quiet)
    assert [one.rating for one in rated] == [3.0, 3.0, None]


def test_a_model_that_is_not_configured(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'judge' is not in \[models\]"):
        Rater(Config(), "judge", state=tmp_path, base=tmp_path, environ={}, concurrency=1)
