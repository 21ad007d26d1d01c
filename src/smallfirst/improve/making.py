"""The steps that make something of examples: a dataset, a head, a router. Each gives the same again from the same, and pays nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from smallfirst.classify.store import Artifacts, Described
from smallfirst.config.schema import Config, Task
from smallfirst.contracts import LabelContract, TextContract
from smallfirst.datasets.build import Order, build
from smallfirst.datasets.erased import tombstones_of
from smallfirst.datasets.from_ledger import Wanted as WantedCalls
from smallfirst.datasets.from_ledger import read_calls
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.row import Tally
from smallfirst.datasets.store import Dataset, Datasets
from smallfirst.datasets.terms import forbidden_providers, simulated_providers
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.evals.outcome_rows import outcome_rows
from smallfirst.evals.runner import read_run
from smallfirst.evals.session import Home
from smallfirst.evals.store import RunStore
from smallfirst.gate.reads import Reads
from smallfirst.improve.lessons import LEAST_ROWS, has_unseen, keep_unseen, lessons
from smallfirst.ledger import Ledger
from smallfirst.models.embeddings_http import embedder_of
from smallfirst.releases import LearnedHere
from smallfirst.releases.policy import rungs_asked_as
from smallfirst.statistics.spending import spent_at
from smallfirst.training.bound import Goal, Trial
from smallfirst.training.fit_figures import fit_figures
from smallfirst.training.label_head import fit_head, open_embedders
from smallfirst.training.labels import check_labels, labels_of
from smallfirst.training.learned_source import LearnedSource
from smallfirst.training.outcomes import examples_of
from smallfirst.training.router_fit import Wanted, fit_router

Progress = Callable[[str, int, int], None]
LEDGER = "ledger"


def models_of(task: Task) -> list[str]:
    """The models of a task's ladder, by name, cheapest first."""
    return [rung if isinstance(rung, str) else rung.model for rung in task.ladder]


def heads_of(name: str, config: Config) -> list[str]:
    """The ladder's models that are heads to be trained for this task: not those of another task, or pinned by a hash."""
    return [
        model
        for model in models_of(config.tasks[name])
        if config.providers[config.models[model].provider].kind == "head"
        and config.models[model].weights_sha256 is None
        and (config.models[model].id or model) == name
    ]


def make_dataset(home: Home, task: str, wanted: str, progress: Progress) -> tuple[str, str]:
    """The dataset to learn from, and what there is to say of it. `wanted`: "build" from the ledger, "newest", a hash, or "" for what fits: a
    task whose newest dataset came from files goes on with that.

    Raises `DatasetError` where there is none.
    """
    datasets = Datasets(home.state)
    newest = datasets.newest(task)
    if wanted not in ("", "build"):
        return datasets.open(wanted, task=task).id, "as asked for"
    parent = datasets.open(newest) if newest else None
    if wanted == "" and parent is not None and LEDGER not in parent.manifest.sources:
        return parent.id, "the newest, made of files"
    try:
        found = _build(home, task, datasets, parent, progress)
    except DatasetError as error:
        if parent is None or wanted == "build":
            raise
        return parent.id, f"the newest: the ledger gives no other ({error})"
    return found, "from the ledger"


def _build(home: Home, task: str, datasets: Datasets, parent: Dataset | None, progress: Progress) -> str:
    told = home.config.tasks[task]
    order = Order(
        task=task,
        contract=told.contract,
        rule=parent.manifest.rule if parent else Rule(),
        after=told.router.question_after,
        before=told.router.question_before,
        forbidden=forbidden_providers(home.config),
        simulated=simulated_providers(home.config),
        forgotten=tombstones_of(home.state),
        note="improve",
    )
    tally = Tally()
    with Ledger.read(home.state) as ledger:
        return build(
            read_calls(ledger.queries, WantedCalls(task=task), tally),
            order,
            datasets,
            redactor=Redactor(home.config.learning.redact, told.redact),
            tally=tally,
            parent=parent,
            progress=progress,
        ).id


