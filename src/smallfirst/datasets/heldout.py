"""The held-out part of a dataset. Only `gate/` may import this module: the import contracts say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smallfirst.datasets.example import Example
from smallfirst.datasets.store import Dataset, read_part


def open_heldout(dataset: Dataset, record: Callable[[dict[str, Any]], None]) -> list[Example]:
    """All held-out examples, in order of id. `record` is called first, with what is about to be read, and must have written it down when it
    returns: a read that is not recorded does not happen. Raises `DatasetError` where the file was altered.

    `seal` is the same for all versions of a dataset that continue one held-out part: by it reads are counted.
    """
    manifest = dataset.manifest
    part = manifest.parts["heldout"]
    record(
        {
            "dataset": dataset.id,
            "task": manifest.task,
            "heldout_sha256": part.sha256,
            "seal": manifest.seal,
            "rows": part.rows,
        }
    )
    return list(read_part(dataset, "heldout"))
