"""An example as the messages that its rung is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smallfirst.config.schema import Config
from smallfirst.datasets.example import Example
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.training.lora.asked import asked_for, messages_of

USER = {"role": "user", "content": "Where is my card?"}
BOTH = AskedTold(instructions=None, default_instructions="Say the label.")


def example(*messages: dict[str, Any], **fields: Any) -> Example:
    return Example(id="e", messages=list(messages), label="card", **fields)


def test_a_client_that_sends_no_system_prompt_is_given_the_tasks() -> None:
    assert messages_of(example(USER), BOTH) == [{"role": "system", "content": "Say the label."}, USER]


def test_a_clients_own_system_prompt_stays() -> None:
    own = {"role": "developer", "content": "Answer in German."}
    assert messages_of(example(own, USER), BOTH) == [own, USER]


def test_a_rungs_instructions_replace_a_clients_system_prompt() -> None:
    own = {"role": "system", "content": "Answer in German."}
    asked = AskedTold(instructions="One word.", default_instructions="Say the label.")
    assert messages_of(example(own, USER), asked) == [{"role": "system", "content": "One word."}, USER]


def test_without_instructions_everything_stays_as_the_client_sent_it() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "Where?"}], "name": "ann"}
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    assert messages_of(example(parts, tools=[tool]), AskedTold()) == [parts]


def test_messages_that_no_client_could_send_are_refused_by_their_place() -> None:
    with pytest.raises(DatasetError, match=r"example 'e' cannot be asked: .*messages"):
        messages_of(example({"role": 3, "content": "x"}), AskedTold())


def config(ladder: list[Any]) -> Config:
    small = {"provider": "p", "id": "base"}
    told = {
        "providers": {"p": {"base_url": "http://localhost:1/v1"}},
        "models": {"small": small, "large": small},
        "tasks": {"triage": {"ladder": ladder, "instructions": "Say the label."}},
    }
    return msgspec.convert(told, Config)


def test_the_rung_of_the_adapters_model_says_how_it_is_asked() -> None:
    rungs = config([{"model": "small", "instructions": "One word."}, "large"])
    assert asked_for(rungs, "triage", models=frozenset({"small"})) == AskedTold(
        instructions="One word.", default_instructions="Say the label."
    )


def test_a_task_whose_ladder_has_no_such_model_is_asked_by_its_own_instructions() -> None:
    rungs = config([{"model": "small", "instructions": "One word."}, "large"])
    assert asked_for(rungs, "triage", models=frozenset({"large"})) == BOTH
    assert asked_for(rungs, "triage") == BOTH


def test_an_unknown_task_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"tasks\.extract: no such task \(known: triage\)"):
        asked_for(config(["large"]), "extract")
