"""Known answers: which prompt finds which, and how wrong ones look."""

import json
import random
from typing import Any

import openai
import pytest
from conftest import EXTRACT, TICKETS, TRIAGE
from support.simulator import SimulatorProcess

from smallfirst.simulator.answers import AnswerBook
from smallfirst.simulator.prompt import Prompt
from smallfirst.simulator.settings import Task


def ask(process: SimulatorProcess, system: str, user: str, model: str = "sim-frontier", **more: Any) -> str:
    messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    with openai.OpenAI(base_url=f"{process.base_url}/v1", api_key="k", max_retries=0) as client:
        create: Any = client.chat.completions.create
        return create(model=model, messages=messages, **more).choices[0].message.content or ""


@pytest.mark.parametrize("text", TICKETS)
def test_right_answers_by_ticket_and_task(knowing: SimulatorProcess, text: str) -> None:
    label, invoice = TICKETS[text]
    assert ask(knowing, TRIAGE, text) == label
    assert ask(knowing, TRIAGE, f"Ticket:\n---\n{text.upper()}\n---\nLabel?") == label
    assert json.loads(ask(knowing, EXTRACT, text)) == {"invoice_id": invoice, "label": label}


@pytest.mark.parametrize("text", TICKETS)
def test_wrong_answers_are_plausible(knowing: SimulatorProcess, text: str) -> None:
    label, invoice = TICKETS[text]
    wrong = ask(knowing, TRIAGE, text, model="sim-nano")
    assert wrong != label
    assert wrong in {other for other, _ in TICKETS.values()}
    record = json.loads(ask(knowing, EXTRACT, text, model="sim-nano"))
    assert set(record) == {"invoice_id", "label"}
    assert record != {"invoice_id": invoice, "label": label}


def test_a_label_is_wrapped_for_a_schema_with_one_field(knowing: SimulatorProcess) -> None:
    schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    text = next(iter(TICKETS))
    assert json.loads(ask(knowing, TRIAGE, text, response_format=shape)) == {"label": "billing"}


def test_substrings_and_unknown_prompts(knowing: SimulatorProcess) -> None:
    assert ask(knowing, "", "What is the capital of France?") == "Paris"
    unknown = ask(knowing, TRIAGE, "Elephants dance slowly")
    assert unknown.startswith("You asked about")
    assert unknown == ask(knowing, TRIAGE, "Elephants dance slowly")
    assert "lephants" in unknown or "dance" in unknown or "slowly" in unknown


def book(accuracy: float) -> tuple[AnswerBook, list[str]]:
    inputs = [f"ticket number {n} about thing {n % 7}" for n in range(2000)]
    rows = [{"input": text, "answers": {"t": f"label-{n % 5}"}} for n, text in enumerate(inputs)]
    return AnswerBook(rows, {"t": Task("MARK", accuracy)}, seed=3), inputs


def test_accuracy_is_a_share_and_deterministic() -> None:
    answers, inputs = book(0.9)
    found = [
        answers.find(Prompt("openai", "chat/completions", "m", system="MARK", user=text)) for text in inputs
    ]
    right = sum(answer == f"label-{n % 5}" for n, answer in enumerate(found))
    assert 1740 <= right <= 1860  # 1800 expected, standard deviation 13
    again = [
        answers.find(Prompt("openai", "chat/completions", "m", system="MARK", user=text)) for text in inputs
    ]
    assert again == found


def test_the_longest_and_last_known_text_decides() -> None:
    rows = [
        {"input": "thanks", "answers": {"t": "short"}},
        {"input": "many thanks for the quick help", "answers": {"t": "long"}},
        {"input": "an example of another ticket", "answers": {"t": "example"}},
    ]
    answers = AnswerBook(rows, {"t": Task("MARK")}, seed=0)

    def find(text: str) -> str | None:
        return answers.find(Prompt("openai", "chat/completions", "m", system="MARK", user=text))

    assert find("Many thanks for the quick help!") == "long"
    assert find("Example: an example of another ticket. Ticket: many thanks for the quick help") == "long"
    assert find("ok, thanks") == "short"
    assert find("thanksgiving") is None
    random.seed(0)
    assert find(" ".join(random.choices("abcdefgh", k=20_000))) is None


@pytest.mark.parametrize(
    "row", [{}, {"input": "a"}, {"input": "...", "answers": {}}, {"match": "", "answer": "x"}]
)
def test_wrong_rows_are_refused_with_their_number(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="answers row 2"):
        AnswerBook([{"match": "a", "answer": "b"}, row], {}, 0)
