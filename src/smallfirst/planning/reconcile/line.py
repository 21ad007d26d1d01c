"""One line of a provider's account: a request, or all of a day's or an hour's, as it is charged."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from smallfirst.chat import Usage

PROMPT = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
)
COMPLETION = ("output_tokens", "reasoning_tokens", "output_audio_tokens")

Classes = Mapping[str, tuple[str, ...]]
"""How an account divides tokens: the name of each class, and the fields of our `Usage` that it holds. What an account does not divide cannot be
compared any finer.
"""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider charges by one line. Times are Unix milliseconds; of a request `until_ms` is `at_ms`.

    `model` is empty where all models are meant, `tokens` and `usd` are None where the account does not tell them.
    """

    where: str  # in the file: "line 17"
    at_ms: int
    until_ms: int
    model: str = ""
    request_id: str = ""
    group: str = ""  # the project, workspace or key it is for
    part: str = ""  # the token class that this amount is for
    requests: int | None = None
    tokens: dict[str, int] | None = None
    usd: Decimal | None = None
    note: str = ""  # what they say of it: cut, cancelled, batch

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is charged and nothing was used."""
        return not self.usd and not any((self.tokens or {}).values())


def by_class(usage: Usage, classes: Classes) -> dict[str, int]:
    """Our tokens as an account divides them."""
    return {name: sum(getattr(usage, field) for field in fields) for name, fields in classes.items()}
