"""What differs as a CSV, a line for each call (or day and model), written as it is found and there whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from smallfirst.money import NUSD_PER_USD
from smallfirst.planning.reconcile.result import Differing
from smallfirst.planning.spreadsheet import as_text

_HEADS = (
    "cause", "at", "model", "request_id", "call", "seq", "status", "group", "where", "theirs_usd", "ours_usd", "difference_usd", "difference_nusd",
)  # fmt: skip
Told = Callable[[Differing], None]


@contextmanager
def differences_csv(target: Path | IO[str], classes: tuple[str, ...]) -> Iterator[Told]:
    """A function to be told each difference; `classes` are the account's token classes, which have a column each.

    A file is its owner's alone, and takes its name when all is written. Raises `OSError` where it cannot be.
    """
    if not isinstance(target, Path):
        yield _writer(target, classes)
        target.flush()
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
            yield _writer(out, classes)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _writer(out: IO[str], classes: tuple[str, ...]) -> Told:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_HEADS, *(f"difference_{name}_tokens" for name in classes), "what", "calls"))

    def told(found: Differing) -> None:
        texts = (found.kind, found.at, found.model, found.request_id, found.call)
        amounts = (found.theirs_usd, found.ours_usd, found.difference_usd)
        writer.writerow(
            (
                *(as_text(text) for text in texts),
                "" if found.seq is None else found.seq,
                *(as_text(text) for text in (found.status, found.group, found.where)),
                *("" if amount is None else f"{amount:f}" for amount in amounts),
                f"{(found.difference_usd * NUSD_PER_USD).to_integral_value():f}",
                *(found.tokens.get(name, 0) for name in classes),
                as_text(found.what),
                " ".join(found.calls),
            )
        )

    return told
