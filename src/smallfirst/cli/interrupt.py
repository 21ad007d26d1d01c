"""Ctrl-C during long work: the first lets what is under way end, the second stops at once. Neither loses what was paid for."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Done = TypeVar("Done")


def run_interruptibly(work: Callable[[Callable[[], bool]], Coroutine[Any, Any, Done]]) -> Done | None:
    """Runs `work`, which is given a function that says whether it is to stop soon. None where it was stopped at once.

    SIGTERM stops it at once, as the second Ctrl-C does.
    """
    try:
        return asyncio.run(_run(work))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return None


async def _run(work: Callable[[Callable[[], bool]], Coroutine[Any, Any, Done]]) -> Done:
    asked = False
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def interrupted() -> None:
        nonlocal asked
        if asked:
            task.cancel()
            return
        asked = True
        sys.stderr.write("\nstopping once what is under way has ended; Ctrl-C again stops at once\n")

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await work(lambda: asked)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
