"""Every example's configuration loads and makes sense, and its right answers keep the contract."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from smallfirst.answering.check import compile_check
from smallfirst.config import load
from smallfirst.config.check import check
from smallfirst.config.finding import Surroundings
from smallfirst.contracts import LabelContract
from smallfirst.simulator.answers import AnswerBook
from smallfirst.simulator.prompt import Prompt

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/smallfirst.toml"))
SMALL = [name for name in FOLDERS if name != "helpdesk"]
PRICES = EXAMPLES.parent / "src" / "smallfirst" / "simulator" / "prices.toml"

# One answer for each that a contract must refuse.
REFUSED = {
    "sentiment": "Positive",
    "tagging": '["price", "colour"]',
    "categorising": "travel, meals",
    "ranking": '["sales", "support", "finance"]',
    "extraction": '{"name": "Okafor", "day": "Friday", "time": "7:30 pm", "guests": 4, "note": null}',
    "summary": "long " * 23,
    "grammar-fix": " ",
}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name / "examples.jsonl").read_bytes().splitlines()]


def text_of(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer)


def test_every_kind_of_task_has_its_example() -> None:
    assert set(SMALL) == set(REFUSED)
    index = (EXAMPLES / "README.md").read_text("utf-8")
    assert [name for name in FOLDERS if f"]({name}/)" not in index] == []
    assert [name for name in FOLDERS if not (EXAMPLES / name / "README.md").is_file()] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_the_configuration_makes_sense(name: str) -> None:
    around = Surroundings(environ={}, installed=lambda _: True)
    found = check(load(EXAMPLES / name / "smallfirst.toml"), around)
    assert [str(finding) for finding in found if finding.level != "note"] == []


@pytest.mark.parametrize("name", SMALL)
def test_right_answers_keep_the_contract(name: str) -> None:
    task = load(EXAMPLES / name / "smallfirst.toml").tasks[name]
    accepts, found = compile_check(task.contract), rows(name)
    assert 20 <= len(found) <= 30
    assert len({row["input"] for row in found}) == len(found)
    for row in found:
        assert set(row) == {"input", "answers"}
        assert set(row["answers"]) == {name}
        assert accepts(text_of(row["answers"][name])) == "", row["input"]
    assert accepts(REFUSED[name])


@pytest.mark.parametrize("name", ["sentiment", "tagging", "categorising", "ranking"])
def test_every_label_is_the_answer_to_something(name: str) -> None:
    contract = load(EXAMPLES / name / "smallfirst.toml").tasks[name].contract
    assert isinstance(contract, LabelContract)
    answers = [row["answers"][name] for row in rows(name)]
    first = [answer if isinstance(answer, str) else answer[0] for answer in answers if answer]
    everywhere = {label for answer in answers if not isinstance(answer, str) for label in answer}
    assert set(first) | (everywhere if contract.pick == "several" else set()) == set(contract.labels)


@pytest.mark.parametrize("name", SMALL)
def test_the_prompt_names_every_label_and_field(name: str) -> None:
    task = load(EXAMPLES / name / "smallfirst.toml").tasks[name]
    words = getattr(task.contract, "labels", ()) or getattr(task.contract, "schema", {}).get("required", ())
    assert [word for word in words if word not in (task.instructions or "")] == []


@pytest.mark.parametrize("name", SMALL)
def test_the_readme_says_how_many(name: str) -> None:
    readme = (EXAMPLES / name / "README.md").read_text("utf-8")
    assert f"holds {len(rows(name))} inputs" in readme
    asked = json.loads(readme.split('"content": ')[1].split("}])")[0])
    assert asked in {row["input"] for row in rows(name)}


@pytest.mark.parametrize("name", SMALL)
def test_prices_are_the_simulators_own(name: str) -> None:
    model = load(EXAMPLES / name / "smallfirst.toml").models["frontier"]
    charged = tomllib.loads(PRICES.read_text("utf-8"))[model.id or name]
    (price,) = model.prices
    for token_class in ("input", "cache_read", "output"):
        assert str(getattr(price, token_class)) == charged[token_class]


@pytest.mark.parametrize("name", SMALL)
def test_the_simulator_answers_from_the_examples(name: str) -> None:
    task = load(EXAMPLES / name / "smallfirst.toml").tasks[name]
    book = AnswerBook(rows(name), {}, seed=0)
    for row in rows(name):
        answer = book.find(Prompt("openai", "chat", system=task.instructions or "", user=row["input"]))
        assert answer is not None
        right = row["answers"][name]
        assert (answer if isinstance(right, str) else json.loads(answer)) == right
