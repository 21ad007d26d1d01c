"""One gateway a directory; what a dead one left is recovered, and read whole before the next one starts."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from support.ledger import attempt, call, intent, settlement

from smallfirst.errors import StateError
from smallfirst.ledger import frames, store
from smallfirst.ledger.journal import Journal
from smallfirst.ledger.ledger import Ledger, open_keys


def died(state, *records):
    """A state directory as a killed gateway leaves it."""
    Ledger.open(state).close()
    journal = Journal.open(state / "journal")
    for record in records:
        journal._put(frames.frame(record))
    journal.close()


def test_the_directory_is_its_owners_only(tmp_path):
    state = tmp_path / "a" / "state"
    Ledger.open(state).close()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for path in state.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_second_gateway_is_told_who_has_the_directory(tmp_path):
    first = Ledger.open(tmp_path)
    with pytest.raises(StateError, match=f"process {os.getpid()}"):
        Ledger.open(tmp_path)
    first.close()
    Ledger.open(tmp_path).close()


def test_the_lock_ends_with_its_process(tmp_path):
    code = (
        "import os; from pathlib import Path; from smallfirst.ledger import Ledger;"
        f"Ledger.open(Path({str(tmp_path)!r})); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    Ledger.open(tmp_path).close()


def test_calls_left_open_are_settled_at_their_reservation(tmp_path, caplog):
    done, half = call(), call()
    died(
        tmp_path,
        intent(done),
        settlement(done),
        intent(half, 0, reserved_nusd=7000, model="small", frontier=False),
        intent(half, 1, reserved_nusd=11_000, kind="climb", rung=1),
    )
    with caplog.at_level("WARNING"):
        ledger = Ledger.open(tmp_path)
    assert "1 calls were under way" in caplog.text
    lost = ledger.queries.call(half.id)
    assert (lost.status, lost.cost_nusd, lost.tenant, lost.rung) == ("lost", 18_000, half.tenant, 1)
    assert [(each.status, each.usage_source, each.kind) for each in lost.attempts] == [
        ("lost", "estimated", "first"),
        ("lost", "estimated", "climb"),
    ]
    assert ledger.queries.call(done.id) == done
    assert [event.kind for event in ledger.queries.events()] == ["recovered"]
    ledger.close()
    again = Ledger.open(tmp_path)
    assert again.queries.counts().calls == 2
    again.close()


def test_a_lost_call_of_unknown_price_stays_unknown(tmp_path, caplog):
    half = call()
    died(tmp_path, intent(half, reserved_nusd=None))
    ledger = Ledger.open(tmp_path)
    assert ledger.queries.call(half.id).cost_nusd is None
    ledger.close()


def test_a_journal_cut_at_any_byte_of_its_last_record_loses_that_record_only(tmp_path, caplog):
    first, last = call(), call(attempt(reason="the last"))
    whole = frames.frame(settlement(last))
    for cut in [*range(0, len(whole), 37), len(whole) - 1]:
        state = tmp_path / str(cut)
        died(state, settlement(first), settlement(last))
        (path,) = (state / "journal").glob("*.seg")
        end = path.read_bytes().rindex(whole[-16:]) + 16
        with path.open("r+b") as file:
            file.seek(end - len(whole) + cut)
            file.write(bytes(len(whole) - cut))
        ledger = Ledger.open(state)
        assert [listed.call.id for listed in ledger.queries.calls()] == [first.id], cut
        ledger.close()


def test_a_record_damaged_in_the_middle_is_left_out_and_told_and_those_behind_it_are_not(tmp_path, caplog):
    made = [call() for _ in range(3)]
    died(tmp_path, *(settlement(one) for one in made))
    (path,) = (tmp_path / "journal").glob("*.seg")
    at = path.read_bytes().index(made[1].id.encode())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"~")
    with caplog.at_level("ERROR"):
        ledger = Ledger.open(tmp_path)
    assert {listed.call.id for listed in ledger.queries.calls()} == {made[0].id, made[2].id}
    assert "damaged" in caplog.text
    ledger.close()


def test_a_file_that_is_no_segment_is_refused_and_left_alone(tmp_path):
    Ledger.open(tmp_path).close()
    alien = tmp_path / "journal" / "000000000009.seg"
    alien.write_bytes(b"something else entirely")
    with pytest.raises(StateError, match="no journal segment"):
        Ledger.open(tmp_path)
    assert alien.read_bytes() == b"something else entirely"


def test_a_reader_sees_what_a_dead_gateway_left(tmp_path, caplog):
    done, half = call(), call()
    died(tmp_path, intent(done), settlement(done), intent(half))
    with Ledger.read(tmp_path) as view:
        assert {listed.call.id for listed in view.queries.calls()} == {done.id, half.id}
    with Ledger.read(tmp_path) as view:
        assert view.queries.counts().calls == 2


def test_a_reader_beside_a_gateway_settles_nothing(tmp_path):
    ledger = Ledger.open(tmp_path)
    half = call()
    ledger.journal.append_intent(intent(half))
    ledger.importer.import_now()
    with Ledger.read(tmp_path) as view:
        assert view.queries.calls() == []
    ledger.journal.append_settlement(settlement(half))
    ledger.close()
    with Ledger.read(tmp_path) as view:
        assert view.queries.call(half.id) == half


def test_there_is_nothing_to_read_before_the_first_start(tmp_path):
    with pytest.raises(StateError, match="there is no ledger"):
        Ledger.read(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_of_a_newer_version_is_refused(tmp_path):
    Ledger.open(tmp_path).close()
    conn = store.connect(tmp_path)
    conn.execute("INSERT INTO migrations VALUES (999, 'tomorrow')")
    conn.close()
    for opened in (Ledger.open, Ledger.read, open_keys):
        with pytest.raises(StateError, match="newer smallfirst"):
            opened(tmp_path)


def test_a_file_that_is_no_database_is_said_so(tmp_path):
    (tmp_path / store.FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(StateError, match="damaged"):
        Ledger.open(tmp_path)


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be used as a state directory"):
        Ledger.open(tmp_path / "file" / "state")
