"""One name for each model, however a provider, a reply and a configuration write it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_DATE = re.compile(r"[-@]20\d\d-?(0[1-9]|1[0-2])-?([0-2]\d|3[01])$")
_SEPARATORS = re.compile(r"[\s._]+")


def common_name(name: str) -> str:
    """Without its vendor and its snapshot's date, in one spelling: `anthropic/claude-haiku-4.5`, `Claude Haiku 4.5` and
    `claude-haiku-4-5-20251001` are `claude-haiku-4-5`.
    """
    plain = _SEPARATORS.sub("-", name.strip().lower().rsplit("/", 1)[-1])
    return _DATE.sub("", plain) or plain


class ModelNames:
    """Finds the provider's name of an attempt's model also where no reply told it: cut, cancelled and lost attempts.

    `ids`: what the configuration says, model name to the provider's id.
    """

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = dict(ids)
        self._learned: dict[tuple[str, str], str] = {}

    def learn(self, provider: str, model: str, upstream_model: str) -> None:
        """A reply named its model."""
        if upstream_model and (provider, model) not in self._learned:
            self._learned[provider, model] = upstream_model

    def of(self, provider: str, model: str, upstream_model: str) -> str:
        """The common name of an attempt's model."""
        known = upstream_model or self._learned.get((provider, model)) or self._ids.get(model) or model
        return common_name(known)
