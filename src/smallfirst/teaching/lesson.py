"""What a lesson is about: a task, the dataset that its next version continues, and what is taken out of texts."""

from __future__ import annotations

import msgspec

from smallfirst.config.finding import nearest_or_all
from smallfirst.config.schema import Task
from smallfirst.contracts import Contract
from smallfirst.datasets.addition import Change, add
from smallfirst.datasets.build import Order, Result
from smallfirst.datasets.erased import is_forgotten, tombstones_of
from smallfirst.datasets.held import Marks
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.reference import Kind, kind_of
from smallfirst.datasets.store import Dataset, Datasets
from smallfirst.datasets.terms import forbidden_providers, simulated_providers
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.evals.session import Home


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """Opened by `lesson_of`. `redactor` counts what it takes out: one lesson is for one new version."""

    home: Home
    parent: Dataset
    order: Order
    datasets: Datasets
    redactor: Redactor

    @property
    def task(self) -> str:
        return self.order.task

    @property
    def told(self) -> Task:
        """The task as it is configured."""
        return self.home.config.tasks[self.order.task]

    @property
    def contract(self) -> Contract:
        return self.order.contract

    @property
    def marks(self) -> Marks:
        return Marks(after=self.order.after, before=self.order.before)

    def make(self, change: Change) -> Result:
        """The next version. Raises as `addition.add` does."""
        return add(change, self.parent, self.order, self.datasets, redactor=self.redactor)


def lesson_of(home: Home, task: str, dataset: str, *, note: str) -> Lesson:
    """Raises `ConfigError` for an unknown task, `DatasetError` where there is no dataset to continue, it has no train examples, or examples of
    calls that were erased.
    """
    config = home.config
    if task not in config.tasks:
        raise ConfigError(f"task {task!r} is not known{nearest_or_all(task, config.tasks)}", path="TASK")
    told = config.tasks[task]
    datasets = Datasets(home.state)
    parent = _parent(datasets, task, dataset, kind=kind_of(told.contract))
    _check_erased(parent, home)
    order = Order(
        task=task,
        contract=told.contract,
        rule=parent.manifest.rule,
        after=told.router.question_after,
        before=told.router.question_before,
        forbidden=forbidden_providers(config),
        simulated=simulated_providers(config),
        note=note,
    )
    redactor = Redactor(config.learning.redact, told.redact)
    return Lesson(home=home, parent=parent, order=order, datasets=datasets, redactor=redactor)


def _check_erased(parent: Dataset, home: Home) -> None:
    """The next version would have them too."""
    tombstones = tombstones_of(home.state)
    count = sum(is_forgotten(member.calls, tombstones) for member in parent.members())
    if count:
        raise DatasetError(
            f"{count:,} examples of dataset {parent.id[:12]} come from calls that have been erased since: `smallfirst dataset build` first, "
            "which leaves them out, then continue that"
        )


def _parent(datasets: Datasets, task: str, name: str, *, kind: Kind) -> Dataset:
    if name == "newest" and datasets.newest(task) is None:
        raise DatasetError(
            f"task {task!r} has no dataset to continue: what is learned must be judged by examples that were held out before. "
            "`smallfirst dataset build` or `smallfirst dataset import` makes one"
        )
    found = datasets.open(name, task=task)
    if found.manifest.task != task:
        raise DatasetError(f"--dataset: {found.id[:12]} is of task {found.manifest.task!r}, not of {task!r}")
    if found.manifest.contract != kind:
        raise DatasetError(
            f"dataset {found.id[:12]} was made for a {found.manifest.contract} contract, and tasks.{task}.contract is {kind}: build or import it anew"
        )
    if not found.manifest.parts["train"].rows:
        raise DatasetError(
            f"dataset {found.id[:12]} has no train examples: there is nothing to learn from beside them"
        )
    return found
