"""Where adapters are served: `STATE/adapters/deployed.json`. `smallfirst adapters deploy` writes it, servers and releases read it.

A deployment is recorded when the server's own answers to the adapter's probes were those of the trainer's model. A release may name no adapter
that is not deployed where its model is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from smallfirst.config.schema import Name
from smallfirst.durable import locked, write_whole
from smallfirst.errors import StateError
from smallfirst.models.adapters.adapter import Form, served_name

EMBEDDED = "embedded"
_FILE = "deployed.json"
_Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """`target`: "embedded", or the base URL of a server. `base` is what the server calls the base model; `sha256` the served artefact's.

    `same` of `probes` answers were the trainer's.
    """

    adapter: _Hash
    task: Name
    form: Form
    sha256: _Hash
    target: str
    base: str
    at_ms: int
    by: str
    probes: int
    same: float

    @property
    def served_name(self) -> str:
        """What the server knows it by."""
        return served_name(self.task, self.adapter)


def deployments(state: Path) -> tuple[Deployment, ...]:
    """All, oldest first. Raises `StateError` where the file cannot be read."""
    path = state / "adapters" / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Deployment, ...])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(
            f"{path} cannot be read: {error}; `smallfirst adapters deploy` writes it anew once it is moved away"
        ) from error


def deployments_stamp(state: Path) -> tuple[int, int, int]:
    """Changes whenever the file does: it is replaced, never written into."""
    try:
        found = (state / "adapters" / _FILE).stat()
    except FileNotFoundError:
        return (-1, -1, -1)
    return found.st_ino, found.st_mtime_ns, found.st_size


def add_deployment(state: Path, new: Deployment) -> None:
    """Records it, in the place of what was known of the same adapter at the same target."""
    _change(state, drop=(new.adapter, new.target), add=new)


def remove_deployment(state: Path, adapter: str, target: str) -> None:
    """Forgets it."""
    _change(state, drop=(adapter, target), add=None)


def _change(state: Path, *, drop: tuple[str, str], add: Deployment | None) -> None:
    folder = state / "adapters"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / f".{_FILE}.lock"):
        kept = [one for one in deployments(state) if (one.adapter, one.target) != drop]
        write_whole(folder / _FILE, msgspec.json.encode([*kept, *([add] if add else [])]))