def train_head(home: Home, task: str, dataset: str, progress: Progress) -> dict[str, Any]:
    """Trains the task's head on a dataset's train part; the one that there is where it was trained on just that."""
    contract = home.config.tasks[task].contract
    if not isinstance(contract, LabelContract) or contract.pick not in ("one", "ordinal"):
        raise ConfigError(
            f"tasks.{task}.contract: a head answers with one label of a set, and this contract wants something else"
        )
    artifacts = Artifacts(home.state)
    newest = artifacts.newest("head", task)
    for listed in artifacts.list(kind="head"):
        if (
            newest is not None
            and listed.sha256 == newest
            and listed.described.report.get("dataset") == dataset
            and has_unseen(home.state, newest)
        ):
            return {"head": newest, "accuracy": listed.described.report.get("accuracy"), "new": False}
    rows = labels_of(Datasets(home.state).open(dataset).examples("train"))
    check_labels(rows, contract.labels, f"dataset {dataset[:12]}")
    fitted = fit_head(rows, open_embedders([]), task=task, seed=0, progress=progress)
    described = Described(
        at_ms=_now_ms(),
        kind="head",
        task=task,
        note="improve",
        report=fitted.report | {"dataset": dataset},
    )
    sha256 = artifacts.save(fitted.data, described)
    keep_unseen(home.state, sha256, fitted.outcome_rows(task))
    return {"head": sha256, "accuracy": fitted.report.get("accuracy"), "new": True}


def fit_task_router(
    home: Home, task: str, dataset: str, store: RunStore, progress: Progress
) -> dict[str, Any]:
    """Fits the task's router under the task's margin. Figures as `smallfirst router fit --json` has them.

    Fitted on what the train part teaches, thresholds chosen on a run's answers to the calibration part; where the train part teaches too
    little, the run's answers serve for both.
    """
    told = home.config.tasks[task]
    after, before = told.router.question_after, told.router.question_before
    examples = store.examples()
    wanted = _wanted(home, task, dataset, after=after, before=before)
    taught = lessons(home, task, dataset, list(zip(wanted.ladder, wanted.heads, strict=True)))
    rows = outcome_rows(read_run(store, examples), examples)
    if len(taught) >= LEAST_ROWS:
        rows = [*taught, *(msgspec.structs.replace(row, split="calibration") for row in rows)]
    found = fit_router(
        examples_of(rows, after=after, before=before),
        wanted,
        LearnedSource(embedder_of(told.router.embedder, home.config, home.environ)),
        progress,
    )
    figures = fit_figures(found)
    described = Described(at_ms=_now_ms(), kind="router", task=task, note="improve", report=figures)
    return figures | {"router": Artifacts(home.state).save(found.data, described)}


def _trial(home: Home, dataset: str) -> Trial | None:
    """The gate that comes next: the read of this dataset's held-out part that it would make."""
    found, rule = Datasets(home.state).open(dataset), home.config.gate
    rows, seal = found.manifest.parts["heldout"].rows, found.manifest.seal
    reads = Reads(home.state, alpha=rule.alpha)
    next_read = len(reads.made(seal, *reads.kin(found))) + 1
    return Trial(rows, spent_at(next_read, rule.alpha), rule.power) if rows else None


def _wanted(home: Home, task: str, dataset: str, *, after: str, before: str) -> Wanted:
    told, config, learned = home.config.tasks[task], home.config, LearnedHere(home.state)
    names = models_of(told)
    models, rungs = [config.models[name] for name in names], rungs_asked_as(task, config, learned)
    heads = [
        learned.head(model.weights_sha256 or model.id or name)
        if config.providers[model.provider].kind == "head"
        else ""
        for name, model in zip(names, models, strict=True)
    ]
    return Wanted(
        task=task,
        ladder=tuple(names),
        goal=Goal(margin=told.models_margin, confidence=0.95, trial=_trial(home, dataset)),
        heads=tuple(heads),
        asked_as=tuple(rungs[name] for name in names),
        looks=told.router.verify or not isinstance(told.contract, TextContract),
        verify=told.router.verify,
        question_after=after,
        question_before=before,
    )


def _now_ms() -> int:
    return int(time.time() * 1000)
