"""kill -9 at any moment: every finished call is in the ledger once, every announced attempt is accounted for.

Fifty rounds in the ordinary suite; SMALLFIRST_KILLS=1000 for the full count.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading

from smallfirst.ledger import Ledger, store
from smallfirst.ledger.queries import Filter

ROUNDS = int(os.environ.get("SMALLFIRST_KILLS", "50"))

# Imports everything once and forks a gateway for each line that it reads: a state directory and a number.
_FORGE = """
import itertools, os, sys
from pathlib import Path
import support.ledger
from smallfirst.ledger import Ledger
from support.ledger import attempt, call, intents, settlement

def live(state, number):
    support.ledger._numbers = itertools.count(number * 10**9)
    ledger = Ledger.open(Path(state))
    ledger.start()
    os.write(1, f"ready {os.getpid()}\\n".encode())
    while True:
        made = call(attempt(0, model="small", frontier=False), attempt(1, kind="climb"))
        for announced in intents(made):
            ledger.journal.append_intent(announced)
            os.write(1, f"sent {made.id} {announced.seq}\\n".encode())
        ledger.journal.append_settlement(settlement(made))
        os.write(1, f"done {made.id}\\n".encode())
        if os.urandom(1)[0] < 4:
            ledger.journal.rotate()

for line in sys.stdin:
    state, number = line.rsplit(maxsplit=1)
    child = os.fork()
    if child == 0:
        live(state, int(number))
    os.waitpid(child, 0)
    os.write(1, b"ended\\n")
"""


def _live_and_die(forge, state, number, chance):
    """One gateway's life: what it said it had done by the moment it was killed."""
    forge.stdin.write(f"{state} {number}\n".encode())
    forge.stdin.flush()
    word, pid = forge.stdout.readline().split()
    assert word == b"ready"
    threading.Timer(chance.uniform(0.0, 0.05), os.kill, (int(pid), signal.SIGKILL)).start()
    return [line.decode().split() for line in iter(forge.stdout.readline, b"ended\n")]


def test_nothing_that_was_finished_is_lost_and_nothing_counts_twice(tmp_path):
    chance = random.Random(20261124)
    done: set[str] = set()
    sent: set[tuple[str, int]] = set()
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", _FORGE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as forge:
        for number in range(ROUNDS):
            for word, call, *seq in _live_and_die(forge, tmp_path, number, chance):
                if word == "done":
                    done.add(call)
                else:
                    sent.add((call, int(seq[0])))
        forge.stdin.close()
    _check(tmp_path, done, sent)


def _check(state, done, sent):
    ledger = Ledger.open(state)
    conn = store.connect(state)
    stored = dict(conn.execute("SELECT id, count(*) FROM calls GROUP BY id"))
    lost = {listed.call.id for listed in ledger.queries.calls(Filter(status="lost"), limit=10**6)}
    attempts = set(conn.execute("SELECT id, seq FROM attempts JOIN calls ON calls.n = attempts.call"))
    assert len(done) > ROUNDS, "the writers did work"
    assert set(stored.values()) == {1}
    assert done <= stored.keys() - lost
    assert sent <= attempts
    assert len(lost) <= ROUNDS, "at most the call under way is lost"
    assert ledger.queries.counts().calls == len(stored)
    assert ledger.queries.counts().attempts == len(attempts)
    rows = conn.execute("SELECT sum(cost_nusd) FROM attempts").fetchone()[0]
    assert conn.execute("SELECT sum(cost_nusd) FROM hourly_attempts").fetchone()[0] == rows
    assert conn.execute("SELECT count(*) FROM intents_open").fetchone()[0] == 0
    conn.close()
    ledger.close()
