"""Examples that the simulated model writes, and samples that differ by their seed."""

import json
import random
from collections import Counter

import openai
import pytest
from support.simulator import SimulatorProcess

from smallfirst.simulator.written import written_examples

TRIAGE = "You label support tickets. Answer with one label."
TICKET = "My invoice INV-204417 was charged twice, please refund one."
LINES = ["I was charged twice on my invoice", "Please refund my last payment", "The VAT on the bill is wrong"]


def prompt(lines: list[object], what: str) -> str:
    shown = "\n".join(json.dumps(line) for line in lines)
    return f"Write some.\n{shown}\nAnswer with a JSON array of 7 {what} and nothing else."


def test_messages_are_written_after_those_of_the_prompt() -> None:
    found = json.loads(written_examples(prompt([*LINES], "strings"), random.Random(1)) or "")
    assert len(found) == 7
    assert len(set(found)) > 5
    assert not set(found) & set(LINES)
    words = {word for line in LINES for word in line.split()}
    assert all(words & set(one.split()) for one in found)


def test_pairs_keep_their_values() -> None:
    pairs = [{"message": line, "value": {"n": at}} for at, line in enumerate(LINES)]
    found = json.loads(written_examples(prompt([*pairs], "objects"), random.Random(1)) or "")
    assert len(found) == 7
    for one in found:
        assert LINES[one["value"]["n"]] in one["message"]


@pytest.mark.parametrize(
    "user",
    [
        "Write a poem.",
        "Answer with a JSON array of 3 strings.",
        prompt([*LINES], "objects"),
        prompt([1], "strings"),
    ],
)
def test_other_prompts_are_answered_otherwise(user: str) -> None:
    assert written_examples(user, random.Random(1)) is None


def ask(process: SimulatorProcess, seed: int | None, model: str = "sim-frontier") -> str:
    messages = [{"role": "system", "content": TRIAGE}, {"role": "user", "content": TICKET}]
    with openai.OpenAI(base_url=f"{process.base_url}/v1", api_key="k", max_retries=0) as client:
        more = {} if seed is None else {"seed": seed}
        reply = client.chat.completions.create(model=model, messages=messages, **more)  # pyright: ignore
    return reply.choices[0].message.content or ""


def test_a_seed_is_another_sample_and_the_same_again(knowing: SimulatorProcess) -> None:
    wrong = [ask(knowing, seed, model="sim-nano") for seed in range(8)]
    assert wrong == [ask(knowing, seed, model="sim-nano") for seed in range(8)]
    assert len(Counter(wrong)) > 1
    assert len({ask(knowing, None, model="sim-nano") for _ in range(4)}) == 1
