"""The journal's promise: what it took on it can finish recording, whatever happens to the disk meanwhile."""

from __future__ import annotations

import errno
import logging
import os

import msgspec
import pytest
from support.ledger import attempt, bodies, call, intent, settlement

from smallfirst import limits
from smallfirst.errors import LedgerUnavailable, StateError
from smallfirst.ledger import frames, segment
from smallfirst.ledger.journal import Journal
from smallfirst.ledger.records import Event, Settlement
from smallfirst.ledger.segment import HEADER_BYTES, Position, extents_of

_SMALL = 1024 * 1024


@pytest.fixture
def journal(tmp_path):
    made = Journal.open(tmp_path / "journal", segment_bytes=_SMALL)
    yield made
    made.close()


def written(journal):
    """All records, in order."""
    found = []
    for extent in journal.extents():
        scan = segment.read(extent, HEADER_BYTES, most=10**6)
        found += [frames.record(payload) for payload in scan.payloads]
        assert scan.end == extent.end
    return found


def full_disk(monkeypatch):
    def refuse(fd, offset, length):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)


def admit_until_refused(journal):
    admitted = []
    while True:
        made = call()
        try:
            journal.append_intent(intent(made))
        except LedgerUnavailable:
            return admitted
        admitted.append(made)


def test_records_come_back_in_order_across_segments(journal):
    made = [call(decision={"why": "x" * 5000}) for _ in range(600)]
    expected = []
    for one in made:
        journal.append_intent(intent(one))
        journal.append_settlement(settlement(one))
        expected += [intent(one), settlement(one)]
    assert len(journal.extents()) > 2
    assert written(journal) == expected
    assert journal.admitted == 0


def test_every_call_admitted_before_the_disk_filled_up_is_settled(journal, monkeypatch):
    full_disk(monkeypatch)
    admitted = admit_until_refused(journal)
    assert len(admitted) > 10
    for one in admitted:  # each as large as its room allows
        padding = limits.JOURNAL_SETTLEMENT_BYTES - len(frames.frame(settlement(one))) - 200
        journal.append_settlement(settlement(msgspec.structs.replace(one, decision={"why": "x" * padding})))
    settled = [record.call.id for record in written(journal) if isinstance(record, Settlement)]
    assert settled == [one.id for one in admitted]


def test_room_comes_back_when_calls_are_settled(journal, monkeypatch):
    full_disk(monkeypatch)
    admitted = admit_until_refused(journal)
    journal.append_settlement(settlement(admitted[0]))
    journal.append_intent(intent(call()))


def test_a_settlement_larger_than_its_room_loses_texts_and_no_figure(journal, monkeypatch):
    full_disk(monkeypatch)
    admitted = admit_until_refused(journal)
    attempts = tuple(attempt(seq, reason="r" * 9000, cost_nusd=seq * 7) for seq in range(15))
    large = call(*attempts, id=admitted[0].id, asked_model="m" * 9000, decision={"why": "x" * 90_000})
    journal.append_settlement(settlement(large))
    (kept,) = [record.call for record in written(journal) if isinstance(record, Settlement)]
    assert (kept.cost_nusd, kept.latency_ms, kept.prompt_bytes) == (large.cost_nusd, large.latency_ms, 400)
    assert [each.cost_nusd for each in kept.attempts] == [seq * 7 for seq in range(15)]
    assert [each.usage for each in kept.attempts] == [each.usage for each in large.attempts]
    assert kept.decision == {}


def test_a_call_of_very_many_attempts_keeps_room_for_all_of_them(journal, monkeypatch):
    made = call(*(attempt(seq, reason="r" * 500, upstream_id="u" * 500) for seq in range(80)))
    for seq in range(80):
        journal.append_intent(intent(made, seq))
    full_disk(monkeypatch)
    admit_until_refused(journal)
    journal.append_settlement(settlement(made))
    (kept,) = [record.call for record in written(journal) if isinstance(record, Settlement)]
    assert len(kept.attempts) == 80


def test_bodies_are_left_out_first_and_counted(journal, monkeypatch):
    full_disk(monkeypatch)
    one = call()
    journal.append_intent(intent(one))
    while journal.append(bodies(one, request=os.urandom(9000))):
        pass
    assert journal.dropped_bodies == 1
    with pytest.raises(LedgerUnavailable):
        journal.append(Event(at_ms=1, kind="reload", detail={"why": "x" * 200_000}))
    journal.append_settlement(settlement(one))
    assert written(journal)[-1] == settlement(one)


def test_a_call_that_made_no_attempt_is_refused_without_room(journal, monkeypatch):
    full_disk(monkeypatch)
    admit_until_refused(journal)
    with pytest.raises(LedgerUnavailable):
        journal.append_settlement(settlement(call(decision={"why": "x" * 50_000})))


