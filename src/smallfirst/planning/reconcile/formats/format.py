"""How one kind of account is written: its columns, what they mean, and how finely it divides."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from smallfirst.planning.reconcile.line import Classes, Line
from smallfirst.planning.reconcile.row import Row


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """`needs` are the columns without which it is not this format. `line` reads a row; None where the row says nothing.

    `by_request`: it has a line for each request, with its id. `kind`: the provider kind in the configuration that writes it, if any.
    `judges_tokens` False: its tokens are counted by another tokenizer than the model's own, and only shown.
    `exact`: its amounts are never rounded.
    """

    name: str
    title: str
    source: str  # where the format is written down
    needs: frozenset[str]
    line: Callable[[Row], Line | None]
    classes: Classes = {}
    by_request: bool = False
    kind: str = ""
    judges_tokens: bool = True
    exact: bool = False
