"""What may be learned from: providers must exist, and kinds of personal data must be known."""

from __future__ import annotations

from collections.abc import Iterator

from smallfirst.config import dotted
from smallfirst.config.finding import Finding, error, nearest_or_all
from smallfirst.config.schema import Config

PERSONAL_DATA = ("email", "iban", "credit-card", "ssn", "ip", "phone")
"""The kinds that `datasets/personal_data.py` finds; `phone:FR` is `phone` with the country whose national numbers are meant."""


def check_learning(config: Config) -> Iterator[Finding]:
    """Every name in `[learning]`."""
    for at, name in enumerate(config.learning.never_train_on):
        if name not in config.providers:
            where = dotted.item("learning.never_train_on", at)
            yield error(where, f'provider "{name}" is not declared{nearest_or_all(name, config.providers)}')
    for at, kind in enumerate(config.learning.redact):
        where = dotted.item("learning.redact", at)
        if kind == "none":
            if len(config.learning.redact) > 1:
                yield error(where, '"none" stands alone: it means that nothing is taken out')
        elif kind not in PERSONAL_DATA and not kind.startswith("phone:"):
            yield error(where, f'"{kind}" is not known{nearest_or_all(kind, PERSONAL_DATA)}')
