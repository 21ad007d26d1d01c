"""Reads of a held-out part: counted by its seal, paid for once, two at once told apart."""

from concurrent.futures import ThreadPoolExecutor

from smallfirst.gate.reads import KIND, Reads
from smallfirst.ledger import Ledger


def test_nothing_is_read_where_there_is_no_ledger(tmp_path):
    reads = Reads(tmp_path, alpha=0.05)
    assert reads.made("seal") == []
    first = reads.of("seal", "one")
    assert (first.number, first.alpha, first.claimed) == (1, 0.025, False)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_each_comparison_is_a_read_and_the_same_one_is_not_another(tmp_path):
    reads = Reads(tmp_path, alpha=0.06)
    first = reads.claim("seal", "one", {"release": "r1"})
    again = reads.claim("seal", "one", {"release": "r1"})
    second = reads.claim("seal", "two", {"release": "r2"})
    assert first == again
    assert (first.number, first.alpha) == (1, 0.03)
    assert (second.number, second.alpha) == (2, 0.01)
    assert [one["release"] for one in reads.made("seal")] == ["r1", "r2"]


def test_what_a_read_cost_stays_as_it_was(tmp_path):
    """Another α in the configuration changes what comes, not what was spent."""
    Reads(tmp_path, alpha=0.06).claim("seal", "one", {})
    assert Reads(tmp_path, alpha=0.02).of("seal", "one").alpha == 0.03
    assert Reads(tmp_path, alpha=0.02).of("seal", "two").alpha == 0.02 / 6


def test_another_seal_has_its_own(tmp_path):
    reads = Reads(tmp_path, alpha=0.05)
    reads.claim("seal", "one", {})
    assert reads.of("other", "one").number == 1


def test_the_read_is_in_the_ledger_when_it_is_claimed(tmp_path):
    Reads(tmp_path, alpha=0.05).claim("seal", "one", {"task": "t", "seal": "forged", "read": 99})
    with Ledger.read(tmp_path) as ledger:
        (event,) = ledger.queries.events(kind=KIND)
    assert event.detail == {"task": "t", "seal": "seal", "comparison": "one", "read": 1, "alpha": 0.025}


def test_gates_at_once_get_numbers_of_their_own(tmp_path):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda at: Reads(tmp_path, alpha=0.05).claim("seal", str(at), {}), range(6)))
    assert sorted(one.number for one in found) == [1, 2, 3, 4, 5, 6]
