"""Files as other tools write them become the same rows; what is wrong is named by file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smallfirst.datasets.formats import detect, named_file, read_files
from smallfirst.datasets.mapping import Mapping
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import DatasetError

ASKED = [{"role": "system", "content": "Sort it."}, {"role": "user", "content": "Charged twice."}]
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_780_000_000,
    "model": "gpt-x",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "billing"}, "finish_reason": "stop"}
    ],
}
CLAUDE_REQUEST = {
    "model": "claude-x",
    "max_tokens": 9,
    "system": "Sort it.",
    "messages": [{"role": "user", "content": "Charged twice."}],
}
CLAUDE_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "billing"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 1},
}
OPENAI_BATCH = [
    {
        "custom_id": "r-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-x", "messages": ASKED},
    },
    {
        "id": "b-1",
        "custom_id": "r-1",
        "response": {"status_code": 200, "request_id": "q", "body": COMPLETION},
        "error": None,
    },
]
ANTHROPIC_BATCH = [
    {"custom_id": "r-1", "params": CLAUDE_REQUEST},
    {"custom_id": "r-1", "result": {"type": "succeeded", "message": CLAUDE_MESSAGE}},
]
LITELLM = {
    "request_id": "r-1",
    "call_type": "acompletion",
    "spend": 0.01,
    "startTime": "2026-05-28T20:26:40Z",
    "model": "gpt-x",
    "custom_llm_provider": "openai",
    "team_id": "acme",
    "session_id": "s-1",
    "status": "success",
    "messages": ASKED,
    "response": COMPLETION,
}
LANGFUSE = {
    "id": "r-1",
    "traceId": "t-1",
    "type": "GENERATION",
    "name": "sort",
    "startTime": "2026-05-28T20:26:40.000Z",
    "model": "gpt-x",
    "sessionId": "s-1",
    "input": {"messages": ASKED},
    "output": {"role": "assistant", "content": "billing"},
}
LANGFUSE_BLOB = {
    "id": "r-1",
    "trace_id": "t-1",
    "type": "GENERATION",
    "start_time": "2026-05-28 20:26:40.000000",
    "provided_model_name": "gpt-x",
    "session_id": "s-1",
    "input": json.dumps(ASKED),
    "output": json.dumps({"role": "assistant", "content": "billing"}),
}


def write(path: Path, *values: Any) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    return str(path)


def rows(*files: str, tally: Tally | None = None, mapping: Mapping = Mapping(), named: str = "") -> list[Row]:
    found = read_files([named_file(file) for file in files], mapping, "label", tally or Tally(), named=named)
    return list(found)


@pytest.mark.parametrize(
    ("lines", "kind", "provider", "keys"),
    [
        (OPENAI_BATCH, "batch", "openai", ()),
        (ANTHROPIC_BATCH, "batch", "anthropic", ()),
        ([{"id": "r-1", "request": {"model": "gpt-x", "messages": ASKED}, "response": COMPLETION}], "log", "openai", ()),
        ([{"id": "r-1", "request": {"body": CLAUDE_REQUEST}, "response": {"body": CLAUDE_MESSAGE}}], "log", "anthropic", ()),
        ([LITELLM], "litellm", "openai", ("conversation:s-1",)),
        ([LITELLM | {"messages": "{}", "proxy_server_request": json.dumps({"messages": ASKED}), "response": json.dumps(COMPLETION)}],
         "litellm", "openai", ("conversation:s-1",)),
        ([LANGFUSE], "langfuse", "", ("conversation:s-1",)),
        ([LANGFUSE_BLOB], "langfuse", "", ("conversation:s-1",)),
        ([{"id": "t-1", "sessionId": "s-1", "observations": [{"id": "o", "type": "SPAN"}, LANGFUSE]}], "langfuse", "", ("conversation:s-1",)),
    ],
)  # fmt: skip
def test_a_call_is_read_from_every_log(
    tmp_path: Path, lines: list[Any], kind: str, provider: str, keys: tuple[str, ...]
) -> None:
    path = write(tmp_path / "log.jsonl", *lines)
    assert detect(Path(path)) == kind
    (found,) = rows(path)
    assert found.messages == ASKED
    assert (found.answer, found.id, found.provider, found.keys) == ("billing", "r-1", provider, keys)
    assert found.reference_by in ("model:gpt-x", "model:claude-x")
    assert found.at_ms in (0, 1_780_000_000_000)


def test_a_batch_is_joined_from_two_files_in_any_order(tmp_path: Path) -> None:
    others = [OPENAI_BATCH[0] | {"custom_id": "r-2"}, OPENAI_BATCH[0] | {"custom_id": "r-3"}]
    failed = {"custom_id": "r-2", "response": {"status_code": 500, "body": {}}, "error": {"code": "x"}}
    asked = write(tmp_path / "in.jsonl", *others, OPENAI_BATCH[0])
    answered = write(tmp_path / "out.jsonl", failed, OPENAI_BATCH[1], OPENAI_BATCH[1] | {"custom_id": "r-9"})
    tally = Tally()
    (found,) = rows(answered, asked, tally=tally)
    assert (found.id, found.answer, found.source, found.line) == ("r-1", "billing", "in.jsonl", 3)
    assert tally.skipped == {
        "requests that failed": 1,
        "answers to requests that are in none of the files": 1,
        "requests without an answer": 1,
    }
    with pytest.raises(
        DatasetError, match="these are the requests of a batch: give the file of its answers too"
    ):
        rows(asked)
    with pytest.raises(DatasetError, match=r"custom_id: 'r-1' stands in .*in\.jsonl, line 3 too"):
        rows(asked, write(tmp_path / "again.jsonl", OPENAI_BATCH[0]))


def test_conversations_end_in_the_answer(tmp_path: Path) -> None:
    answered = {"messages": [*ASKED, {"role": "assistant", "content": "billing"}]}
    path = write(tmp_path / "tune.jsonl", answered)
    assert detect(Path(path)) == "conversations"
    (found,) = rows(path)
    assert (found.messages, found.answer, found.reference_by) == (ASKED, "billing", "gold")
    with pytest.raises(DatasetError, match=r"tune\.jsonl, line 1: messages: expected a conversation"):
        rows(write(tmp_path / "tune.jsonl", {"messages": ASKED}), named="conversations")


def test_answers_that_ask_for_tools_or_say_nothing_are_counted(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asks = COMPLETION | {
        "choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [call]}}]
    }
    empty = COMPLETION | {"choices": [{"message": {"role": "assistant", "content": None}}]}
    tool = CLAUDE_MESSAGE | {"content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]}
    tally = Tally()
    lines = [{"request": {"messages": ASKED}, "response": one} for one in (asks, empty, tool, {"error": {}})]
    assert rows(write(tmp_path / "log.jsonl", *lines), tally=tally) == []
    assert tally.skipped == {
        "the answer asks for tools": 2,
        "the answer has no text": 1,
        "requests that failed": 1,
    }


def test_plain_rows_are_read_by_their_own_fields(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.jsonl",
        {"key": 7, "text": "Charged twice.", "answers": {"sort": "billing"}, "lang": "en", "vip": True, "user": "u1", "when": 1_780_000_000},
        {"key": 8, "text": "Broken.", "answers": {"sort": "bug"}, "lang": "de", "when": "2026-05-28"},
    )  # fmt: skip
    mapping = Mapping(
        input="text",
        reference="answers.sort",
        id="key",
        group="user",
        at="when",
        slices=("lang", "vip", "gone"),
    )
    first, second = rows(path, mapping=mapping)
    assert (first.id, first.reference, first.keys) == ("7", "billing", ("group:u1",))
    assert (first.slices, second.slices) == ({"lang": "en", "vip": "true"}, {"lang": "de"})
    assert (first.at_ms, second.at_ms) == (1_780_000_000_000, 1_779_926_400_000)
    assert first.messages == [{"role": "user", "content": "Charged twice."}]


def test_the_part_is_given_by_file_or_by_field(tmp_path: Path) -> None:
    given = {"input": "x", "label": "bug", "where": "test"}
    path = write(tmp_path / "rows.jsonl", given)
    assert [row.split for row in rows(path)] == [None]
    assert [row.split for row in rows(f"train={path}")] == ["train"]
    assert [row.split for row in rows(path, mapping=Mapping(split="where"))] == ["heldout"]
    with pytest.raises(DatasetError, match="line 1: where: expected train, calibration or heldout, not 'x'"):
        rows(write(tmp_path / "rows.jsonl", given | {"where": "x"}), mapping=Mapping(split="where"))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not JSON"),
        ("7", "expected a JSON object"),
        ('{"input": "x"}', "label: required, but missing"),
        ('{"label": "bug"}', "input: required, but missing"),
        ('{"input": " ", "label": "bug"}', "input: empty"),
        ('{"messages": [], "label": "bug"}', "messages: expected a list"),
        ('{"messages": [{"role": "boss", "content": "x"}], "label": "bug"}', r"messages\[0\].role"),
        ('{"input": "x", "label": "bug", "at": "soon"}', "at: "),
        ('{"input": "\xff", "label": "bug"}', "not JSON"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_or_counted(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"input": "x", "label": "bug"}\n\n' + line.encode("latin-1") + b'\n{"input": "y", "label": "bug"}'
    )
    with pytest.raises(DatasetError, match=rf"rows\.jsonl, line 3: {what}"):
        rows(str(path))
    tally = Tally(skip_bad=True)
    assert len(rows(str(path), tally=tally)) == 2
    assert sum(tally.skipped.values()) == 1


def test_arrays_and_single_objects_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(
        json.dumps([{"input": "x", "label": "bug"}, {"input": "y", "label": "bug"}], indent=1), "utf-8-sig"
    )
    assert [row.line for row in rows(str(path))] == [1, 2]
    path.write_text(json.dumps(LANGFUSE, indent=2), "utf-8")
    assert [row.answer for row in rows(str(path))] == ["billing"]
    path.write_text("[1, 2", "utf-8")
    with pytest.raises(DatasetError, match=r"rows\.json: not JSON Lines"):
        rows(str(path))


def test_files_that_cannot_be_read_and_unknown_formats_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.jsonl cannot be read: No such file"):
        rows(str(tmp_path / "none.jsonl"))
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    with pytest.raises(DatasetError, match="has no JSON object in it"):
        rows(str(path))
    with pytest.raises(DatasetError, match="--format: 'csv' is not known"):
        rows(str(path), named="csv")
