"""The rollout's controller, a process of its own: `python -m smallfirst.gate.controller --config FILE --state DIR`.

`serve` starts it and starts it again when it dies. It reads the ledger, which a running gateway writes within a second, keeps what it counted in
`STATE/rollout.json`, `STATE/outlook.json` and `STATE/cache/`, and changes `STATE/channels.json`. It renews a lease, a canary's or that of what was
proven of the cache, only where a whole look went well, so whatever goes wrong with it, they end by themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smallfirst.config import load
from smallfirst.config.schema import Config
from smallfirst.errors import ConfigError, SmallfirstError, StateError
from smallfirst.gate.controller_cache import CacheKeeper
from smallfirst.gate.controller_canary import Keeper
from smallfirst.gate.controller_probes import Prober
from smallfirst.gate.outlook import Watcher
from smallfirst.ledger import Ledger, LedgerView
from smallfirst.ledger.notes import Notes

_log = logging.getLogger("smallfirst.controller")
TURN_EVERY_S = 1.0
OUTLOOK_EVERY_S = 5.0
_CACHE_TURNS = 2  # in each: hits that it does not know of yet take up room
_LOCK = "controller.lock"


class Controller:
    """The loop. `turn` is one round of it: what a round could not do is logged, and tried again in the next."""

    def __init__(self, path: Path, state: Path) -> None:
        self._path, self._state = path, state
        self._stamp = path.stat().st_mtime_ns
        self._config = load(path)
        self._notes: Notes | None = None
        self._ledger: LedgerView | None = None
        self._looked_s = -OUTLOOK_EVERY_S
        self._said = self._said_of_cache = ""
        self.keeper = Keeper(state, self._config, self._tell)
        self.watcher = Watcher(state, self._config, self._tell)
        self.prober = Prober(state, path.parent, self._config, self._tell)
        self.cache = CacheKeeper(state, self._config, self._tell)

    def turn(self) -> bool:
        """One look at everything; whether it went well."""
        try:
            self._follow_config()
            ledger = self._opened()
            self.keeper.turn(ledger)
            if time.monotonic() - self._looked_s >= OUTLOOK_EVERY_S:
                self._looked_s = time.monotonic()
                self.watcher.turn(ledger)
            self.prober.turn()
        except (SmallfirstError, OSError) as error:
            if str(error) != self._said:  # once is enough
                _log.warning("this turn failed, and no lease was renewed in it: %s", error)
                self._said = str(error)
            self.close()
            return False
        self._said = ""
        return True

    def turn_cache(self) -> bool:
        """One look at what the cache has earned, by itself: what is wrong with it costs hits, and no canary its lease."""
        try:
            self.cache.turn()
        except (SmallfirstError, OSError) as error:
            if str(error) != self._said_of_cache:
                _log.warning("nothing was proven of semantic hits in this turn: %s", error)
                self._said_of_cache = str(error)
            return False
        self._said_of_cache = ""
        return True

    def close(self) -> None:
        """Lets go of the ledger; the next turn opens it again."""
        if self._ledger is not None:
            self._ledger.close()
        if self._notes is not None:
            self._notes.close()
        self._ledger = self._notes = None

    def _opened(self) -> LedgerView:
        if self._ledger is None:
            self._ledger = Ledger.read(self._state)
        return self._ledger

    def _tell(self, kind: str, detail: dict[str, Any]) -> None:
        """Notes an event, once: a controller that died between this and its next step tells it again."""
        if any(event.detail == detail for event in self._opened().queries.events(kind=kind, limit=20)):
            return
        if self._notes is None:
            self._notes = Notes(self._state)
        self._notes.event(kind, detail)
        _log.info("%s: %s", kind, detail)

    def _follow_config(self) -> None:
        """Takes up an edited configuration; one that is wrong is left alone, as the gateway does."""
        stamp = self._path.stat().st_mtime_ns
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._config: Config = load(self._path)
        except ConfigError as error:
            _log.warning("the configuration was edited and is wrong; the one before stays: %s", error)
            return
        self.keeper.config = self.watcher.config = self.prober.config = self.cache.config = self._config


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM, or until the gateway that started it is gone."""
    parser = argparse.ArgumentParser(prog="python -m smallfirst.gate.controller", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    _stop_with_parent(stopped)
    try:
        with _alone(parsed.state):
            controller = Controller(parsed.config, parsed.state)
            while not stopped.is_set():
                controller.turn()
                for _ in range(_CACHE_TURNS):
                    controller.turn_cache()
                    stopped.wait(TURN_EVERY_S / _CACHE_TURNS)
            controller.close()
            controller.cache.close()
    except SmallfirstError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Two controllers would count everything twice. The kernel lets go of the lock when its process dies."""
    descriptor = os.open(state / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StateError(f"another controller watches {state}; one is enough") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _stop_with_parent(stopped: threading.Event) -> None:
    """Where a gateway holds the other end of stdin, its end is ours, however it died."""
    if not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        stopped.set()

    threading.Thread(target=wait, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
