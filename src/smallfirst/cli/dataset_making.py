"""What `smallfirst dataset build` and `import` have in common: from options and the configuration to the dataset that is made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from smallfirst.cli.progress import progress_bar

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.datasets.build import Order, Result
    from smallfirst.datasets.manifest import Rule
    from smallfirst.datasets.redaction import Redactor
    from smallfirst.datasets.row import Row, Tally
    from smallfirst.datasets.store import Dataset, Datasets


class Making:
    """What `build` and `import` have in common: the task as it is configured, the parent, and what is redacted."""

    def __init__(self, config: Path | None, task: str, rule: Rule, parent: str, note: str) -> None:
        from smallfirst.config import find, load
        from smallfirst.datasets.redaction import Redactor
        from smallfirst.datasets.store import Datasets
        from smallfirst.errors import ConfigError

        path = find(config)
        self.loaded: Config = load(path)
        if task not in self.loaded.tasks:
            raise ConfigError(
                f"task {task!r} is not known (tasks: {', '.join(self.loaded.tasks) or 'none'})", path="--task"
            )
        self.state = (path.parent / self.loaded.storage.path).resolve()
        self.datasets: Datasets = Datasets(self.state)
        self.redactor: Redactor = Redactor(self.loaded.learning.redact, self.loaded.tasks[task].redact)
        self.parent = _parent(self.datasets, parent, task)
        if parent == "none" and self.datasets.newest(task) is not None:
            Console(stderr=True).print(
                f"A held-out part of its own: examples that earlier datasets of {task} hold out may now be trained on.",
                highlight=False,
            )
        self.order: Order = self._order(task, rule, note)

    def make(self, rows: Iterable[Row], tally: Tally) -> Result:
        """Makes the dataset under a progress bar."""
        from smallfirst.datasets.build import build as made

        with progress_bar() as progress:
            return made(
                rows,
                self.order,
                self.datasets,
                redactor=self.redactor,
                tally=tally,
                parent=self.parent,
                progress=progress,
            )

    def _order(self, task: str, rule: Rule, note: str) -> Order:
        from smallfirst.datasets.build import Order
        from smallfirst.datasets.erased import tombstones_of
        from smallfirst.datasets.terms import forbidden_providers, simulated_providers

        told = self.loaded.tasks[task]
        return Order(
            task=task,
            contract=told.contract,
            rule=rule,
            after=told.router.question_after,
            before=told.router.question_before,
            forbidden=forbidden_providers(self.loaded),
            simulated=simulated_providers(self.loaded),
            forgotten=tombstones_of(self.state),
            note=note,
        )


def _parent(datasets: Datasets, name: str, task: str) -> Dataset | None:
    from smallfirst.errors import DatasetError

    if name == "none" or (name == "newest" and datasets.newest(task) is None):
        return None
    parent = datasets.open(name, task=task)
    if parent.manifest.task != task:
        raise DatasetError(
            f"--parent: dataset {parent.id[:12]} is of task {parent.manifest.task!r}, not of {task!r}"
        )
    return parent


def rule_of(
    split: str, heldout: int | None, *, by_time: bool, group_by: str, alike: tuple[float, float], seed: int
) -> Rule:
    """The rule that options ask for; `alike`: from which likeness on texts share a group, and from which on they are one. Raises `ConfigError`."""
    from smallfirst.datasets.manifest import Rule
    from smallfirst.errors import ConfigError

    try:
        train, calibration, rest = (float(share) for share in split.split("/"))
    except ValueError:
        raise ConfigError(f"expected three shares as in 60/20/20, not {split!r}", path="--split") from None
    if min(train, calibration, rest) < 0 or train + calibration + rest <= 0:
        raise ConfigError("shares are not negative, and not all of them 0", path="--split")
    if group_by not in ("conversation", "tenant"):
        raise ConfigError(f"expected conversation or tenant, not {group_by!r}", path="--group-by")
    total = train + calibration + rest
    return Rule(
        ratios=(train / total, calibration / total, rest / total),
        heldout_rows=heldout,
        seed=seed,
        by_time=by_time,
        group_by="tenant" if group_by == "tenant" else "conversation",
        near=alike[0],
        same=alike[1],
    )
