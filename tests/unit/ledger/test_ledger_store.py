"""The database is migrated once, refused where it is newer, and tells what is wrong in a line."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from smallfirst.errors import StateError
from smallfirst.ledger import store


@pytest.fixture
def conn(tmp_path):
    made = store.connect(tmp_path)
    yield made
    made.close()


def test_migrations_are_recorded_by_number_and_run_once(conn):
    store.migrate(conn)
    store.migrate(conn)
    assert conn.execute("SELECT number FROM migrations").fetchall() == [
        (n + 1,) for n in range(len(store.MIGRATIONS))
    ]


def test_a_migration_that_fails_leaves_the_database_as_it_was(conn, monkeypatch):
    store.migrate(conn)
    broken = ("CREATE TABLE half (x)", "CREATE TABLE half (x)")
    monkeypatch.setattr(store, "MIGRATIONS", (*store.MIGRATIONS, broken))
    with pytest.raises(sqlite3.OperationalError):
        store.migrate(conn)
    assert conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)


def test_an_older_database_beside_a_running_gateway_is_refused(conn, monkeypatch):
    store.migrate(conn)
    monkeypatch.setattr(store, "MIGRATIONS", (*store.MIGRATIONS, ("CREATE TABLE more (x)",)))
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.05)
    with pytest.raises(StateError, match="older smallfirst"):
        store.migrate(conn, allowed=False)
    store.migrate(conn)
    store.migrate(conn, allowed=False)


def test_many_processes_may_start_at_once_on_a_new_directory(tmp_path):
    code = (
        "from pathlib import Path; from smallfirst.ledger import open_keys;"
        f"open_keys(Path({str(tmp_path)!r})).close()"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    for process in started:
        assert process.communicate()[1] == b""
        assert process.returncode == 0


def test_a_transaction_is_all_or_nothing(conn):
    store.migrate(conn)

    def fail_half_way():
        with store.transaction(conn):
            store.add_meta(conn, "x", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert store.meta(conn, "x") == 0
    with store.transaction(conn):
        store.add_meta(conn, "x", 2)
        store.add_meta(conn, "x", 3)
    assert store.meta(conn, "x") == 5


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 1000])
def test_rows_are_inserted_whatever_their_number(conn, count):
    conn.execute("CREATE TABLE t (a, b)")
    rows = [(n, str(n)) for n in range(count)]
    store.insert(conn, "t", rows)
    assert conn.execute("SELECT * FROM t").fetchall() == rows


def test_a_lock_that_ends_in_time_is_waited_for(tmp_path, conn):
    store.migrate(conn)
    other = store.connect(tmp_path)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, other.execute, ("COMMIT",))
    timer.start()
    with store.transaction(conn):
        store.set_meta(conn, "x", 1)
    timer.join()
    other.close()
    assert store.meta(conn, "x") == 1
