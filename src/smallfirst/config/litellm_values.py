"""Values of a LiteLLM file.

`os.environ/NAME` references, keys that were pasted in, and the list of what is left behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

_MAX_MAGNITUDE = 15
_REFERENCE = "os.environ/"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_KEY = {
    "",
    "none",
    "null",
    "empty",
    "no-key",
    "no_key",
    "not-needed",
    "not_needed",
    "dummy",
    "fake",
    "fake-key",
    "anything",
}


class Values:
    """Looks values up, keeps secrets out, and collects what could not be taken.

    `data` is the whole file: what it refers to and what its `environment_variables` say.
    """

    def __init__(self, environ: Mapping[str, str], data: dict[str, Any]) -> None:
        section = data.get("environment_variables")
        own = section if isinstance(section, dict) else {}
        self._referenced = set(_references(data))
        self._environ = {**environ, **{str(name): str(value) for name, value in own.items()}}
        self._invented: dict[str, str] = {}  # the pasted value → the variable invented for it
        self._own = own
        self.left: list[str] = []

    def leave(self, path: str, why: str) -> None:
        """Remembers that something was not taken."""
        line = f"{path}: {why}"
        if line not in self.left:
            self.left.append(line)

    def text(self, value: Any) -> str | None:
        """A value that is no secret.

        None where it is a reference to a variable that is not set, or no text.
        """
        if not isinstance(value, str):
            return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        if value.startswith(_REFERENCE):
            return self._environ.get(value.removeprefix(_REFERENCE), "").strip() or None
        return value.strip()

    def secret(self, value: Any, variable: str) -> str | None:
        """A secret as `env:NAME`.

        The file's own reference, or `variable` (numbered if need be) where it was pasted in; None for "no
        key".
        """
        text = str(value).strip() if isinstance(value, str | int) else ""
        if text.lower() in _NO_KEY:
            return None
        name = text.removeprefix(_REFERENCE)
        if text.startswith(_REFERENCE) and _VARIABLE.fullmatch(name):
            if name in self._own:
                self._invented.setdefault(str(self._own[name]), name)
            return f"env:{name}"
        if text not in self._invented:
            # A name that the file means something else by would send one provider's key to another.
            taken = self._referenced | set(self._invented.values())
            candidates = [variable, *(f"{variable}_{number}" for number in range(2, len(taken) + 3))]
            self._invented[text] = next(name for name in candidates if name not in taken)
        return f"env:{self._invented[text]}"

    def invented_lines(self) -> list[str]:
        """One line for each variable that has to be set by hand, because its value stood in the file."""
        return [
            f"set {name} in the environment: its value stands in the LiteLLM file, and was not copied"
            for name in sorted(self._invented.values())
        ]


def _references(value: Any) -> Iterator[str]:
    """Every variable that the file refers to."""
    if isinstance(value, str) and value.startswith(_REFERENCE):
        yield value.removeprefix(_REFERENCE)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)


def number(value: Any) -> Decimal | None:
    """A number, exactly as it was written.

    YAML reads `1e-6` as text, and 0.000001 as a float whose shortest form is what was written.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) <= _MAX_MAGNITUDE else None


def variable_of(text: str) -> str:
    """A text as the beginning of a variable's name: `together_ai` → `TOGETHER_AI`."""
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_") or "LITELLM"
