"""The controller's process: there while it is wanted, started again when it dies, gone with its gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from smallfirst.gateway.supervisor import Supervisor

CHILD = """
import sys
print(" ".join(sys.argv[1:]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that does nothing until its stdin closes."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "idle_controller.py").write_text(CHILD)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "idle_controller"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_lives_while_it_is_wanted(tmp_path: Path, module: str) -> None:
    wanted = False
    supervisor = Supervisor(tmp_path / "c.toml", tmp_path, lambda: wanted, module=module)
    supervisor.start()
    try:
        await asyncio.sleep(0.3)
        assert supervisor.pid is None
        wanted = True
        await until(lambda: supervisor.pid is not None)
        pid = supervisor.pid
        assert pid is not None
        log = tmp_path / "controller.log"
        await until(lambda: "--state" in log.read_text())
        assert log.read_text().split() == ["--state", str(tmp_path), "--config", str(tmp_path / "c.toml")]
        assert log.stat().st_mode & 0o777 == 0o600
        wanted = False
        await until(lambda: supervisor.pid is None and not alive(pid))
        assert supervisor.restarts == 0
    finally:
        await supervisor.stop()


async def test_one_that_dies_is_started_again_and_ends_with_its_gateway(tmp_path: Path, module: str) -> None:
    supervisor = Supervisor(tmp_path / "c.toml", tmp_path, lambda: True, module=module)
    supervisor.start()
    await until(lambda: supervisor.pid is not None)
    first = supervisor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.pid not in (None, first))
    second = supervisor.pid
    assert second is not None
    await supervisor.stop()
    assert not alive(second)
    assert supervisor.pid is None


async def test_none_is_started_where_it_is_switched_off(tmp_path: Path, module: str) -> None:
    supervisor = Supervisor(tmp_path / "c.toml", tmp_path, lambda: True, module=module, enabled=False)
    supervisor.start()
    await asyncio.sleep(0.05)
    assert supervisor.pid is None
    await supervisor.stop()
