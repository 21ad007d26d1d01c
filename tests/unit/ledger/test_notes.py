"""What commands write: there when the method returns, once, beside a running gateway and whatever kills whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from support.ledger import AT_MS, DAY, attempt, call, intent, settlement

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.ledger import Erasure, Ledger, Notes, erase, store
from smallfirst.ledger.migrations import MIGRATIONS
from smallfirst.ledger.queries import Filter
from smallfirst.ledger.records import Outcome


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def told(of, value, **fields):
    return Outcome(
        **({"at_ms": AT_MS, "call": of.id, "kind": "score", "value": value, "source": "us"} | fields)
    )


def test_an_event_is_in_the_store_when_it_was_noted(state):
    with Notes(state) as notes:
        notes.event("heldout-read", {"dataset": "d1"})
        notes.event("other", {})
        with Ledger.read(state) as ledger:
            assert [event.kind for event in ledger.queries.events()] == ["other", "heldout-read"]
            (event,) = ledger.queries.events(kind="heldout-read", limit=None)
            assert event.detail == {"dataset": "d1"}


def test_a_call_is_settled_once(state):
    made = call(origin="eval")
    with Notes(state) as notes:
        notes.settle(made, call(origin="eval"))
        notes.settle(made)
    with Ledger.read(state) as ledger:
        assert ledger.queries.counts().calls == 2
        assert ledger.queries.call(made.id) == made
        assert (
            ledger.queries.spent_nusd(("task", "triage"), since_hour=DAY * 24, until_hour=DAY * 24 + 24) == 0
        )  # evaluations have a purse of their own


def test_what_was_erased_is_not_settled_again(state):
    made = call(origin="eval")
    with Notes(state) as notes:
        notes.settle(made)
        erase(state, Erasure(at_ms=AT_MS + 1, call=made.id))
        notes.settle(made)
        with pytest.raises(StateError, match="no call"):
            notes.outcome(made.id, "score", 1.0, source="us")
    with Ledger.read(state) as ledger:
        assert ledger.queries.calls() == []
        assert ledger.queries.counts().calls == 1


def test_the_same_outcome_twice_is_one(state):
    made = call()
    with Notes(state) as notes:
        notes.settle(made)
        assert notes.outcome(made.id, "thumbs", True, source="us")
        assert not notes.outcome(made.id, "thumbs", True, source="us")
        assert notes.outcome(made.id, "thumbs", True, source="them")
        assert notes.outcomes([told(made, 1.0), told(made, 1.0)]) == ["new", "repeated"]
        assert notes.outcomes([told(made, 1.0, call="none")]) == ["unknown call"]


def test_a_newer_outcome_supersedes_and_nothing_is_overwritten(state):
    made = call()
    one, two = ({"model": name, "score": 1.0} for name in ("small", "frontier"))
    with Notes(state) as notes:
        notes.settle(made)
        notes.outcomes([told(made, 0.5, at_ms=AT_MS + 5), told(made, 0.1), told(made, one), told(made, two)])
        assert notes.outcomes([told(made, 0.5, at_ms=AT_MS + 9)]) == ["repeated"]  # it counts already
        assert notes.outcomes([told(made, 0.1)]) == ["repeated"]  # told for that moment before
        assert notes.outcomes([told(made, 0.1, at_ms=AT_MS + 9)]) == ["new"]  # taken back
    with Ledger.read(state) as ledger:
        assert [each.value for each in ledger.queries.outcomes(made.id)] == [0.5, 0.1, one, two, 0.1]
        latest = ledger.queries.latest_outcomes(made.id)
        assert latest[0].value == 0.1
        assert [each.value for each in latest[1:]] == [one, two]


def test_a_label_is_the_calls_own_whatever_its_fields_are_called(state):
    made = call()
    one, two = ({"model": name, "policy": "theft"} for name in ("X 1", "X 2"))
    with Notes(state) as notes:
        notes.settle(made)
        notes.outcomes([told(made, one, kind="label"), told(made, two, kind="label", at_ms=AT_MS + 1)])
    with Ledger.read(state) as ledger:
        assert [each.value for each in ledger.queries.latest_outcomes(made.id)] == [two]


def test_a_call_takes_no_more_outcomes_than_can_be_read_at_once(state, monkeypatch):
    monkeypatch.setattr(limits, "MAX_OUTCOMES_OF_CALL", 3)
    made, other = call(), call()
    with Notes(state) as notes:
        notes.settle(made, other)
        values = [told(made, n / 10) for n in range(5)]
        assert notes.outcomes(values) == ["new", "new", "new", "too many", "too many"]
        assert notes.outcomes(values[:3]) == ["repeated"] * 3
        assert notes.outcomes([told(other, 1.0)]) == ["new"]
        with pytest.raises(StateError, match="takes no more"):
            notes.outcome(made.id, "thumbs", True, source="us")


def test_as_what_a_model_answered_is_in_the_store(state):
    made = call(attempt(upstream_model="m-1", system_fingerprint="fp_1"), attempt(1))
    with Notes(state) as notes:
        notes.settle(made)
    with Ledger.read(state) as ledger:
        assert ledger.queries.call(made.id) == made


def test_commands_write_beside_a_gateway_that_imports(state):
    ours = [call(attempt(model=f"model-{n % 7}"), origin="eval", task=f"task-{n % 5}") for n in range(60)]
    theirs = [call(attempt(model=f"model-{n % 7}"), task=f"task-{n % 5}") for n in range(600)]
    ledger = Ledger.open(state)
    ledger.start()
    with Notes(state) as notes:
        for n, made in enumerate(theirs):
            ledger.journal.append_intent(intent(made))
            ledger.journal.append_settlement(settlement(made))
            if n % 10 == 0:
                notes.settle(ours[n // 10])
                ledger.importer.import_now()
    ledger.close()
    with Ledger.read(state) as view:
        stored = {listed.call.id: listed for listed in view.queries.calls(limit=1000)}
        assert set(stored) == {made.id for made in ours + theirs}
        assert sorted(listed.n for listed in stored.values()) == list(range(1, len(stored) + 1))
        assert view.queries.counts().calls == len(stored)
        for made in (*ours, *theirs):
            assert view.queries.call(made.id) == made
        for task in range(5):
            found = view.queries.calls(Filter(task=f"task-{task}"), limit=1000)
            assert len(found) == sum(made.task == f"task-{task}" for made in ours + theirs)


def test_an_open_intent_of_a_gateway_is_not_the_commands_business(state):
    ledger = Ledger.open(state)
    made = call()
    ledger.journal.append_intent(intent(made))
    ledger.importer.import_now()
    with Notes(state) as notes:
        notes.settle(call(origin="eval"))
        notes.event("x", {})
    ledger.journal.append_settlement(settlement(made))
    ledger.close()
    with Ledger.read(state) as view:
        assert view.queries.call(made.id) == made
        assert view.queries.counts().calls == 2


_WRITER = """
import os, sys
from pathlib import Path
from support.ledger import call
from smallfirst.ledger import Notes
with Notes(Path(sys.argv[1])) as notes:
    while True:
        made = call(origin="eval")
        made = __import__("msgspec").structs.replace(made, id=f"{os.getpid():012x}" + made.id[12:])
        notes.settle(made)
        notes.outcome(made.id, "score", 0.5, source="us")
        os.write(1, made.id.encode() + b"\\n")
