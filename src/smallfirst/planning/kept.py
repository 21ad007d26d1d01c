"""Things that are kept under a name: `STATE/FOLDER/NAME.json`, for the owner's eyes only, written whole, of a format that has a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import ConfigError, StateError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Named(Protocol):
    """What can be kept: it knows its name, and the format in which it was written."""

    @property
    def name(self) -> str: ...

    @property
    def format(self) -> int: ...


AnyNamed = TypeVar("AnyNamed", bound=Named)


class Kept(Generic[AnyNamed]):
    """All of one kind. `word` is what one is called, `again` what to do about one that another smallfirst has written."""

    def __init__(
        self, kind: type[AnyNamed], *, word: str, folder: str, format_number: int, again: str
    ) -> None:
        self._kind = kind
        self._word = word
        self._folder = folder
        self._format = format_number
        self._again = again

    def path(self, state: Path, name: str) -> Path:
        """Where one of that name is. Raises `ConfigError` for a name that is none."""
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"expected letters, digits, dots, dashes and underscores, at most 64, not {name!r}",
                path=self._word,
            )
        return state / self._folder / f"{name}.json"

    def names(self, state: Path) -> list[str]:
        """Those that there are, in their order."""
        files = (state / self._folder).glob("*.json")
        return sorted(file.stem for file in files if not file.name.startswith("."))

    def save(self, state: Path, made: AnyNamed) -> Path:
        """Writes it whole, in the place of the one before. Raises `OSError` where it cannot be written."""
        path = self.path(state, made.name)
        write_whole(path, msgspec.json.encode(made))
        return path

    def load(self, state: Path, name: str) -> AnyNamed:
        """The one of that name. Raises `StateError` where there is none, or it cannot be read."""
        path = self.path(state, name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            known = ", ".join(self.names(state)) or "none"
            raise StateError(
                f"no {self._word} {name!r} is saved in {state}; those that are: {known}"
            ) from None
        try:
            found = msgspec.json.decode(data, type=_Formatted).format
            if found == self._format:
                return msgspec.json.decode(data, type=self._kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StateError(f"{path} is no saved {self._word}: {error}") from None
        raise StateError(
            f"{path} was saved by another smallfirst (format {found}, this one reads {self._format}): {self._again}"
        )

    def readable(self, state: Path) -> tuple[list[AnyNamed], list[str]]:
        """Those that can be read, in their order, and why others cannot."""
        kept: list[AnyNamed] = []
        unread: list[str] = []
        for name in self.names(state):
            try:
                kept.append(self.load(state, name))
            except (StateError, ConfigError) as error:
                unread.append(str(error))
        return kept, unread

    def remove(self, state: Path, name: str) -> None:
        """Removes it. Raises `StateError` where there is none."""
        try:
            self.path(state, name).unlink()
        except FileNotFoundError:
            raise StateError(f"no {self._word} {name!r} is saved in {state}") from None


class _Formatted(msgspec.Struct):
    format: int
