"""What the cache outlives, and what it does not: restarts, kill -9, damage, a full disk, releases."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cached import CACHED_ENVIRON, CACHED_TASKS, Asker, fresh
from support.gateway import CONFIG, GatewayProcess
from support.simulator import SimulatorProcess


@pytest.fixture
def gateway(upstream: SimulatorProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway of the test's own, started; it may be killed and started again."""
    config = CONFIG.format(sim=upstream.base_url) + CACHED_TASKS
    with GatewayProcess(tmp_path, config, environ=CACHED_ENVIRON) as process:
        yield process


def start_again(gateway: GatewayProcess, upstream: SimulatorProcess) -> Asker:
    gateway.start()
    return Asker(gateway, upstream)


def kept(gateway: GatewayProcess) -> int:
    """How many answers the file holds."""
    with sqlite3.connect(f"file:{gateway.state / 'cache.sqlite'}?mode=ro", uri=True) as conn:
        return conn.execute("SELECT count(*) FROM entries").fetchone()[0]


def wait_until_kept(gateway: GatewayProcess, count: int) -> None:
    for _ in range(500):
        if kept(gateway) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{kept(gateway)} answers are kept, not {count}")


def test_answers_outlive_kill_9_and_a_restart_and_nobody_else_can_read_them(
    gateway: GatewayProcess, upstream: SimulatorProcess
) -> None:
    asker, question = Asker(gateway, upstream), fresh()
    said = asker.ask("ask", question).text
    wait_until_kept(gateway, 1)
    gateway.kill()
    for path in gateway.state.glob("cache.sqlite*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = start_again(gateway, upstream).ask("ask", question)
    assert (again.cache, again.text) == ("hit", said)


def test_a_cache_that_is_deleted_or_damaged_is_begun_anew(
    gateway: GatewayProcess, upstream: SimulatorProcess
) -> None:
    asker, question = Asker(gateway, upstream), fresh()
    asker.ask("ask", question)
    wait_until_kept(gateway, 1)
    gateway.stop()
    for path in gateway.state.glob("cache.sqlite*"):
        path.unlink()
    asker = start_again(gateway, upstream)
    assert [asker.ask("ask", question).cache for _ in range(2)] == ["miss", "hit"]
    wait_until_kept(gateway, 1)
    gateway.kill()
    for path in gateway.state.glob("cache.sqlite*"):
        path.write_bytes(os.urandom(8192))
    asker = start_again(gateway, upstream)
    assert [asker.ask("ask", question).cache for _ in range(2)] == ["miss", "hit"]


def test_a_cache_that_is_damaged_under_a_gateway_costs_hits_and_no_call(
    gateway: GatewayProcess, upstream: SimulatorProcess
) -> None:
    asker = Asker(gateway, upstream)
    questions = [fresh() for _ in range(5)]
    for question in questions:
        asker.ask("ask", question)
    wait_until_kept(gateway, 5)
    for path in gateway.state.glob("cache.sqlite*"):
        path.write_bytes(os.urandom(path.stat().st_size))
    assert all(asker.ask("ask", question).text for question in questions * 2)
    assert asker.ask("ask", fresh()).text


def test_another_policy_never_gives_what_the_one_before_it_kept_and_that_of_another_task_empties_nothing(
    gateway: GatewayProcess, upstream: SimulatorProcess
) -> None:
    asker, question = Asker(gateway, upstream), fresh()
    for task in ("ask", "claude"):
        asker.ask(task, question)
    wait_until_kept(gateway, 2)
    gateway.stop()
    config = gateway.path.read_text("utf-8")
    before, table, after = config.partition("[tasks.ask]\n")
    gateway.path.write_text(before + table + 'instructions = "Answer in verse."\n' + after, "utf-8")
    asker = start_again(gateway, upstream)
    assert asker.ask("claude", question).cache == "hit"
    assert asker.ask("ask", question).cache == "miss"
    gateway.stop()
    gateway.path.write_text(config, "utf-8")
    assert start_again(gateway, upstream).ask("ask", question).cache == "hit"


def test_the_baseline_has_no_cache(upstream: SimulatorProcess, tmp_path: Path) -> None:
    config = CONFIG.format(sim=upstream.base_url) + CACHED_TASKS
    with GatewayProcess(tmp_path, config, environ=CACHED_ENVIRON, unproven=False) as gateway:
        asker, question = Asker(gateway, upstream), fresh()
        assert [asker.ask("ask", question).cache for _ in range(2)] == ["bypass", "bypass"]
        assert not (gateway.state / "cache.sqlite").exists()


def test_a_call_that_is_explored_is_answered_from_the_cache_and_asked_of_all_models_all_the_same(
    upstream: SimulatorProcess, tmp_path: Path
) -> None:
    config = CONFIG.format(sim=upstream.base_url) + CACHED_TASKS
    config = config.replace("[tasks.label]\n", "[tasks.label]\nrollout = { explore = 1 }\n")
    with GatewayProcess(tmp_path, config, environ=CACHED_ENVIRON) as gateway:
        asker, question = Asker(gateway, upstream), fresh()
        upstream.fault(answer="billing")
        asker.ask("label", question)
        upstream.wait_until(lambda state: len(state["requests"]) == 2)  # mini, and explored: the frontier
        hit = asker.ask("label", question)
        assert hit.cache == "hit"
        upstream.wait_until(lambda state: len(state["requests"]) == 4)  # explored: mini and the frontier
        assert gateway.call(hit.headers["x-smallfirst-call"])["decision"]["explore"]["p"] == 1
