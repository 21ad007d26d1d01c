"""What is erased is gone, is known to have been erased, and has still cost what it cost."""

from __future__ import annotations

import pytest
from support.ledger import AT_MS, DAY, bodies, call, settlement

from smallfirst.errors import StateError
from smallfirst.ledger.erasure import Erased, Erasure, erase
from smallfirst.ledger.ledger import Ledger

_LATER = AT_MS + 10**9


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(tmp_path)
    yield made
    made.close()


def put(ledger, *calls):
    for one in calls:
        ledger.journal.append_settlement(settlement(one))
        ledger.journal.append(bodies(one, request=b"my secret is 4711"))


def test_a_tenants_calls_are_erased_and_their_money_stays(ledger, tmp_path):
    mine, other = call(tenant="globex"), call()
    put(ledger, mine, other)
    ledger.importer.import_now()
    assert erase(tmp_path, Erasure(at_ms=_LATER, tenant="globex")) == Erased(calls=1, bodies=1)
    with pytest.raises(StateError):
        ledger.queries.call(mine.id)
    assert ledger.queries.bodies(mine.id) is None
    assert ledger.queries.call(other.id) == other
    assert (
        ledger.queries.spent_nusd(("tenant", "globex"), since_hour=DAY * 24, until_hour=DAY * 24 + 24) == 1000
    )
    assert ledger.queries.is_erased(mine.id)
    assert not ledger.queries.is_erased(other.id)


def test_only_what_was_said_may_be_erased(ledger, tmp_path):
    one = call()
    put(ledger, one)
    ledger.importer.import_now()
    assert erase(tmp_path, Erasure(at_ms=_LATER, call=one.id, bodies_only=True)) == Erased(calls=0, bodies=1)
    assert ledger.queries.call(one.id) == one
    assert ledger.queries.bodies(one.id) is None
    assert ledger.queries.is_erased(one.id)


def test_everything_given_must_fit(ledger, tmp_path):
    old, young = call(at_ms=AT_MS - 10), call(at_ms=AT_MS)
    put(ledger, old, young, call(at_ms=AT_MS - 10, tenant="globex"))
    ledger.importer.import_now()
    assert erase(tmp_path, Erasure(at_ms=_LATER, tenant="acme", before_ms=AT_MS)).calls == 1
    assert ledger.queries.is_erased(old.id)
    assert ledger.queries.call(young.id) == young


def test_many_calls_are_erased_in_turns(ledger, tmp_path):
    put(ledger, *(call() for _ in range(2500)))
    ledger.importer.import_now()
    assert erase(tmp_path, Erasure(at_ms=_LATER, tenant="acme")) == Erased(calls=2500, bodies=2500)
    assert ledger.queries.calls() == []


def test_an_erasure_holds_for_what_the_journal_still_carries_and_not_for_what_comes_later(ledger, tmp_path):
    before, after = call(), call(at_ms=_LATER + 1)
    put(ledger, before)
    erase(tmp_path, Erasure(at_ms=_LATER, tenant="acme"))
    put(ledger, after)
    ledger.importer.import_now()
    assert [listed.call.id for listed in ledger.queries.calls()] == [after.id]
    assert ledger.queries.bodies(before.id) is None
    assert ledger.queries.is_erased(before.id)
    assert ledger.queries.counts().calls == 2


def test_nothing_of_it_is_left_in_any_file_once_the_importer_has_seen_it(ledger, tmp_path):
    put(ledger, call(tenant="globex", client_key="initech-42"))
    ledger.importer.import_now()
    assert any(b"4711" in path.read_bytes() for path in tmp_path.rglob("*.seg"))
    erase(tmp_path, Erasure(at_ms=_LATER, tenant="globex"))
    put(ledger, call())
    ledger.importer._attempt()
    put(ledger, call(client_key="fresh"))
    ledger.importer._attempt()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"initech-42" not in path.read_bytes(), path


@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_what_answered_it_again_was_asked_the_same_and_goes_with_it(ledger, tmp_path, only, late):
    asked, other = call(), call()
    again = call(origin="explore", at_ms=AT_MS + 500, decision={"of": asked.id})
    beside = call(origin="explore", decision={"of": other.id})
    put(ledger, asked, other, beside, *([] if late else [again]))
    ledger.importer.import_now()
    erase(tmp_path, Erasure(at_ms=AT_MS + 1, call=asked.id, bodies_only=only))
    if late:
        put(ledger, again)
        ledger.importer.import_now()
    for gone in (asked, again):
        assert ledger.queries.is_erased(gone.id)
        assert ledger.queries.bodies(gone.id) is None
        assert bool(ledger.queries.calls_by_id([gone.id])) is only
    for stays in (other, beside):
        assert ledger.queries.bodies(stays.id) is not None
    assert ledger.queries.counts().calls == 4  # what they cost stays
