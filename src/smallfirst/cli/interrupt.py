"""Ctrl-C during long work: the first lets what is under way end, the second stops at once. Neither loses what was paid for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

Done = TypeVar("Done")
_TOLD = "\nstopping once what is under way has ended; Ctrl-C again stops at once\n"


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
        sys.stderr.write(_TOLD)

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await work(lambda: asked)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def interruptible(*, terminate: bool = False) -> Iterator[Callable[[], None]]:
    """For long work without an event loop: a function to be called between its steps, which raises `KeyboardInterrupt` after a Ctrl-C; a second
    Ctrl-C ends the process. By itself Python raises it anywhere, also in libraries that make another error of it. `terminate`: SIGTERM too.
    """
    asked = False
    signals = (signal.SIGINT, signal.SIGTERM) if terminate else (signal.SIGINT,)

    def interrupted(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, signal.SIG_DFL)
        sys.stderr.write(_TOLD)

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupted) for number in signals}
    try:
        yield stop_if_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
