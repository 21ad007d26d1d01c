"""API keys that `smallfirst keys create` made: shown once, stored as an HMAC, safe to make and revoke while a
gateway runs.
"""

from __future__ import annotations

import datetime
import hmac
import os
import secrets
import sqlite3
import threading
import time
from pathlib import Path

import msgspec

from smallfirst.errors import StateError
from smallfirst.ledger import store

_SECRET_FILE = "keys.secret"  # noqa: S105  (a file's name)
_SECRET_BYTES = 32
_MARK = "sf-"
_SHOWN_CHARS = 10  # of a key, mark included: enough to tell keys apart, useless to guess one
_MS_PER_S = 1000
_LIMITS = (
    "budget_nusd_per_day",
    "budget_nusd_per_month",
    "budget_nusd_total",
    "requests_per_minute",
    "tokens_per_minute",
)


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. `digest` is its HMAC; `prefix` how it begins; `models` empty means all;
    `expires` is the last day it holds.
    """

    name: str
    tenant: str
    digest: bytes
    prefix: str
    models: tuple[str, ...] = ()
    budget_nusd_per_day: int | None = None
    budget_nusd_per_month: int | None = None
    budget_nusd_total: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires: datetime.date | None = None
    created_ms: int = 0
    revoked_ms: int | None = None


def hash_key(secret: bytes, plaintext: str) -> bytes:
    """HMAC-SHA-256 of a key under the state directory's secret: what is stored and compared."""
    return hmac.digest(secret, plaintext.encode(), "sha256")


def keys_changed(conn: sqlite3.Connection, seen: tuple[int, int]) -> tuple[int, int]:
    """The state of the keys: differs from `seen` after a key was made or revoked. Cheap: reads a pragma, and
    a row if that has moved.
    """
    (version,) = conn.execute("PRAGMA data_version").fetchone()
    if version == seen[0]:
        return seen
    return version, store.meta(conn, "keys_version")


class Keys:
    """The keys of one state directory. Raises `StateError` where its database cannot be read or written."""

    def __init__(self, state: Path) -> None:
        self.secret = _secret(state)
        self._lock = threading.Lock()
        with store.translated():
            self._conn = store.connect(state)
            self._seen = keys_changed(self._conn, (-1, -1))

    def close(self) -> None:
        self._conn.close()

    def load(self) -> list[StoredKey]:
        """All keys that are not revoked, expired ones included: who asks knows the day."""
        return [key for key in self.list() if key.revoked_ms is None]

    def list(self) -> list[StoredKey]:
        """All keys, in the order in which they were made."""
        columns = "name, tenant, digest, prefix, models, expires, created_ms, revoked_ms, " + ", ".join(
            _LIMITS
        )
        with self._lock, store.translated():
            rows = self._conn.execute(f"SELECT {columns} FROM keys ORDER BY id").fetchall()  # noqa: S608
        return [_stored(row) for row in rows]

    def changed(self) -> bool:
        """Whether a key was made or revoked since this was last asked, or since the start."""
        with self._lock, store.translated():
            before, self._seen = self._seen, keys_changed(self._conn, self._seen)
        return before[1] != self._seen[1]

    def create(
        self,
        name: str,
        tenant: str = "default",
        *,
        models: tuple[str, ...] = (),
        expires: datetime.date | None = None,
        **limits: int | None,
    ) -> str:
        """Makes a key and returns it: it cannot be shown again. `limits` are its budgets and rates, as
        `StoredKey` names them. Raises `StateError` where a key in force has this name.
        """
        plaintext = _MARK + secrets.token_urlsafe(_SECRET_BYTES)
        row = (
            name,
            tenant,
            hash_key(self.secret, plaintext),
            plaintext[:_SHOWN_CHARS],
            msgspec.json.encode(models).decode(),
            expires.isoformat() if expires else None,
            int(time.time() * _MS_PER_S),
            *(limits.pop(name, None) for name in _LIMITS),
        )
        if limits:
            raise TypeError(f"a key has no {', '.join(limits)}")
        with self._lock, store.translated(), store.transaction(self._conn):
            taken = self._conn.execute(
                "SELECT 1 FROM keys WHERE name = ? AND revoked_ms IS NULL", (name,)
            ).fetchone()
            if taken:
                raise StateError(
                    f"there is a key named {name!r} already: choose another name, "
                    f"or `smallfirst keys revoke {name}` first"
                )
            self._conn.execute(
                "INSERT INTO keys (name, tenant, digest, prefix, models, expires, created_ms, "  # noqa: S608
                f"{', '.join(_LIMITS)}) VALUES ({', '.join('?' * len(row))})",
                row,
            )
            store.add_meta(self._conn, "keys_version", 1)
        return plaintext

    def revoke(self, name: str) -> StoredKey:
        """Ends the key of this name, or the one key that begins so; a running gateway refuses it within a
        second. Returns the key.

        Raises `StateError` where no key in force, or more than one, fits.
        """
        found = [key for key in self.load() if key.name == name]
        found = found or [
            key
            for key in self.load()
            if len(name) >= len(_MARK) + 4 and name.startswith(key.prefix[: len(name)])
        ]
        if len(found) != 1:
            raise StateError(
                f"{'more than one key is' if found else 'no key in force is'} named {name!r}; "
                "`smallfirst keys list` shows them"
            )
        with self._lock, store.translated(), store.transaction(self._conn):
            self._conn.execute(
                "UPDATE keys SET revoked_ms = ? WHERE digest = ? AND revoked_ms IS NULL",
                (int(time.time() * _MS_PER_S), found[0].digest),
            )
            store.add_meta(self._conn, "keys_version", 1)
        return found[0]


def load_keys(state: Path) -> list[StoredKey]:
    """The keys in force of a state directory."""
    keys = Keys(state)
    try:
        return keys.load()
    finally:
        keys.close()


def _stored(row: tuple) -> StoredKey:
    name, tenant, digest, prefix, models, expires, created, revoked, *limits = row
    return StoredKey(
        name=name,
        tenant=tenant,
        digest=digest,
        prefix=prefix,
        models=tuple(msgspec.json.decode(models)),
        expires=datetime.date.fromisoformat(expires) if expires else None,
        created_ms=created,
        revoked_ms=revoked,
        **dict(zip(_LIMITS, limits, strict=True)),
    )


def _secret(state: Path) -> bytes:
    """The secret under which keys are hashed: made once, whole or not at all, readable by its owner only."""
    path = state / _SECRET_FILE
    if not path.exists():
        partial = state / f".{_SECRET_FILE}.{os.getpid()}.{threading.get_ident()}"
        fd = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(fd, secrets.token_bytes(_SECRET_BYTES))
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(partial, path)  # fails where another process was first: then its secret holds
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise StateError(f"{path} is damaged: put its backup back, or delete it and make all keys anew")
    return secret
