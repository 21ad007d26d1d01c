"""The importer waits for what passes, says what does not, and never discards."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time

import pytest
from support.ledger import AT_MS, bodies, call, intent, settlement

from smallfirst.errors import LedgerUnavailable
from smallfirst.ledger import store
from smallfirst.ledger.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(tmp_path / "state", calls_days=30)
    yield made
    made.close()


def eventually(holds, seconds=10.0):
    deadline_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline_s, "it never came to hold"
        time.sleep(0.01)


def test_what_is_appended_is_imported_in_the_background(ledger):
    ledger.start()
    made = [call() for _ in range(50)]
    for one in made:
        ledger.journal.append_intent(intent(one))
        ledger.journal.append_settlement(settlement(one))
    eventually(lambda: ledger.queries.counts().calls == 50)
    eventually(lambda: ledger.journal.unimported_bytes == 0)
    assert ledger.healthy


def test_a_database_that_another_program_locks_is_waited_for(ledger, tmp_path, caplog):
    other = store.connect(tmp_path / "state")
    other.execute("BEGIN IMMEDIATE")
    ledger.start()
    made = [call() for _ in range(20)]
    with caplog.at_level(logging.WARNING):
        for one in made:
            ledger.journal.append_settlement(settlement(one))
        eventually(lambda: ledger.importer.last_error is not None)
        assert ledger.queries.counts().calls == 0
        assert ledger.healthy, "waiting is no failure"
    other.execute("COMMIT")
    other.close()
    eventually(lambda: ledger.queries.counts().calls == 20)
    assert {listed.call.id for listed in ledger.queries.calls()} == {one.id for one in made}
    assert ledger.importer.last_error is None
    assert caplog.text.count("the ledger waits") == 1


def test_an_error_that_waiting_does_not_cure_is_told_and_shown_and_nothing_is_lost(ledger, tmp_path, caplog):
    other = store.connect(tmp_path / "state")
    other.execute("CREATE TRIGGER fails BEFORE INSERT ON calls BEGIN SELECT raise(ABORT, 'on purpose'); END")
    ledger.start()
    with caplog.at_level(logging.ERROR):
        ledger.journal.append_settlement(settlement())
        eventually(lambda: not ledger.healthy)
    assert "on purpose" in caplog.text
    assert "on purpose" in (ledger.importer.last_error or "")
    other.execute("DROP TRIGGER fails")
    other.close()
    eventually(lambda: ledger.healthy)
    assert ledger.queries.counts().calls == 1


def test_a_store_that_stays_locked_at_the_end_finds_everything_at_the_next_start(tmp_path, caplog):
    ledger = Ledger.open(tmp_path)
    one = call()
    ledger.journal.append_settlement(settlement(one))
    other = store.connect(tmp_path)
    other.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING):
        ledger.close()
    other.execute("ROLLBACK")
    other.close()
    again = Ledger.open(tmp_path)
    assert again.queries.call(one.id) == one
    again.close()


def _admits(ledger: Ledger) -> bool:
    try:
        ledger.journal.append_intent(intent(call()))
    except LedgerUnavailable:
        return False
    return True


def test_a_full_disk_is_waited_for_and_nothing_admitted_is_lost(
    tiny_disk, full_tiny_disk, settle_until_refused, caplog
):
    ledger = Ledger.open(tiny_disk / "state")
    try:
        filler = full_tiny_disk()
        ledger.start()
        with caplog.at_level(logging.WARNING):
            settled = settle_until_refused(ledger.journal)
            eventually(lambda: ledger.importer.last_error is not None)
        assert ledger.queries.counts().calls < len(settled)
        filler.unlink()
        eventually(lambda: ledger.queries.counts().calls == len(settled))
        assert {listed.call.id for listed in ledger.queries.calls(limit=10**6)} == set(settled)
        eventually(lambda: _admits(ledger))  # once the imported segments' room is free again
    finally:
        ledger.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_importer_that_ends_by_a_fault_of_ours_says_so(ledger, monkeypatch, caplog):
    def fail():
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(ledger.importer, "import_now", fail)
    ledger.start()
    eventually(lambda: not ledger.healthy)
    assert "on purpose" in (ledger.importer.last_error or "")
    assert "has ended" in caplog.text
    monkeypatch.undo()


def test_import_now_imports_what_was_appended_before(ledger):
    ledger.journal.append_intent(intent(one := call()))
    ledger.journal.append_settlement(settlement(one))
    assert ledger.importer.import_now() == 2
    assert ledger.importer.import_now() == 0


def test_many_threads_may_append(ledger):
    made = [[call() for _ in range(200)] for _ in range(4)]

    def work(calls):
        for one in calls:
            ledger.journal.append_intent(intent(one))
            ledger.journal.append_settlement(settlement(one))

    ledger.start()
    threads = [threading.Thread(target=work, args=(calls,)) for calls in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: ledger.queries.counts().calls == 800)


def test_what_has_been_kept_long_enough_is_deleted_and_its_money_stays(ledger):
    old = call(at_ms=AT_MS - 10 * 365 * 86_400_000)
    fresh = call(at_ms=time.time_ns() // 1_000_000)
    for one, days in ((old, 30), (fresh, 30)):
        ledger.journal.append_settlement(settlement(one))
        ledger.journal.append(bodies(one, keep_days=days))
    ledger.importer.import_now()
    ledger.importer.retain_now()
    assert [listed.call.id for listed in ledger.queries.calls()] == [fresh.id]
    assert ledger.queries.bodies(old.id) is None
    assert ledger.queries.bodies(fresh.id) is not None
    assert ledger.queries.spent_nusd(("tenant", "acme"), until_hour=old.at_ms // 3_600_000 + 1) == 1000
    assert not ledger.queries.is_erased(old.id)


def test_stop_without_draining_leaves_the_journal_as_it_is(tmp_path):
    ledger = Ledger.open(tmp_path)
    ledger.journal.append_settlement(settlement())
    ledger.importer.stop(drain=False)
    assert ledger.queries.counts().calls == 0
    with pytest.raises(sqlite3.ProgrammingError):
        ledger.importer.import_now()
    ledger.importer.stop = lambda **_: None  # it is stopped already
    ledger.close()
