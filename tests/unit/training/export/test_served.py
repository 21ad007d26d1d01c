"""What llama.cpp says with an adapter, or with what was merged, is what the trainer's model says."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.greedy import QUESTIONS, Served, said_by, same
from support.tiny_adapter import opened_tiny_base, tiny_adapter, tuned_model
from support.tiny_base import tiny_base

from smallfirst.training.export import export

pytestmark = pytest.mark.embedded

CLOSE = 0.05  # of a log-probability: llama.cpp computes with the embedding's half precision
ROUGH = 1.0  # in eight bits, where a random model is far less steady than a trained one


def test_base_and_adapters_side_by_side(tmp_path: Path) -> None:
    base = opened_tiny_base()
    adapters = [tiny_adapter(tmp_path, seed=seed) for seed in (1, 2)]
    files = tuple((f"a@{at}", str(export(one, "lora", base)[0])) for at, one in enumerate(adapters))
    models = {"smollm2-135m": base.model()} | {f"a@{at}": tuned_model(one) for at, one in enumerate(adapters)}
    said: dict[str, list[list[int]]] = {}
    with Served(tiny_base(), tmp_path, files) as served:
        for question in QUESTIONS:
            for name, model in models.items():
                told = served.said(question, name)
                assert same(told, said_by(model, base.tokenizer(), question), within=CLOSE), (name, question)
                said.setdefault(name, []).append(told.tokens)
    assert len({str(told) for told in said.values()}) == len(models), "an adapter changes nothing"


@pytest.mark.parametrize(("form", "within"), [("f16", CLOSE), ("q8_0", ROUGH)])
def test_merged(tmp_path: Path, form: str, within: float) -> None:
    base = opened_tiny_base()
    adapter = tiny_adapter(tmp_path)
    path, _ = export(adapter, form, base)  # type: ignore[arg-type]
    model, untuned = tuned_model(adapter), base.model()
    with Served(path, tmp_path) as served:
        for question in QUESTIONS:
            told = served.said(question)
            assert same(told, said_by(model, base.tokenizer(), question), within=within), question
            assert told.tokens != said_by(untuned, base.tokenizer(), question).tokens
