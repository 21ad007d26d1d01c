"""What a run allows to be said: only from references that people gave, and never beside a simulated model."""

from __future__ import annotations

import msgspec
import numpy as np
from support.evals import example, run_of

from smallfirst.datasets.example import Example, Lineage
from smallfirst.evals.claim import Claim
from smallfirst.evals.run_report import run_report
from smallfirst.evals.runner import Run

TAUGHT = Lineage(source="ledger", reference_by="model:big", provider="up")


def _examples(verified: int, taught: int = 0) -> list[Example]:
    return [example(at) for at in range(verified)] + [
        example(at, lineage=TAUGHT) for at in range(verified, verified + taught)
    ]


def _claim(run: Run, examples: list[Example], *, margin: float = 0.05) -> Claim:
    run = msgspec.structs.replace(run, manifest=msgspec.structs.replace(run.manifest, margin=margin))
    (found,) = run_report("r-1", run, examples, scorer=None).claims
    return found


def _scores(rows: int, share: float, seed: int) -> list[float]:
    return (np.random.default_rng(seed).random(rows) < share).astype(float).tolist()


def test_better_as_good_worse_and_open_come_from_verified_gold() -> None:
    examples = _examples(600)
    big = _scores(600, 0.8, 1)
    flipped = [1.0 if at % 5 == 0 else score for at, score in enumerate(big)]
    dropped = [0.0 if at % 5 == 0 else score for at, score in enumerate(big)]
    assert _claim(run_of({"small": flipped, "big": big}, examples), examples).word == "better"
    assert _claim(run_of({"small": big, "big": big}, examples), examples).word == "as good"
    assert _claim(run_of({"small": dropped, "big": big}, examples), examples).word == "worse"
    other = _scores(600, 0.8, 2)
    assert _claim(run_of({"small": other, "big": big}, examples), examples, margin=0.0).word == "open"


def test_where_the_frontier_gave_the_references_nothing_is_claimed() -> None:
    """It is always right there; agreement is still known, and is called nothing else."""
    examples = _examples(10, 300)
    found = _claim(run_of({"small": _scores(310, 0.9, 3), "big": [1.0] * 310}, examples), examples)
    assert (found.word, found.verified) == ("none", 10)
    assert "a person gave" in found.why
    assert found.agreement.rows == 310
    assert found.gold.rows == 10


def test_synthetic_references_are_not_verified() -> None:
    examples = [example(at, synthetic=True) for at in range(300)]
    assert _claim(run_of({"small": [1.0] * 300, "big": [0.0] * 300}, examples), examples).word == "none"


def test_beside_a_simulated_model_nothing_is_claimed() -> None:
    examples = _examples(400)
    run = run_of({"small": [1.0] * 400, "big": [0.0] * 400}, examples)
    arms = tuple(
        msgspec.structs.replace(arm, simulated=("big",) if arm.name == "big" else ())
        for arm in run.manifest.arms
    )
    run = msgspec.structs.replace(run, manifest=msgspec.structs.replace(run.manifest, arms=arms))
    found = _claim(run, examples)
    assert found.word == "none"
    assert found.sentence == "small: nothing is claimed beside big: big is simulated"
    assert found.other_usd_per_million is not None


def test_by_a_simulated_judge_and_on_train_examples_nothing_is_claimed() -> None:
    examples = _examples(400)
    run = run_of({"small": [1.0] * 400, "big": [0.0] * 400}, examples)
    for told, says in (
        ({"simulated_judge": "mini"}, "the judge, mini, is simulated"),
        ({"split": "train"}, "trained on train"),
    ):
        found = _claim(
            msgspec.structs.replace(run, manifest=msgspec.structs.replace(run.manifest, **told)), examples
        )
        assert found.word == "none"
        assert says in found.why


def test_a_claim_on_calibration_examples_says_where_proof_is() -> None:
    examples = _examples(400)
    run = run_of({"small": [1.0] * 400, "big": [0.0] * 400}, examples)
    manifest = msgspec.structs.replace(run.manifest, split="calibration")
    assert (
        "may have chosen its settings: `smallfirst gate`"
        in _claim(msgspec.structs.replace(run, manifest=manifest), examples).sentence
    )
    assert "gate" not in _claim(run, examples).sentence


def test_agreement_compares_values_and_not_how_they_are_written() -> None:
    examples = _examples(100)
    run = run_of({"small": [1.0] * 100, "big": [1.0] * 100}, examples)
    written = {"small": '{"a": 1, "b": [2]}', "big": '{"b":[2],"a":1}'}
    answers = {key: msgspec.structs.replace(one, output=written[key[0]]) for key, one in run.answers.items()}
    assert _claim(msgspec.structs.replace(run, answers=answers), examples).agreement.mean == 1.0
    failed = {
        key: msgspec.structs.replace(one, error="unreachable") if key[0] == "small" else one
        for key, one in answers.items()
    }
    assert _claim(msgspec.structs.replace(run, answers=failed), examples).agreement.mean == 0.0
