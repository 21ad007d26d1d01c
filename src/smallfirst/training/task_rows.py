"""Examples of tasks: a call and the task it is, a JSON object a line. The input of intent fitting.

    {"id": "t-1", "messages": [{"role": "system", "content": "…"}, {"role": "user", "content": "…"}], "task": "triage"}
    {"id": "t-2", "input": "What is the capital of Peru?", "task": null}

`input` stands for a single user message. A row whose `task` is null or "oos" is of a call that is none of the tasks.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from smallfirst.classify.prompt import OUT_OF_SCOPE, Prompt
from smallfirst.config.finding import nearest_or_all
from smallfirst.errors import BadRequest, ConfigError
from smallfirst.routing.reading import read_prompt
from smallfirst.training.outcomes import json_lines
from smallfirst.wire import openai_chat
from smallfirst.wire.turns import Conversation, read_conversation


class TaskExample(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `task` is empty where it is none; `system` where it has no system prompt."""

    id: str
    task: str
    prompt: Prompt
    system: str


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    task: str | UnsetType | None = UNSET
    id: str = ""
    input: str | None = None
    messages: list[dict[str, Any]] | None = None


def read_task_examples(path: Path, tasks: Iterable[str]) -> list[TaskExample]:
    """The rows of a file. Raises `ConfigError` with the line and the field of the first that is wrong, or names a task that is not in `tasks`."""
    known = list(tasks)
    examples = []
    for number, line in json_lines(path):
        where = f"{path}, line {number}"
        try:
            row = msgspec.json.decode(line, type=_Row)
            conversation = _conversation(row)
        except (msgspec.DecodeError, BadRequest) as error:
            raise ConfigError(f"{where}: {error}") from error
        if row.task is UNSET:
            raise ConfigError(
                f'{where}: task: required, but missing (null, or "{OUT_OF_SCOPE}", for a call that is none)'
            )
        task = "" if row.task in (None, OUT_OF_SCOPE) else row.task
        if task != "" and task not in known:
            raise ConfigError(f'{where}: task: "{task}" is not configured{nearest_or_all(task, known)}')
        prompt = read_prompt(conversation)
        if not prompt.question.strip():
            raise ConfigError(f"{where}: messages: there is no user message with text in it")
        examples.append(
            TaskExample(
                id=row.id or f"line-{number}", task=task, prompt=prompt, system=conversation.system.strip()
            )
        )
    return examples


def _conversation(row: _Row) -> Conversation:
    """Raises `BadRequest` where its messages are none."""
    if row.messages is None and row.input is None:
        raise BadRequest("messages: required, but missing (or `input`, one user message)", param="messages")
    messages = row.messages if row.messages is not None else [{"role": "user", "content": row.input}]
    return read_conversation(openai_chat.decode(msgspec.json.encode({"model": "any", "messages": messages})))
