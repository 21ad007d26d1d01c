"""Calls are read from whatever wrote them, with what each format says of tokens, time and money; what is wrong is named by file, line and field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from smallfirst.datasets.row import Tally
from smallfirst.errors import DatasetError
from smallfirst.planning.assess import Columns, Observed, read_logs

ASKED = [{"role": "system", "content": "Sort it."}, {"role": "user", "content": "Charged twice."}]
AT_MS = 1_780_000_000_000
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": AT_MS // 1000,
    "model": "gpt-x",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "billing"}, "finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 12},
    },
}
CLAUDE = {
    "request": {
        "model": "claude-x",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Sort it."}],
        "messages": [{"role": "user", "content": "Charged twice."}],
    },
    "response": {
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": "billing"}],
        "usage": {
            "input_tokens": 30,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 10,
            "output_tokens": 2,
        },
    },
}
LITELLM = {
    "request_id": "r-1",
    "call_type": "acompletion",
    "status": "success",
    "model": "gpt-x",
    "custom_llm_provider": "openai",
    "team_id": "acme",
    "session_id": "s-1",
    "startTime": "2026-06-01T10:00:00+00:00",
    "completionStartTime": "2026-06-01T10:00:00.400+00:00",
    "endTime": "2026-06-01T10:00:01.500+00:00",
    "spend": 0.0021,
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "request_tags": ["task:triage"],
    "messages": json.dumps(ASKED),
    "response": json.dumps({"choices": COMPLETION["choices"]}),
}
LANGFUSE = {
    "id": "o-1",
    "traceId": "t-1",
    "type": "GENERATION",
    "startTime": "2026-06-01T10:00:00.000Z",
    "completionStartTime": "2026-06-01T10:00:00.250Z",
    "endTime": "2026-06-01T10:00:02.000Z",
    "model": "gpt-x",
    "input": ASKED,
    "output": {"role": "assistant", "content": "billing"},
    "usageDetails": {"input": 36, "input_cached_tokens": 64, "output": 8, "output_reasoning_tokens": 12, "total": 120},
    "costDetails": {"total": 0.0021},
}  # fmt: skip


def read(path: Path, mapping: dict[str, str] | None = None, tally: Tally | None = None) -> list[Observed]:
    return list(read_logs([path], Columns(mapping), tally or Tally()))


def lines(folder: Path, *rows: Any, name: str = "calls.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def one(folder: Path, row: Any, mapping: dict[str, str] | None = None) -> Observed:
    (found,) = read(lines(folder, row), mapping)
    return found


def test_a_log_of_openai(tmp_path: Path) -> None:
    found = one(
        tmp_path,
        {
            "request": {
                "model": "gpt",
                "stream": True,
                "messages": ASKED,
                "response_format": {"type": "json_object"},
                "tools": [{"type": "function", "function": {"name": "look"}}],
            },
            "response": COMPLETION,
            "latency_ms": 900,
        },
    )
    assert found == Observed(
        messages=ASKED,
        answer="billing",
        at_ms=AT_MS,
        model="gpt-x",
        tools=("look",),
        schema="json",
        stream=True,
        latency_ms=900.0,
        input_tokens=100,
        cached_tokens=64,
        output_tokens=20,
        reasoning_tokens=12,
    )


def test_a_log_of_anthropic_counts_what_was_cached_as_input(tmp_path: Path) -> None:
    found = one(tmp_path, CLAUDE)
    assert found.messages == ASKED
    assert (found.answer, found.model) == ("billing", "claude-x")
    assert (found.input_tokens, found.cached_tokens, found.output_tokens) == (100, 60, 2)


def test_blocks_of_tools_are_translated(tmp_path: Path) -> None:
    used = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "12"}]}
    request = CLAUDE["request"] | {"messages": [{"role": "user", "content": "How many?"}, used, result]}
    found = one(tmp_path, {"request": request, "response": CLAUDE["response"]})
    assert [message["role"] for message in found.messages] == ["system", "user", "assistant", "tool"]


def test_openais_responses(tmp_path: Path) -> None:
    found = one(
        tmp_path,
        {
            "request": {"model": "gpt", "instructions": "Sort it.", "input": "Charged twice."},
            "response": {
                "object": "response",
                "model": "gpt-x",
                "created_at": AT_MS // 1000,
                "output": [
                    {"type": "reasoning"},
                    {"type": "message", "content": [{"type": "output_text", "text": "billing"}]},
                ],
                "usage": {
                    "input_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 4},
                    "output_tokens": 3,
                    "output_tokens_details": {"reasoning_tokens": 2},
                },
            },
        },
    )
    assert (found.messages, found.answer, found.at_ms) == (ASKED, "billing", AT_MS)
    assert (found.input_tokens, found.cached_tokens, found.output_tokens, found.reasoning_tokens) == (
        9,
        4,
        3,
        2,
    )


def test_a_spend_log_of_litellm(tmp_path: Path) -> None:
    found = one(tmp_path, LITELLM)
    assert found == Observed(
        messages=ASKED,
        answer="billing",
        at_ms=1_780_308_000_000,
        tenant="acme",
        task="triage",
        model="gpt-x",
        provider="openai",
        conversation="s-1",
        latency_ms=1500.0,
        first_token_ms=400.0,
        input_tokens=100,
        output_tokens=20,
        cost_nusd=2_100_000,
    )


def test_spend_logs_without_prompts_and_failed_ones_count(tmp_path: Path) -> None:
    bare = LITELLM | {"messages": "{}", "response": "{}"}
    failed = bare | {"status": "failure", "spend": 0}
    first, second = read(lines(tmp_path, bare, failed))
    assert (first.messages, first.answer, first.failed, first.cost_nusd) == ([], "", False, 2_100_000)
    assert (second.failed, second.cost_nusd) == (True, 0)


def test_embeddings_of_litellm_are_left_out_and_told(tmp_path: Path) -> None:
    tally = Tally()
    assert read(lines(tmp_path, LITELLM | {"call_type": "aembedding"}), tally=tally) == []
    assert tally.skipped == {"calls of another kind (aembedding)": 1}


def test_what_was_not_streamed_has_no_first_token(tmp_path: Path) -> None:
    assert one(tmp_path, LITELLM | {"completionStartTime": LITELLM["endTime"]}).first_token_ms is None


def test_an_observation_of_langfuse(tmp_path: Path) -> None:
    found = one(tmp_path, LANGFUSE)
    assert (found.messages, found.answer, found.model) == (ASKED, "billing", "gpt-x")
    assert (found.latency_ms, found.first_token_ms, found.cost_nusd) == (2000.0, 250.0, 2_100_000)
    assert (found.input_tokens, found.cached_tokens, found.output_tokens, found.reasoning_tokens) == (
        100,
        64,
        20,
        12,
    )


def test_generations_inside_a_trace_of_langfuse(tmp_path: Path) -> None:
    trace = {"id": "t-1", "sessionId": "s-9", "observations": [LANGFUSE, LANGFUSE | {"type": "SPAN"}, "o-3"]}
    tally = Tally()
    (found,) = read(lines(tmp_path, trace), tally=tally)
    assert found.conversation == "s-9"
    assert sum(tally.skipped.values()) == 2


def test_batches_are_joined_and_requests_without_an_answer_count(tmp_path: Path) -> None:
    asked = [{"custom_id": f"r-{n}", "body": {"model": "gpt-x", "messages": ASKED}} for n in (1, 2, 3)]
    told = [
        {"custom_id": "r-1", "response": {"status_code": 200, "body": COMPLETION}},
        {"custom_id": "r-2", "response": {"status_code": 500, "body": None}},
        {"custom_id": "r-9", "response": {"status_code": 200, "body": COMPLETION}},
    ]
    tally = Tally()
    paths = [lines(tmp_path, *told, name="out.jsonl"), lines(tmp_path, *asked, name="in.jsonl")]
    found = list(read_logs(paths, Columns(), tally))
    assert [(call.answer, call.failed) for call in found] == [("billing", False), ("", True), ("", False)]
    assert {call.provider for call in found} == {"openai"}
    assert tally.skipped == {"answers to requests that are in none of the files": 1}


def test_conversations_and_plain_rows(tmp_path: Path) -> None:
    found = read(
        lines(
            tmp_path,
            {"messages": [*ASKED, {"role": "assistant", "content": "billing"}]},
            {
                "system_prompt": "Sort it.",
                "input": "Charged twice.",
                "completion": "billing",
                "timestamp": AT_MS // 1000,
                "promptTokens": 7,
                "Cost": "$0.5",
            },
            {"prompt": "Charged twice.", "output": {"label": "billing"}, "duration_seconds": 1.5},
            {"question": "Charged twice.", "error": "timed out"},
        )
    )
    assert [call.messages for call in found] == [ASKED, ASKED, ASKED[1:], ASKED[1:]]
    assert [call.answer for call in found] == ["billing", "billing", '{"label":"billing"}', ""]
    assert (found[1].at_ms, found[1].input_tokens, found[1].cost_nusd) == (AT_MS, 7, 500_000_000)
    assert found[2].latency_ms == 1500.0
    assert [call.failed for call in found] == [False, False, False, True]


def test_an_answer_in_json_is_no_reply_of_an_api(tmp_path: Path) -> None:
    answer = '{"role": "admin", "output": "x", "text": "y"}'
    assert one(tmp_path, {"prompt": "Who?", "completion": answer}).answer == answer


def test_a_stored_completion_holds_request_and_answer(tmp_path: Path) -> None:
    found = one(tmp_path, COMPLETION | {"messages": ASKED})
    assert (found.messages, found.answer) == (ASKED, "billing")


def test_tables_with_commas_semicolons_and_tabs(tmp_path: Path) -> None:
    for name, sign in (("a.csv", ","), ("b.csv", ";"), ("c.tsv", "\t")):
        path = tmp_path / name
        names = ("System Prompt", "Input", "Output", "Created At", "Latency (ms)", "Prompt Tokens")
        row = ('"Sort it."', '"Charged\ntwice."', "billing", "2026-06-01 10:00", "120", "")
        path.write_text(f"\ufeff{sign.join(names)}\n{sign.join(row)}\n")
        (found,) = read(path)
        assert found.messages[1]["content"] == "Charged\ntwice."
        assert (found.answer, found.at_ms, found.latency_ms) == ("billing", 1_780_308_000_000, 120.0)
        assert found.input_tokens is None


def test_messages_in_a_table_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('messages,response\n"' + json.dumps(ASKED).replace('"', '""') + '",billing\n')
    (found,) = read(path)
    assert found.messages == ASKED


def test_fields_are_named_where_their_names_do_not_tell(tmp_path: Path) -> None:
    row = {"frage": "Charged twice.", "meta": {"took": 1.25}, "antwort": "billing"}
    found = one(tmp_path, row, {"prompt": "frage", "answer": "antwort", "latency_s": "meta.took"})
    assert (found.messages, found.answer, found.latency_ms) == (ASKED[1:], "billing", 1250.0)


def test_a_latency_without_a_unit_is_not_guessed(tmp_path: Path) -> None:
    tally = Tally()
    (found,) = read(lines(tmp_path, {"prompt": "Hi", "completion": "Ho", "latency": 3}), tally=tally)
    assert found.latency_ms is None
    (note,) = tally.noted
    assert "--map latency_ms=latency" in note


def test_packed_files_and_arrays_and_several_at_once(tmp_path: Path) -> None:
    packed = tmp_path / "calls.jsonl.gz"
    packed.write_bytes(gzip.compress(lines(tmp_path, CLAUDE, CLAUDE).read_bytes()))
    table = tmp_path / "calls.csv.gz"
    table.write_bytes(gzip.compress(b"prompt,completion\nHi,Ho\n"))
    array = tmp_path / "calls.json"
    array.write_text(json.dumps([CLAUDE, LITELLM], indent=1))
    tally = Tally()
    steps: list[tuple[str, int, int]] = []
    calls = list(
        read_logs([packed, table, array], Columns(), tally, progress=lambda *told: steps.append(told))
    )
    assert [call.answer for call in calls] == ["billing", "billing", "Ho", "billing", "billing"]
    assert tally.read == 5
    size = sum(path.stat().st_size for path in (packed, table, array))
    assert steps[-1] == ("reading", size, size)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.jsonl", b"", "it is empty"),
        ("a.jsonl", b'{"prompt": "Hi"}\nnonsense\n', "line 2: not JSON"),
        ("a.jsonl", b'{"prompt": "Hi", "prompt_tokens": "many"}\n', "line 1: prompt_tokens: expected a number, not 'many'"),
        ("a.jsonl", b'{"prompt": "Hi", "cost": "free"}\n', "line 1: cost: "),
        ("a.jsonl", b'{"prompt": "Hi", "timestamp": "yesterday"}\n', "line 1: timestamp: "),
        ("a.jsonl", b'{"request": {"messages": "none"}, "response": 3}\n', ""),
        ("a.jsonl", b'{"request": {"messages": [3]}}\n', "line 1: messages[0]"),
        ("a.json", b'[{"prompt": "Hi"}, {"prompt": \n', "not an array of objects"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"prompt,answer\nHi\n", "line 2: 1 columns where the first row names 2"),
        ("a.csv", b"prompt,prompt\nHi,Ho\n", "'prompt' is named twice"),
        ("a.csv", b"prompt\n\xff\xfe\n", "not UTF-8"),
        ("a.jsonl.gz", b"plain", "not packed by gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"prompt": "Hi"}\n' * 999)[:-12], "is damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if not told:
        assert len(read(path)) == 1
        return
    with pytest.raises(DatasetError) as raised:
        read(path)
    assert told in str(raised.value)
    assert name in str(raised.value)


def test_wrong_rows_are_counted_where_they_may_be_skipped(tmp_path: Path) -> None:
    tally = Tally(skip_bad=True)
    path = lines(tmp_path, {"prompt": "Hi", "output_tokens": -1}, {"prompt": "Ho"})
    assert len(read(path, tally=tally)) == 1
    assert sum(tally.skipped.values()) == 1


def test_a_missing_file_and_a_wrong_name_of_a_field(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.jsonl cannot be read: No such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DatasetError, match=r'--map promt=…: no such fact; did you mean "prompt"\?'):
        Columns({"promt": "x"})
    with pytest.raises(DatasetError, match=r"--map prompt=x: .* has no field x \(it has: question\)"):
        one(tmp_path, {"question": "Hi"}, {"prompt": "x"})


def test_every_call_survives_being_kept(tmp_path: Path) -> None:
    for row in (CLAUDE, LITELLM, LANGFUSE):
        found = one(tmp_path, row)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Observed) == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("frage.csv", "Zeit;Frage;Antwort\n1;Wo ist es?;Hier\n"),
        ("a.jsonl", '{"a": 1}\n'),
        ("b.jsonl", "{}\n"),
    ],
)
def test_rows_of_which_nothing_is_known_are_no_calls(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"none of its fields is known .*--map prompt=FIELD"):
        list(read_logs([path], Columns(), Tally()))


def test_names_of_fields_that_a_terminal_would_obey_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"bad\x1b[31m": 1}))
    for columns in (Columns(), Columns({"prompt": "asked"})):
        with pytest.raises(DatasetError, match=r"'bad\\x1b\[31m'"):
            list(read_logs([path], columns, Tally()))


@pytest.mark.parametrize("scale", [1e-3, 1, 1000, 1_000_000])
def test_moments_are_in_seconds_or_any_smaller_unit(tmp_path: Path, scale: float) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "a", "answer": "b", "timestamp": int(AT_MS * scale)}))
    (one,) = read_logs([path], Columns(), Tally())
    assert one.at_ms == AT_MS


@pytest.mark.parametrize("when", ["3000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "nan", 1e300])
def test_moments_that_cannot_be_are_named(tmp_path: Path, when: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "a", "answer": "b", "timestamp": when}))
    with pytest.raises(DatasetError, match=r"line 1: timestamp: "):
        list(read_logs([path], Columns(), Tally()))
