"""Simulator processes to test: one as it comes, one that is slow, one that knows answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.simulator import SimulatorProcess

TICKETS = {
    "My invoice INV-204417 was charged twice, please refund one.": ("billing", "INV-204417"),
    "The scanner will not charge on the dock any more.": ("hardware", None),
    "How do I add a second warehouse?": ("how-to", None),
    "Please cancel our account at the end of the month.": ("cancellation", None),
}
TRIAGE = "You label support tickets. Answer with one label."
EXTRACT = "You extract the record of a ticket as JSON."


@pytest.fixture(scope="session")
def _plain() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as process:
        yield process


@pytest.fixture
def simulator(_plain: SimulatorProcess) -> SimulatorProcess:
    """A fast simulator, freshly reset."""
    _plain.reset()
    return _plain


@pytest.fixture(scope="session")
def slow() -> Iterator[SimulatorProcess]:
    """A simulator that makes 40 tokens a second."""
    with SimulatorProcess({"tokens_per_second": 40}) as process:
        yield process


@pytest.fixture(scope="session")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """A simulator that knows four tickets; ``sim-nano`` never answers their triage right."""
    folder = tmp_path_factory.mktemp("answers")
    rows: list[dict[str, object]] = [
        {"input": text, "answers": {"triage": label, "extract": {"invoice_id": invoice, "label": label}}}
        for text, (label, invoice) in TICKETS.items()
    ]
    rows.append({"match": "capital of France", "answer": "Paris"})
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "tasks.toml").write_text(
        '[tasks.triage]\nmarker = "label support tickets"\naccuracy_by_model = { sim-nano = 0.0 }\n'
        '[tasks.extract]\nmarker = "extract the record"\naccuracy_by_model = { sim-nano = 0.0 }\n'
    )
    options = {"answers": folder / "answers.jsonl", "tasks": folder / "tasks.toml"}
    with SimulatorProcess(options) as process:
        yield process


@pytest.fixture
def chat(simulator: SimulatorProcess) -> Iterator[openai.OpenAI]:
    """The official OpenAI client, without retries."""
    with openai.OpenAI(
        base_url=f"{simulator.base_url}/v1", api_key="key", max_retries=0, timeout=10
    ) as client:
        yield client


@pytest.fixture
def claude(simulator: SimulatorProcess) -> Iterator[anthropic.Anthropic]:
    """The official Anthropic client, without retries."""
    with anthropic.Anthropic(base_url=simulator.base_url, api_key="key", max_retries=0, timeout=10) as client:
        yield client