def test_a_failing_disk_holds_settlements_and_admits_nobody_until_it_recovers(journal, monkeypatch, caplog):
    made = [call() for _ in range(3)]
    for one in made:
        journal.append_intent(intent(one))
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with caplog.at_level(logging.CRITICAL):
            for one in made[:2]:
                journal.append_settlement(settlement(one))
        assert "held in memory" in caplog.text
        assert not journal.healthy
        with pytest.raises(LedgerUnavailable):
            journal.append_intent(intent(call()))
    journal.append_settlement(settlement(made[2]))
    assert journal.healthy
    assert [record.call for record in written(journal)[3:]] == made
    assert journal.admitted == 0


def test_a_write_that_stops_half_way_is_covered_by_the_next(journal, monkeypatch):
    real, one = os.pwrite, call()
    turns = iter([50, 0])
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[: next(turns)], at))
        with pytest.raises(LedgerUnavailable):
            journal.append_intent(intent(one))
    journal.append_intent(intent(one))
    assert written(journal) == [intent(one)]


def test_a_body_that_is_larger_than_what_the_disk_still_has_takes_nothing_with_it(journal, monkeypatch):
    one, real = call(), os.posix_fallocate

    def nearly_full(fd, offset, length):
        if length > _SMALL - 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", nearly_full)
    before = len(list(journal._directory.iterdir()))
    assert not journal.append(bodies(one, request=bytes(_SMALL)))
    assert len(list(journal._directory.iterdir())) <= before + 1


def test_nothing_is_written_after_the_end(tmp_path):
    journal = Journal.open(tmp_path, segment_bytes=_SMALL)
    one = call()
    journal.append_intent(intent(one))
    journal.close()
    journal.close()
    for append, record in (
        (journal.append_intent, intent(call())),
        (journal.append_settlement, settlement(one)),
    ):
        with pytest.raises(LedgerUnavailable):
            append(record)
    assert not journal.append(bodies(one))


def test_names_too_long_to_be_kept_are_refused_and_what_was_asked_is_cut(journal):
    with pytest.raises(LedgerUnavailable, match="too long"):
        journal.append_intent(intent(call(), model="m" * 5000))
    journal.append_intent(intent(call(), asked_model="m" * 5000))
    assert len(written(journal)[0].asked_model) == 64


def test_calls_are_refused_while_too_much_waits_and_taken_again_after(tmp_path):
    journal = Journal.open(tmp_path, segment_bytes=_SMALL, max_unimported_bytes=20_000)
    admitted = admit_until_refused(journal)
    assert 20_000 < journal.unimported_bytes < 22_000
    for one in admitted:
        journal.append_settlement(settlement(one))
    extent = journal.extents()[0]
    journal.imported(Position(extent.number, extent.end), extent.end - HEADER_BYTES)
    journal.append_intent(intent(call()))
    journal.close()


def test_segments_are_deleted_once_they_are_imported(journal):
    journal.append_settlement(settlement())
    journal.rotate()
    journal.append_settlement(settlement())
    first, second = journal.extents()
    journal.imported(Position(second.number, HEADER_BYTES), first.end - HEADER_BYTES)
    assert not first.path.exists()
    assert second.path.exists()


def test_a_journal_that_is_all_imported_leaves_nothing_behind(tmp_path):
    journal = Journal.open(tmp_path, segment_bytes=_SMALL)
    journal.append_settlement(settlement())
    journal.prepare()
    extent = journal.extents()[0]
    journal.imported(Position(extent.number, extent.end), extent.end - HEADER_BYTES)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_is_not_imported_stays_and_the_next_numbers_above_it(tmp_path):
    journal = Journal.open(tmp_path, after=41, segment_bytes=_SMALL)
    journal.append_settlement(settlement())
    journal.close()
    assert [extent.number for extent in extents_of(tmp_path)] == [42]
    again = Journal.open(tmp_path, segment_bytes=_SMALL)
    assert again.extents()[0].number == 43
    again.close()


def test_a_disk_without_room_for_any_segment_is_said_so(tmp_path, monkeypatch):
    full_disk(monkeypatch)
    with pytest.raises(StateError, match="full"):
        Journal.open(tmp_path / "journal")
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_really_full_disk_loses_nothing_admitted(tiny_disk, full_tiny_disk):
    journal = Journal.open(tiny_disk / "journal")  # sixteen megabytes do not fit: less is taken
    try:
        filler = full_tiny_disk()
        admitted = admit_until_refused(journal)
        assert admitted
        for one in admitted:
            journal.append_settlement(settlement(one))
        settled = [record.call.id for record in written(journal) if isinstance(record, Settlement)]
        assert settled == [one.id for one in admitted]
        filler.unlink()
        journal.append_intent(intent(call()))
    finally:
        journal.close()
