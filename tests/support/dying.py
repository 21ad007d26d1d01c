"""A command that is killed (-9) at each place where it changes the state directory: once at every one, and run again until it ends by itself.

Places are told by an audit hook, which the interpreter calls before it opens, renames, removes or makes a file. A place is what is about to happen
to which name; for a rename also the size of the file, so that a file that is written again after each step is a place of its own each time. The
command runs in forks of one process that has imported it, since there are dozens of places.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.gateway import GatewayProcess

_MOST = 400  # deaths: a command that does not get on is not waited for
_LONGEST_S = 120  # nor is one that hangs
_RENAMES = ("os.rename", "os.mkdir", "os.rmdir")
_ALL = (*_RENAMES, "open", "os.remove")


def deaths(home: GatewayProcess, *arguments: str, opening: bool = True, warm: str = "") -> Iterator[str]:
    """The places at which the command was killed, each told while nothing runs. Fails the test where it ends otherwise than well.

    `opening`: files that are opened to be written and files that are removed are places too. `warm`: what the process does before it forks, so
    that its forks need not.
    """
    told = {"state": str(home.state), "events": _ALL if opening else _RENAMES, "warm": warm}
    command = [sys.executable, __file__, json.dumps(told), *arguments, "--config", str(home.path)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environ = home.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with (
        (home.folder / "dying.log").open("w+") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environ
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            yield line.strip()
            process.stdin.write("\n")
            process.stdin.flush()
        status = process.wait()
        assert status == 0, (home.folder / "dying.log").read_text()[-4000:]


class _Places:
    """Kills this process at the first place at which none was killed before, and writes its name down."""

    def __init__(self, told: dict[str, Any], known: set[str], out: int) -> None:
        self._state, self._events = told["state"], set(told["events"])
        self._known, self._out = known, out

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in self._events:
            return
        path = arguments[1] if event == "os.rename" else arguments[0]
        if not isinstance(path, (str, os.PathLike)) or not str(path).startswith(self._state):
            return
        if event == "open" and arguments[2] & os.O_ACCMODE == os.O_RDONLY:
            return
        place = f"{event} {re.sub('[0-9a-f]{12,}|[0-9]+', '#', str(path)[len(self._state) :])}"
        if event == "os.rename":
            place += f" of {Path(arguments[0]).stat().st_size} bytes"
        if place not in self._known:
            os.write(self._out, place.encode())
            os.kill(os.getpid(), signal.SIGKILL)


def _run(arguments: list[str]) -> None:
    from smallfirst.cli import main

    sys.argv = ["smallfirst", *arguments]
    status: object = 0
    try:
        os.dup2(2, 1)
        main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def _drive(told: dict[str, Any], arguments: list[str]) -> int:
    exec(f"import smallfirst.cli.main\n{told['warm']}")
    known: set[str] = set()
    for _ in range(_MOST):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(_LONGEST_S)
            sys.addaudithook(_Places(told, known, writes))
            _run(arguments)
        os.close(writes)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        place = os.read(reads, 4096).decode()
        os.close(reads)
        if status != -signal.SIGKILL:
            return status
        known.add(place)
        print(place, flush=True)
        sys.stdin.readline()
    return 1


if __name__ == "__main__":
    sys.exit(_drive(json.loads(sys.argv[1]), sys.argv[2:]))
