"""Secrets are written as `env:NAME`, looked up once at the start, and never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping

from smallfirst.errors import ConfigError

_PREFIX = "env:"
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_SECRET_HEADER = re.compile(
    r"authorization|cookie|(^|[-_])(key|token|secret|password)($|[-_])|apikey", re.IGNORECASE
)
# Keys as providers make them: a known beginning, then at least twelve characters with a digit among them.
_KEY = re.compile(
    r"(?<![A-Za-z0-9])((sk|pk|rk|xai|gsk|hf|ghp|gho|sf|r8|fw|tgp|pplx|nvapi)[-_]|AIza|AKIA|eyJ)"
    r"(?=[-_A-Za-z]*[0-9])[-_A-Za-z0-9.]{12,}"
    r"|\b([Bb]earer|[Bb]asic)\s+\S{6,}"
)
_LONG = re.compile(r"[A-Za-z0-9+=_-]{24,}")
_LOOKED_AT_CHARS = 4096
_IDENTIFIER_HEADER = re.compile(r"(organization|project|id)$", re.IGNORECASE)


SIMULATED_KEYS = ("Bearer simulated", "simulated")  # what the simulated frontier is content with: no secret


class Secret:
    """A secret's value, printed as the reference it came from: a log line or a traceback cannot leak it.

    `reveal` gives the value.
    """

    __slots__ = ("_ref", "_value")

    def __init__(self, ref: str, value: str) -> None:
        self._ref = ref
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return self._ref

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError(f"{self._ref} is a secret and is not pickled")


def secret(ref: str, environ: Mapping[str, str], *, path: str) -> Secret:
    """The secret that `env:NAME` refers to.

    Raises `ConfigError` at `path` where it is no reference, or the variable is unset, empty or cannot stand
    in a header. No message holds a value.
    """
    if not is_reference(ref):
        raise ConfigError(
            'expected a reference such as "env:OPENAI_API_KEY"; what stands there is not shown', path=path
        )
    name = ref.removeprefix(_PREFIX)
    value = environ.get(name, "").strip()
    if not value:
        state = "empty" if name in environ else "not set"
        raise ConfigError(f"the environment variable {name} is {state}", path=path)
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(
            f"the environment variable {name} holds a character that no HTTP header can carry", path=path
        )
    return Secret(ref, value)


def resolve(ref: str, environ: Mapping[str, str], *, path: str) -> str:
    """The value that `env:NAME` refers to, without the blank space around it.

    Raises `ConfigError` as `secret` does.
    """
    return secret(ref, environ, path=path).reveal()


def resolve_headers(headers: Mapping[str, str], environ: Mapping[str, str], *, path: str) -> dict[str, str]:
    """Headers with each value that begins with `env:` looked up; others stay as they are.

    Raises `ConfigError` as `secret` does.
    """
    return {
        name: resolve(value, environ, path=f"{path}.{name}") if value.startswith(_PREFIX) else value
        for name, value in headers.items()
    }


def is_reference(text: str) -> bool:
    """Whether this is a well-formed `env:NAME`."""
    return _REFERENCE.fullmatch(text) is not None


def variable(ref: str) -> str:
    """The name of the variable that a reference names."""
    return ref.removeprefix(_PREFIX)


def is_secret_header(name: str) -> bool:
    """Whether a header of this name carries a credential."""
    return _SECRET_HEADER.search(name) is not None


def is_key(text: str) -> bool:
    """Whether a text holds what providers' keys look like."""
    return not is_reference(text) and _KEY.search(text[:_LOOKED_AT_CHARS]) is not None


def looks_secret(text: str) -> bool:
    """Whether a text could be a secret: a key, or long and random.

    Errs on the side of yes: the price is a message that shows less.
    """
    if is_reference(text):
        return False
    return is_key(text) or any(_is_random(part) for part in _LONG.findall(text[:_LOOKED_AT_CHARS]))


def _is_random(part: str) -> bool:
    """Letters, and digits in at least three places: words with a year or a number at their end are not."""
    return any(char.isalpha() for char in part) and len(re.findall(r"[0-9]+", part)) >= 3


def header_looks_secret(name: str, value: str) -> bool:
    """Whether a header's literal value could be a secret.

    Identifiers of organizations and projects are none.
    """
    if is_reference(value) or value in SIMULATED_KEYS:
        return False
    if is_secret_header(name) or is_key(value):
        return True
    return looks_secret(value) and not _IDENTIFIER_HEADER.search(name)


def without_credentials(url: str) -> str:
    """A URL as it may be shown: without user, password, query and fragment."""
    return re.sub(r"//[^/@]*@", "//***@", url).split("?")[0].split("#")[0]
