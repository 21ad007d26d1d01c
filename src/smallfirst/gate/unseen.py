"""Whether a candidate has been taught what it is to be examined on: the texts that its heads and routers were made from, beside those held out.

Texts are known again by the hashes in the datasets' `members.tsv`: nothing is read for it.
"""

from __future__ import annotations

from pathlib import Path

from smallfirst.classify.store import Artifacts
from smallfirst.datasets import Dataset, Datasets
from smallfirst.datasets.members import texts_of
from smallfirst.errors import DatasetError, ReleaseError
from smallfirst.releases import Policy


def check_unseen(policy: Policy, dataset: Dataset, state: Path) -> tuple[str, ...]:
    """What cannot be said of the policy's heads, a sentence each.

    Raises `ReleaseError` where weights were made from a dataset that trains on, or calibrates with, texts that this one holds out.
    """
    described = {one.sha256: one.described for one in Artifacts(state).list()}
    cautions = []
    for sha256 in policy.weights:
        told = described.get(sha256)
        kind = told.kind if told is not None else "weights"
        name = told.report.get("dataset") if told is not None else None
        source = _source(state, name) if isinstance(name, str) and name else None
        if source is not None:
            _check(f"{kind} {sha256[:12]}", source, dataset)
        elif kind != "router":  # thresholds and a handful of weights; a head remembers examples
            cautions.append(
                f"{kind} {sha256[:12]} was not trained on a dataset that is here: whether it has seen held-out examples cannot be said"
            )
    return tuple(cautions)


def _source(state: Path, name: str) -> Dataset | None:
    try:
        return Datasets(state).open(name)
    except DatasetError:  # removed, or never here
        return None


def _check(what: str, source: Dataset, dataset: Dataset) -> None:
    if source.id == dataset.id:
        return
    held = texts_of(dataset.members(), "heldout")
    seen = held & texts_of(source.members(), "train", "calibration")
    if seen:
        task = dataset.manifest.task
        raise ReleaseError(
            f"{what} was made from dataset {source.id[:12]}, whose train and calibration parts have {len(seen):,} of the {len(held):,} texts that "
            f"dataset {dataset.id[:12]} holds out: it cannot be examined on what it was taught. `smallfirst train {task} --dataset "
            f'{dataset.id[:12]}` trains another; tasks.{task}.gate.dataset = "{source.id[:12]}" judges it on what its own dataset holds out'
        )
