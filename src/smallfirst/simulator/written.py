"""Examples that a prompt asks the simulated model to write: the prompt's own, taken apart and put together again.

It stands in for a model that can write, so that what asks one can be tried; the messages are as good as that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

from .prompt import compact

_WANTED = re.compile(r"JSON array of (\d{1,3}) (strings|objects)")
_BEGINNINGS = (
    "Hello,", "Hi there,", "Good morning,", "Quick question:", "Since yesterday:", "Again:", "For my colleague:", "As I wrote before,",
    "Could somebody look at this?", "Sorry to ask,", "Not urgent, but", "Urgent:", "From the road:", "On behalf of our team:",
)  # fmt: skip
_ENDS = (
    "thanks a lot", "please advise", "since this morning", "and my manager is waiting", "what now?", "it was fine last week",
    "I have tried twice", "any idea?", "please call me back", "that is all I know", "on two machines", "before the weekend if you can",
)  # fmt: skip


def written_examples(user: str, rng: Random) -> str | None:
    """The JSON array that the prompt asks for; ``None`` where it asks for none, or shows nothing to write after."""
    wanted = _WANTED.search(user)
    if wanted is None:
        return None
    values = [_value(line) for line in user.splitlines()]
    if wanted[2] == "strings":
        shown: list[Any] = [value for value in values if isinstance(value, str)]
    else:
        shown = [
            value for value in values if isinstance(value, dict) and isinstance(value.get("message"), str)
        ]
    if not shown:
        return None
    return compact([_written(shown, rng) for _ in range(int(wanted[1]))])


def _written(shown: Sequence[Any], rng: Random) -> Any:
    one, other = rng.choice(shown), rng.choice(shown)
    if isinstance(one, str):
        return _message(_crossed(one, other), rng)
    return {**one, "message": _message(one["message"], rng)}  # its value stays right: nothing of it goes


def _message(text: str, rng: Random) -> str:
    return f"{rng.choice(_BEGINNINGS)} {text.rstrip('.')}, {rng.choice(_ENDS)}"


def _crossed(one: str, other: str) -> str:
    """The first half of one message and the second of another."""
    first, second = one.split(), other.split()
    return " ".join([*first[: (len(first) + 1) // 2], *second[(len(second) + 1) // 2 :]])


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
