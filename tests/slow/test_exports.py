"""The real embedded model with random adapters: llama.cpp says what transformers says, unless the tune was merged as Q4_1."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.greedy import QUESTIONS, Said, Served, said_by, same
from support.tiny_adapter import tiny_adapter, tuned_model

from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.store import Adapter
from smallfirst.training.export import export
from smallfirst.training.lora.base import Base, open_base

pytestmark = [pytest.mark.slow, pytest.mark.embedded]

CLOSE = 0.4  # of a log-probability: llama.cpp computes with activations in eight bits


@pytest.fixture(scope="module")
def base() -> Base:
    return open_base("embedded:smollm2-135m")


@pytest.fixture(scope="module")
def adapter(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return tiny_adapter(tmp_path_factory.mktemp("state"), base=base, strength=0.3, rank=8)


@pytest.fixture(scope="module")
def tuned(base: Base, adapter: Adapter) -> list[Said]:
    model, tokenizer = tuned_model(adapter, base), base.tokenizer()
    return [said_by(model, tokenizer, question) for question in QUESTIONS]


@pytest.fixture(scope="module")
def plain(base: Base) -> list[Said]:
    model, tokenizer = base.model(), base.tokenizer()
    return [said_by(model, tokenizer, question) for question in QUESTIONS]


def test_the_adapter_beside_its_base(
    base: Base, adapter: Adapter, plain: list[Said], tuned: list[Said], tmp_path: Path
) -> None:
    assert base.gguf is not None
    lora, _ = export(adapter, "lora", base)
    with Served(base.gguf, tmp_path, (("a@1", str(lora)),)) as served:
        for at, question in enumerate(QUESTIONS):
            assert same(served.said(question), plain[at], within=CLOSE), question
            assert same(served.said(question, "a@1"), tuned[at], within=CLOSE), question
    assert all(one.tokens != other.tokens for one, other in zip(plain, tuned, strict=True))


@pytest.mark.parametrize("form", ["q8_0", "f16"])
def test_merged(base: Base, adapter: Adapter, tuned: list[Said], tmp_path: Path, form: Form) -> None:
    path, _ = export(adapter, form, base)
    with Served(path, tmp_path) as served:
        for at, question in enumerate(QUESTIONS):
            assert same(served.said(question), tuned[at], within=CLOSE), question


def test_merged_as_q4_1_it_says_something_else(
    base: Base, adapter: Adapter, tuned: list[Said], tmp_path: Path
) -> None:
    path, _ = export(adapter, "q4_1", base)
    with Served(path, tmp_path) as served:
        assert not all(
            same(served.said(question), tuned[at], within=CLOSE) for at, question in enumerate(QUESTIONS)
        )
