"""The process of one embedded model: llama.cpp's own OpenAI server and, before it, `llamacpp_front`.

Started by `llamacpp.EmbeddedServer`. Its settings and its key are the first line of standard input, where no
other user can read them. It says where it listens with one line of JSON on standard output, and ends when
standard input does: with whoever started it, however that ended. Everything that llama.cpp prints goes to
standard error, which is the model's log.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any, NoReturn

import msgspec

from smallfirst import limits
from smallfirst.models.llamacpp_front import Front, listening
from smallfirst.models.llamacpp_served import Served

_PR_SET_PDEATHSIG = 1  # prctl(2)
_ERRORS_AND_WARNINGS = 2  # llama.cpp's log level: a line for every request would only fill the log
_LOG_LOOKED_AT_EVERY_S = 5.0

# What is read between two looks at whether the client is still there: half a second of prompt on a slow core.
# It also lets the other slots
# go on writing while one reads a long prompt.
_BATCH_TOKENS = 64

# What standard input says to a server that is to end once it has answered what it was asked.
FINISH = b"finish\n"
_FINISHED_AFTER_S = 1.0  # without a request: one may be on its way still
_FINISHED_LOOKED_AT_EVERY_S = 0.05

# To be set before the library is loaded: threads that wait must sleep. On a busy two-core machine two that
# spin make a tenth of the tokens.
QUIET_THREADS = {"GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "passive"}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is told. `context_tokens` are those of each slot.

    `name` is what the weights are asked for by; `adapters` are LoRA weights over them, each the name that it is asked for by and its GGUF file.
    """

    weights: str
    name: str
    context_tokens: int = 2048
    slots: int = 2
    threads: int = 1
    adapters: tuple[tuple[str, str], ...] = ()


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of standard input."""

    settings: Settings
    key: str
    log: str  # the file that standard error is appended to
    parent_pid: int


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one line of standard output: where it listens, or why it does not."""

    listening: str = ""
    error: str = ""


def main() -> None:
    """Serves until standard input ends."""
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=Start)
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints must not be taken for what we say
    wanted = threading.Event()  # that it ends when it has answered
    _end_with(start.parent_pid, wanted)
    if hasattr(os, "nice"):
        os.nice(5)  # the gateway answers first
    key = secrets.token_urlsafe(24)
    try:
        engine = _engine(start.settings, key)
    except ImportError as error:
        _give_up(said, f"its engine cannot be loaded ({error}): pip install 'smallfirst[embedded]'")
    except RuntimeError:  # says only that it failed; the log says why
        _give_up(said, f"llama.cpp cannot load {_files(start.settings)}")
    asyncio.run(_serve(_front(engine, key, start), said, start.log, wanted))
    os._exit(0)  # llama.cpp's threads have nothing left to say


def _front(engine: Any, key: str, start: Start) -> Front:
    settings = start.settings
    served = Served(settings.name, tuple(name for name, _ in settings.adapters))
    return Front(engine.listening_address, engine_key=key, key=start.key, slots=settings.slots, served=served)


async def _serve(front: Front, said: IO[bytes], log: str, wanted: threading.Event) -> None:
    """Says where it listens, and returns when it is `wanted` that it ends and everything is answered."""
    async with listening(front) as url:
        said.write(msgspec.json.encode(Said(listening=url)) + b"\n")
        said.close()
        finishing = asyncio.create_task(_finish(front, wanted))
        while not finishing.done():
            keep_short(Path(log), limits.EMBEDDED_LOG_BYTES, kept_bytes=limits.EMBEDDED_LOG_KEPT_BYTES)
            await asyncio.wait([finishing], timeout=_LOG_LOOKED_AT_EVERY_S)


async def _finish(front: Front, wanted: threading.Event) -> None:
    """Returns when it is wanted that the server ends, and nobody has asked anything for a moment."""
    idle_s = 0.0
    while idle_s < _FINISHED_AFTER_S:
        await asyncio.sleep(_FINISHED_LOOKED_AT_EVERY_S)
        idle_s = idle_s + _FINISHED_LOOKED_AT_EVERY_S if wanted.is_set() and front.idle else 0.0


def _give_up(said: IO[bytes], why: str) -> NoReturn:
    said.write(msgspec.json.encode(Said(error=why)) + b"\n")
    said.close()
    sys.exit(
        1
    )  # and not at once: llama.cpp writes its log from a thread, which still has the reason to write


def _engine(settings: Settings, key: str) -> Any:
    """llama.cpp's server, loaded and listening. Raises `RuntimeError` where it cannot load the weights; why
    is in the log.
    """
    import xllamacpp

    llama: Any = xllamacpp  # compiled, without type stubs

    params = llama.CommonParams()
    params.model.path = settings.weights
    params.model_alias = {settings.name}
    params.n_ctx = settings.context_tokens * settings.slots
    params.n_parallel = settings.slots
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.cache_ram_mib = limits.EMBEDDED_PROMPT_CACHE_MIB  # llama.cpp's own default is 8 GiB
    params.fit_params = False  # the context is what was asked for, or an error
    # Mapped, so that a restart finds the weights in the page cache.
    params.load_mode = llama.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_threads_http = settings.slots * (1 + limits.EMBEDDED_WAITING_PER_SLOT) + 2
    params.api_keys = [key]
    params.cors_origins = "http://127.0.0.1"  # llama.cpp's own default is any; a browser has no business here
    params.cors_credentials = False
    params.endpoint_metrics = True
    params.ui = False
    params.offline = True
    params.verbosity = _ERRORS_AND_WARNINGS
    if settings.adapters:
        params.lora_adapters = [llama.CommonAdapterLoraInfo(path, 0.0) for _, path in settings.adapters]
        params.lora_init_without_apply = True  # each request names its own
        # llama.cpp finds an idle prompt by its tokens alone: what one adapter has read, another must not go on from.
        params.cache_ram_mib = 0
        params.cache_idle_slots = False
    return llama.Server(params)


def _files(settings: Settings) -> str:
    """What was to be loaded: the weights, and the adapters over them."""
    adapters = "".join(f", or {path} over it" for _, path in settings.adapters)
    return settings.weights + adapters


def _end_with(parent_pid: int, finish: threading.Event) -> None:
    """Ends this process when its parent (on Linux: the thread that started it) ends, or the pipe closes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if hasattr(os, "getppid") and os.getppid() != parent_pid:
        os._exit(0)  # it ended before we asked to be told
    threading.Thread(target=_wait_for_end, args=(finish,), name="parent", daemon=True).start()


def _wait_for_end(finish: threading.Event) -> None:
    while os.read(0, 4096):  # it says one thing only
        finish.set()
    os._exit(0)  # an answer under way is of no use to anybody


def keep_short(log: Path, most_bytes: int, *, kept_bytes: int) -> None:
    """Cuts a log that others append to down to its last lines, once it is longer than `most_bytes`.

    What is written at that very moment may be lost.
    """
    try:
        if log.stat().st_size <= most_bytes:
            return
        with log.open("r+b") as file:
            file.seek(-kept_bytes, os.SEEK_END)
            tail = file.read()
            file.seek(0)
            file.truncate()
            file.write(tail[tail.find(b"\n") + 1 :])
    except OSError:  # moved away, or a full disk: the model answers all the same
        return


if __name__ == "__main__":
    main()
