"""Whose call it is: an API key to its caller. Keys are known by their HMAC only."""

from __future__ import annotations

import datetime
import fnmatch
import hashlib
import hmac
import secrets
from collections.abc import Iterable

import msgspec

from smallfirst.errors import BadKey, NotAllowed
from smallfirst.gateway.budget import Limit
from smallfirst.gateway.rates.rates import ScopeLimits

LOCAL_TENANT = "local"


class Caller(msgspec.Struct, frozen=True):
    """Who calls, what they may ask for, and their key's and tenant's budgets and rate limits."""

    tenant: str
    key: str
    models: tuple[str, ...] = ()
    expires: datetime.date | None = None
    limits: tuple[Limit, ...] = ()
    rates: tuple[ScopeLimits, ...] = ()

    def check_model(self, name: str) -> None:
        """Raises `NotAllowed` where the key is limited to other models."""
        if self.models and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.models):
            raise NotAllowed(
                f"key {self.key!r} may not ask for {name[:128]!r}; it may ask for {', '.join(self.models)}",
                param="model",
            )


_LOCAL = Caller(LOCAL_TENANT, LOCAL_TENANT)


class Identity:
    """All keys of the moment. `callers` are pairs of a key's HMAC and its caller; `local` calls without a key, where that is allowed."""

    def __init__(
        self,
        secret: bytes,
        callers: Iterable[tuple[bytes, Caller]],
        *,
        require_key: bool,
        local: Caller = _LOCAL,
    ) -> None:
        self._secret = secret
        self._callers = {digest: (digest, caller) for digest, caller in callers}
        self._require_key = require_key
        self._local = local
        self._fast_key = secrets.token_bytes(32)
        self._seen: dict[bytes, Caller] = {}

    @property
    def callers(self) -> list[Caller]:
        """Everybody who has a key, and whoever calls without one where that is allowed."""
        return [self._local, *(caller for _, caller in self._callers.values())]

    def caller(self, presented: bytes, today: datetime.date) -> Caller:
        """The caller of a key. Raises `BadKey`, in the same words whether a key is unknown, revoked or expired."""
        if not presented:
            if not self._require_key:
                return self._local
            raise BadKey(
                "no API key was sent: give one as `Authorization: Bearer KEY` or `x-api-key: KEY`; `smallfirst keys create` makes one"
            )
        # Known keys are found by a keyed BLAKE2 of the whole key, which costs a tenth of the HMAC that is stored; both are of secrets
        # that no caller has, so that the time of a look-up tells nothing.
        fast = hashlib.blake2b(presented, key=self._fast_key, digest_size=32).digest()
        caller = self._seen.get(fast)
        if caller is None:
            caller = self._known(presented)
            if (
                caller is not self._local
            ):  # remembered: as many as there are keys, never what a caller invents
                self._seen[fast] = caller
        if caller.expires is not None and caller.expires < today:
            raise BadKey("this API key is not known here, or no longer")
        return caller

    def _known(self, presented: bytes) -> Caller:
        digest = hmac.digest(self._secret, presented, "sha256")
        known = self._callers.get(digest)
        if known is not None and hmac.compare_digest(known[0], digest):
            return known[1]
        if not self._require_key and not self._callers:
            return self._local  # an SDK always sends some key
        raise BadKey("this API key is not known here, or no longer")


def presented_key(authorization: bytes, api_key: bytes) -> bytes:
    """The key of a request: `Authorization: Bearer KEY`, else `x-api-key` (or Azure's `api-key`)."""
    if authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip()
    return api_key
