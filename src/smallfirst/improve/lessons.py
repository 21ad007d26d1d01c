"""What a dataset's train part teaches a router without a question to anybody.

A head was trained on it, but in cross-validation it answered each example without having seen it; what the other models of the ladder said to
the calls that the examples came from is on record. Where every model has an answer to an example, that is an outcome row. The calibration
part is then left whole for the thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.contracts import LabelContract
from smallfirst.datasets.store import Datasets
from smallfirst.durable import write_whole
from smallfirst.evals.recorded import recorded_outcomes
from smallfirst.evals.session import Home, scorer_of
from smallfirst.ledger import Ledger
from smallfirst.releases.policy import named_scorer
from smallfirst.training.outcomes import Outcome, OutcomeRow

LEAST_ROWS = 100
"""Fewer teach too little to give up a part of the calibration rows' own teaching for."""


class _Unseen(msgspec.Struct, frozen=True):
    id: str
    outcome: Outcome


def keep_unseen(state: Path, head: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keeps what a head said to the examples that it was trained on, each when it had not seen it: `HeadFit.outcome_rows` under any name."""
    told = [
        msgspec.json.encode(
            {"id": row["id"], "outcome": {"cost_usd": 0.0} | next(iter(row["outcomes"].values()))}
        )
        for row in rows
    ]
    write_whole(_path(state, head), b"\n".join(told) + b"\n")


def has_unseen(state: Path, head: str) -> bool:
    """Whether they were kept."""
    return _path(state, head).exists()


def lessons(home: Home, task: str, dataset: str, ladder: Sequence[tuple[str, str]]) -> list[OutcomeRow]:
    """Outcome rows of the train part. `ladder`: each model and, of a head, its hash. Empty where some model has answered nothing."""
    told = home.config.tasks[task]
    if not isinstance(told.contract, LabelContract) or told.scorer.kind == "judge":
        return []
    heads = {model: _unseen(home.state, sha256) for model, sha256 in ladder if sha256}
    examples = list(Datasets(home.state).open(dataset).examples("train"))
    asked = [model for model, sha256 in ladder if not sha256]
    recorded: dict[str, dict[str, Outcome]] = {}
    if asked:
        scorer, _ = scorer_of(named_scorer(told.scorer, told.contract), told.contract, home)
        with Ledger.read(home.state) as ledger:
            recorded = recorded_outcomes(ledger.queries, examples, scorer)
    rows = []
    for example in examples:
        outcomes = {model: said[example.id] for model, said in heads.items() if example.id in said}
        outcomes |= {model: one for model, one in recorded.get(example.id, {}).items() if model in asked}
        if len(outcomes) == len(ladder):
            rows.append(
                OutcomeRow(
                    id=example.id,
                    messages=example.messages,
                    tools=example.tools,
                    intent=example.slices.get("intent"),
                    group=example.group or None,
                    split="train",
                    outcomes=outcomes,
                )
            )
    return rows


def _unseen(state: Path, head: str) -> dict[str, Outcome]:
    path = _path(state, head)
    if not path.exists():
        return {}
    rows = [msgspec.json.decode(line, type=_Unseen) for line in path.read_bytes().splitlines()]
    return {row.id: row.outcome for row in rows}


def _path(state: Path, head: str) -> Path:
    return state / "improve" / "heads" / f"{head}.jsonl"
