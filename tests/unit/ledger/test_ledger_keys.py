"""Keys are shown once, kept as an HMAC, and followed by a gateway that runs."""

from __future__ import annotations

import datetime
import stat
import threading

import pytest
from support.ledger import settlement

from smallfirst.errors import StateError
from smallfirst.ledger import hash_key, load_keys, store
from smallfirst.ledger.keys import Keys
from smallfirst.ledger.ledger import Ledger, open_keys


@pytest.fixture
def keys(tmp_path):
    made = open_keys(tmp_path)
    yield made
    made.close()


def test_a_key_is_known_by_its_hash_only(keys, tmp_path):
    plaintext = keys.create(
        "web", "acme", budget_nusd_per_day=5, models=("gpt-*",), expires=datetime.date(2030, 1, 2)
    )
    (stored,) = load_keys(tmp_path)
    assert plaintext.startswith("sf-")
    assert len(plaintext) >= 40
    assert stored.digest == hash_key(keys.secret, plaintext)
    assert plaintext.startswith(stored.prefix)
    assert (stored.name, stored.tenant, stored.budget_nusd_per_day) == ("web", "acme", 5)
    assert (stored.models, stored.expires) == (("gpt-*",), datetime.date(2030, 1, 2))
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or plaintext[len(stored.prefix) :].encode() not in path.read_bytes()


def test_the_secret_is_its_owners_only_and_the_same_for_all(keys, tmp_path):
    assert stat.S_IMODE((tmp_path / "keys.secret").stat().st_mode) == 0o600
    other = Keys(tmp_path)
    assert other.secret == keys.secret
    other.close()


def test_many_first_starts_agree_on_one_secret(tmp_path):
    open_keys(tmp_path).close()
    (tmp_path / "keys.secret").unlink()
    found = []

    def start():
        one = Keys(tmp_path)
        found.append(one.secret)
        one.close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_running_gateway_learns_of_keys_and_of_nothing_else(tmp_path):
    ledger = Ledger.open(tmp_path)
    command = open_keys(tmp_path)
    assert not ledger.keys.changed()
    command.create("web")
    assert ledger.keys.changed()
    assert not ledger.keys.changed()
    ledger.journal.append_settlement(settlement())
    ledger.importer.import_now()
    assert not ledger.keys.changed()
    command.revoke("web")
    assert ledger.keys.changed()
    assert ledger.keys.load() == []
    command.close()
    ledger.close()


def test_a_name_is_taken_until_its_key_is_revoked(keys):
    keys.create("web")
    with pytest.raises(StateError, match="already"):
        keys.create("web")
    keys.revoke("web")
    keys.create("web")
    assert [key.revoked_ms is None for key in keys.list()] == [False, True]


def test_a_key_is_revoked_by_its_beginning(keys):
    plaintext = keys.create("web")
    keys.create("cron")
    assert keys.revoke(plaintext[:10]).name == "web"
    assert [key.name for key in keys.load()] == ["cron"]


@pytest.mark.parametrize("name", ["nobody", "sf-", "", "web' OR '1'='1"])
def test_what_fits_no_key_revokes_none(keys, name):
    keys.create("web")
    with pytest.raises(StateError, match="no key in force"):
        keys.revoke(name)
    assert len(keys.load()) == 1


def test_a_damaged_secret_is_said_so(keys, tmp_path):
    (tmp_path / "keys.secret").write_bytes(b"short")
    with pytest.raises(StateError, match="damaged"):
        Keys(tmp_path)


def test_a_locked_database_is_said_so(keys, tmp_path, monkeypatch):
    other = store.connect(tmp_path)
    other.execute("BEGIN IMMEDIATE")
    keys._conn.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(StateError, match="locked by another program"):
        keys.create("web")
    other.execute("ROLLBACK")
    other.close()
