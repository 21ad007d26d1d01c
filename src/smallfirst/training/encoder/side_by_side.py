"""Parts in processes of their own, as many at once as there are cores: two threads in one part are slower than two parts with a thread each."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from smallfirst.errors import SmallfirstError, TrainingError
from smallfirst.training.encoder.part import Given, Material, work

_POLL_S = 1.0
_TOLD_STEPS = 4  # one message for so many
_SMALL_STEPS = 200  # fewer are done before a process has begun

Stepped = Callable[[int], None]
Finished = Callable[[int, Given], None]


def run(material: Material, parts: Sequence[int], stepped: Stepped, finished: Finished) -> None:
    """Trains these parts. `stepped` is told how many more steps were made, `finished` each part's number and what it gave.

    An interrupt ends all of them. Raises what a part raised, or `TrainingError` where one was killed.
    """
    cores = _cores()
    at_once = min(len(parts), cores)
    if at_once < 2 or sum(material.steps(part) for part in parts) < _SMALL_STEPS or _on_gpu():
        for part in parts:
            finished(part, _right(_given(material, part, lambda: stepped(1))))
        return
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    waiting = list(parts)
    working: dict[int, BaseProcess] = {}
    threads = max(1, cores // at_once)
    try:
        while waiting or working:
            while waiting and len(working) < at_once:
                part = waiting.pop(0)
                working[part] = context.Process(
                    target=_child, args=(material, part, threads, told), daemon=True
                )
                working[part].start()
            part, given = _next(told, working)
            if isinstance(given, int):
                stepped(given)
                continue
            finished(part, _right(given))
            working.pop(part).join()
    finally:
        for process in working.values():
            process.terminate()
        for process in working.values():
            process.join()


def _next(told: Any, working: dict[int, BaseProcess]) -> tuple[int, Any]:
    """What the next process says. Raises `TrainingError` where one has ended without a word: the kernel does so where memory runs out."""
    while True:
        dead = [process for process in working.values() if not process.is_alive()]
        try:
            return told.get(timeout=_POLL_S)
        except queue.Empty:
            if dead:
                raise TrainingError(
                    f"the process that trains an encoder was ended from outside (status {dead[0].exitcode}): is there memory enough? "
                    "Each takes about 1.5 GB"
                ) from None


def _child(material: Material, part: int, threads: int, told: Any) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group: the parent ends this process
    import torch

    torch.set_num_threads(threads)
    parent, steps = os.getppid(), 0

    def stepped() -> None:
        nonlocal steps
        steps += 1
        if os.getppid() != parent:  # it was killed: nobody waits for this
            os._exit(1)
        if steps % _TOLD_STEPS == 0:
            told.put((part, _TOLD_STEPS))

    told.put((part, _given(material, part, stepped)))


def _given(material: Material, part: int, stepped: Callable[[], None]) -> Given | SmallfirstError | str:
    """What the part gives, or what is wrong."""
    try:
        return work(material, part, stepped)
    except SmallfirstError as error:
        return error
    except (
        RuntimeError,
        LookupError,
        ValueError,
        OSError,
        MemoryError,
    ) as error:  # torch's own are RuntimeErrors
        return f"{type(error).__name__}: {error}"


def _right(given: Given | SmallfirstError | str) -> Given:
    if isinstance(given, SmallfirstError):
        raise given
    if isinstance(given, str):
        raise TrainingError(f"an encoder could not be trained: {given}")
    return given


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    told = getattr(os, "sched_getaffinity", None)
    return len(told(0)) if told else os.cpu_count() or 1


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
