"""The verdicts of one state directory: written by the gate, checked by whoever serves.

STATE/verdicts/<candidate>/<verdict>.json       the verdict; its name is the hash of what it says
STATE/verdicts/<candidate>/<verdict>.lapsed     by model, why what was compared is no longer what answers
STATE/verdicts/<candidate>/<verdict>.approved   who approved it, and when
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.config.schema import Config
from smallfirst.config.secrets import resolve
from smallfirst.durable import locked, write_whole
from smallfirst.errors import ReleaseError
from smallfirst.releases.policy import canonical
from smallfirst.releases.verdict import Verdict

_NAME = re.compile(r"[0-9a-f]{64}")
_FORMAT = 1
_LOCK = ".lock"


class Lapse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the evidence on one model no longer counts."""

    at_ms: int
    reason: str


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody's word that a verdict may be acted on. Signed as verdicts are."""

    verdict: str
    by: str
    at_ms: int
    signature: str = ""

    @property
    def signed_bytes(self) -> bytes:
        return canonical(msgspec.structs.replace(self, signature=""))


def signing_key(config: Config, environ: Mapping[str, str]) -> bytes | None:
    """The key that `gate.signing_key` names; None where verdicts are not signed. Raises `ConfigError` where its variable is not set."""
    if config.gate.signing_key is None:
        return None
    return resolve(config.gate.signing_key, environ, path="gate.signing_key").encode()


def signature(data: bytes, key: bytes) -> str:
    """HMAC-SHA256, in hex (RFC 2104)."""
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def is_signed(signed: Verdict | Approval, key: bytes) -> bool:
    """Whether the signature is the key's, compared in constant time."""
    return hmac.compare_digest(signed.signature.encode(), signature(signed.signed_bytes, key).encode())


class Verdicts:
    """Written whole or not at all. Every method raises `ReleaseError` where a file is not what its name says."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "verdicts"

    def save(self, verdict: Verdict, *, key: bytes | None = None) -> str:
        """Keeps a verdict, signed where there is a key, and returns its id."""
        if key is not None:
            verdict = msgspec.structs.replace(verdict, signature=signature(verdict.signed_bytes, key))
        write_whole(self._path(verdict.candidate, verdict.id), canonical(verdict))
        return verdict.id

    def ids(self, candidate: str) -> list[str]:
        """The verdicts on a release, those written last first."""
        folder = self.folder / candidate
        if not folder.is_dir():
            return []
        paths = [path for path in folder.glob("*.json") if _NAME.fullmatch(path.stem)]
        return [path.stem for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)]

    def load(self, candidate: str, name: str) -> Verdict:
        """The verdict of that id on that release, if it still says what its name says."""
        verdict = self.read(self._path(candidate, name), name=name)
        if verdict.candidate != candidate:
            raise ReleaseError(
                f"verdict {name[:12]} is on release {verdict.candidate[:12]}, not on {candidate[:12]}; "
                f"`smallfirst gate {candidate[:12]}` judges this one"
            )
        return verdict

    def find(self, candidate: str, prefix: str) -> str:
        """The one verdict on that release whose id begins with `prefix`."""
        found = [name for name in self.ids(candidate) if name.startswith(prefix)]
        if len(found) != 1:
            known = ", ".join(name[:12] for name in self.ids(candidate)) or "none"
            what = "no verdict" if not found else f"more than one verdict ({len(found)})"
            raise ReleaseError(
                f"{what} on release {candidate[:12]} begins with {prefix[:64]!r} (known: {known}); `smallfirst gate {candidate[:12]}` makes one"
            )
        return found[0]

    def read(self, path: Path, *, name: str = "") -> Verdict:
        """The verdict in a file; where a name is given, what it says must have that hash."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ReleaseError(
                f"verdict {path.name} is not there any more; `smallfirst gate` makes another"
            ) from None
        shown = (name or path.name)[:12]
        try:
            verdict = msgspec.json.decode(data, type=Verdict)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ReleaseError(
                f"verdict {shown} cannot be read: it was altered, or another version wrote it ({error})"
            ) from error
        if verdict.format != _FORMAT:
            raise ReleaseError(f"verdict {shown} has format {verdict.format}, this version reads {_FORMAT}")
        if name and (verdict.id != name or data != canonical(verdict)):
            raise ReleaseError(
                f"verdict {shown} was altered after it was reached: what it says no longer has its name's hash"
            )
        return verdict

    def lapse(self, candidate: str, name: str, *, model: str, reason: str) -> bool:
        """Notes that a model is no longer what was compared; False where that was noted before.

        From then on the tasks that ask this model go to their frontier, until there is another verdict.
        """
        path = self._path(candidate, name, "lapsed")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(
            path.parent / _LOCK
        ):  # the gateway and the controller's probes may find something at once
            known = self.lapsed(candidate, name)
            if model in known:
                return False
            lapse = Lapse(at_ms=int(time.time() * 1000), reason=reason[:500])
            write_whole(path, msgspec.json.encode({**known, model: lapse}))
        return True

    def lapsed(self, candidate: str, name: str) -> dict[str, Lapse]:
        """Why the evidence no longer counts, by model; empty while it does. A file that cannot be read counts against every model (`*`)."""
        path = self._path(candidate, name, "lapsed")
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Lapse])
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return {ANY_MODEL: Lapse(at_ms=0, reason=f"{path.name} cannot be read ({error})")}

    def lapse_stamp(self, candidate: str, name: str) -> int:
        """Changes whenever what lapsed does; 0 where nothing has."""
        try:
            return self._path(candidate, name, "lapsed").stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def approve(self, candidate: str, name: str, *, by: str, key: bytes | None = None) -> Approval:
        """Keeps somebody's approval, signed where there is a key. Who may approve is the caller's to check."""
        approval = Approval(verdict=name, by=by, at_ms=int(time.time() * 1000))
        if key is not None:
            approval = msgspec.structs.replace(approval, signature=signature(approval.signed_bytes, key))
        write_whole(self._path(candidate, name, "approved"), canonical(approval))
        return approval

    def approval(self, candidate: str, name: str) -> Approval | None:
        """Who approved it; None where nobody has."""
        path = self._path(candidate, name, "approved")
        try:
            return msgspec.json.decode(path.read_bytes(), type=Approval)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ReleaseError(
                f"{path} cannot be read ({error}); `smallfirst gate approve` writes another"
            ) from error

    def _path(self, candidate: str, name: str, kind: str = "json") -> Path:
        for part in (candidate, name):
            if not _NAME.fullmatch(part):
                raise ReleaseError(
                    f"{part[:64]!r} is no id of a release or a verdict: 64 hexadecimal digits are"
                )
        return self.folder / candidate / f"{name}.{kind}"


ANY_MODEL = "*"
