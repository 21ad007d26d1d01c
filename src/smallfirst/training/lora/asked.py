"""An example as the messages that its rung would be sent: the data plane's own code, not a copy of it."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.answering.asked import instructions_for
from smallfirst.config.schema import Config, Rung
from smallfirst.datasets.example import Example
from smallfirst.errors import BadRequest, ConfigError, DatasetError
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.wire.incoming import Changes, Incoming

Message = dict[str, Any]


def asked_for(config: Config, task: str, *, models: frozenset[str] = frozenset()) -> AskedTold:
    """How the task's calls are put to the rung that an adapter is for: the first of the ladder whose model is one of `models`, else under the
    task's own instructions alone. Raises `ConfigError` where there is no such task.
    """
    if task not in config.tasks:
        known = ", ".join(sorted(config.tasks)) or "none"
        raise ConfigError(f"no such task (known: {known})", path=f"tasks.{task}")
    found = config.tasks[task]
    rungs = [rung if isinstance(rung, Rung) else Rung(model=rung) for rung in found.ladder]
    rung = next((rung for rung in rungs if rung.model in models), None)
    return AskedTold(
        instructions=rung.instructions if rung is not None else None, default_instructions=found.instructions
    )


def messages_of(example: Example, asked: AskedTold) -> list[Message]:
    """The messages that a model of OpenAI's dialect is sent for a call with the example's. Raises `DatasetError` where they are none."""
    incoming = _incoming(example)
    instructions = instructions_for(asked.instructions, asked.default_instructions, incoming)
    sent = incoming.data_for("openai", Changes(model="any", instructions=instructions))
    return msgspec.json.decode(sent)["messages"]


def _incoming(example: Example) -> Incoming:
    body: dict[str, Any] = {"model": "any", "messages": example.messages}
    if example.tools:
        body["tools"] = example.tools
    try:
        return Incoming("chat", msgspec.json.encode(body))
    except BadRequest as error:
        raise DatasetError(
            f"example {example.id!r} cannot be asked: {error.param or 'messages'}: {error.message}"
        ) from error