"""


def test_kill_9_leaves_whole_notes_only(state):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ledger = Ledger.open(state)
    ledger.start()
    done: list[str] = []
    for _ in range(3):
        command = [sys.executable, "-c", _WRITER, str(state)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as writer:
            assert writer.stdout is not None
            done += [writer.stdout.readline().decode().strip() for _ in range(5)]
            made = call()
            ledger.journal.append_intent(intent(made))
            ledger.journal.append_settlement(settlement(made))
            time.sleep(0.01)
            writer.send_signal(signal.SIGKILL)
            done += [line.decode().strip() for line in writer.stdout if line.endswith(b"\n")]
    ledger.close()
    with Ledger.read(state) as view:
        listed = view.queries.calls(limit=10_000)
        assert {one.call.id for one in listed} >= set(done)
        assert view.queries.counts().calls == len(listed) == view.queries.last()
        for name in done:
            assert [each.value for each in view.queries.outcomes(name)] == [0.5]


def test_a_ledger_of_the_first_schema_is_brought_up(state):
    state.mkdir()
    conn = store.connect(state)
    for statement in MIGRATIONS[0]:
        conn.execute(statement)
    conn.execute("INSERT INTO migrations (number, at) VALUES (1, 'then')")
    made = call(client_key="order-7")
    conn.close()
    with Notes(state) as notes:
        notes.settle(made)
    with Ledger.read(state) as view:
        assert view.queries.call(made.id).trainable
        assert [named.id for named in view.queries.calls_by_client_key(["order-7"])] == [made.id]


def test_calls_are_found_by_what_they_answered_again(state):
    asked = call(trainable=False)
    again = [call(origin="explore", decision={"of": asked.id}) for _ in range(2)]
    with Notes(state) as notes:
        notes.settle(asked, *again, call(origin="explore", decision={"of": "another"}))
    with Ledger.read(state) as view:
        assert view.queries.answered_again(asked.id) == again
        assert not view.queries.call(asked.id).trainable
        assert view.queries.spent_aside_nusd(DAY, "triage") == 3000
        assert (
            view.queries.spent_nusd(("task", "triage"), since_hour=DAY * 24, until_hour=DAY * 24 + 24) == 1000
        )
        plan = view.queries._reader.rows(
            "EXPLAIN QUERY PLAN SELECT * FROM calls WHERE json_extract(decision, '$.of') = ?"
            " AND json_extract(decision, '$.of') IS NOT NULL ORDER BY n",
            ("x",),
        )
        assert "calls_of" in plan[0][3]
