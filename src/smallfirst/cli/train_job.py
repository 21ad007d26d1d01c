"""What every method of `smallfirst train` is given: one file a method reads it, trains and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from smallfirst.errors import ConfigError

if TYPE_CHECKING:
    from smallfirst.config.schema import Task
    from smallfirst.datasets.store import Dataset
    from smallfirst.evals.session import Home


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`dataset` is as it was said; empty where nothing was."""

    task: str
    told: Task
    home: Home
    dataset: str
    seed: int
    note: str
    as_json: bool

    @property
    def state(self) -> Path:
        return self.home.state

    def opened(self) -> Dataset:
        """The dataset that was named, else the newest of the task. Raises `DatasetError`, or `ConfigError` where it is another task's."""
        from smallfirst.datasets.store import Datasets

        found = Datasets(self.state).open(self.dataset or "newest", task=self.task)
        if found.manifest.task != self.task:
            raise ConfigError(
                f"dataset {found.id[:12]} is of task {found.manifest.task!r}, not of {self.task!r}",
                path="--dataset",
            )
        return found
