"""Every fault, seen by the official clients or on the raw socket."""

import http.client
import json
from typing import Any

import anthropic
import openai
import pytest
from support.simulator import SimulatorProcess

USER: Any = [{"role": "user", "content": "Where is my parcel today?"}]
BODY = {"model": "sim-frontier", "messages": USER, "stream": True, "stream_options": {"include_usage": True}}
STATUSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
}


def raw(simulator: SimulatorProcess, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of one chat request, untouched; a cut body is what came of it."""
    host = simulator.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": "Bearer key"})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            return response.status, headers, response.read()
        except http.client.IncompleteRead as cut:
            return response.status, headers, cut.partial
    finally:
        connection.close()


def text_of(chat: openai.OpenAI) -> str:
    chunks = chat.chat.completions.create(model="sim-frontier", messages=USER, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("status", STATUSES)
def test_status_is_an_error_of_its_kind_and_free(
    chat: openai.OpenAI, simulator: SimulatorProcess, status: int
) -> None:
    simulator.fault(status=status, times=1)
    with pytest.raises(STATUSES[status]):
        text_of(chat)
    assert text_of(chat)
    first, second = simulator.invoice()["lines"]
    assert (first["outcome"], first["cost_nusd"], first["input_tokens"]) == ("error", 0, 0)
    assert second["outcome"] == "ok"


def test_overloaded_in_anthropics_words(claude: anthropic.Anthropic, simulator: SimulatorProcess) -> None:
    simulator.fault(status=529)
    with pytest.raises(anthropic.InternalServerError) as error:
        claude.messages.create(model="sim-claude", max_tokens=5, messages=USER)
    body: Any = error.value.body
    assert body["error"] == {"type": "overloaded_error", "message": "Overloaded"}


def test_retry_headers_and_garbage_bodies(simulator: SimulatorProcess) -> None:
    simulator.fault(status=429, retry_after=2, retry_after_ms=1500, times=1)
    status, headers, body = raw(simulator, BODY)
    assert (status, headers["retry-after"], headers["retry-after-ms"]) == (429, "2", "1500")
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
    simulator.fault(status=502, body="html")
    status, headers, body = raw(simulator, BODY)
    assert (status, headers["content-type"]) == (502, "text/html")
    assert body.startswith(b"<html>")


@pytest.mark.parametrize("reset", [False, True])
def test_cut_stream_is_charged_for_what_was_made(
    chat: openai.OpenAI, simulator: SimulatorProcess, reset: bool
) -> None:
    whole = text_of(chat)
    simulator.fault(cut_after_chunks=3, reset=reset)
    got = ""
    chunks = chat.chat.completions.create(model="sim-frontier", messages=USER, stream=True)
    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - what came before the cut is looked at
        for chunk in chunks:
            got += chunk.choices[0].delta.content or ""
    assert whole.startswith(got)
    complete, cut = simulator.invoice()["lines"]
    assert cut["outcome"] == "cut"
    assert cut["usage_reported"] is False
    assert 3 <= cut["output_tokens"] <= 15  # three chunks of one to five tokens
    assert cut["output_tokens"] < complete["output_tokens"]
    assert cut["cost_nusd"] == cut["input_tokens"] * 2500 + cut["output_tokens"] * 10_000


def test_cut_before_body(chat: openai.OpenAI, simulator: SimulatorProcess) -> None:
    simulator.fault(cut_before_body=True)
    with pytest.raises(openai.APIConnectionError):
        text_of(chat)
    with pytest.raises(openai.APIConnectionError):
        chat.chat.completions.create(model="sim-frontier", messages=USER)
    streamed, whole = simulator.invoice()["lines"]
    assert streamed["output_tokens"] == 0 < streamed["input_tokens"]
    assert whole["output_tokens"] > 0  # it was all made before its headers went out


def test_silent_end_has_no_terminal_event(simulator: SimulatorProcess) -> None:
    simulator.fault(silent_end=True)
    _, _, body = raw(simulator, BODY)
    assert b'"content"' in body
    assert b"[DONE]" not in body
    assert b'"finish_reason":"stop"' not in body
    assert simulator.invoice()["lines"][0]["outcome"] == "cut"


def test_error_events_in_mid_stream(
    chat: openai.OpenAI, claude: anthropic.Anthropic, simulator: SimulatorProcess
) -> None:
    simulator.fault(error_event_after_chunks=2)
    with pytest.raises(openai.APIError):
        text_of(chat)
    with (
        pytest.raises(anthropic.APIStatusError) as error,
        claude.messages.stream(model="sim-claude", max_tokens=90, messages=USER) as stream,
    ):
        stream.get_final_message()
    body: Any = error.value.body
    assert body["error"]["type"] == "overloaded_error"
    assert [line["outcome"] for line in simulator.invoice()["lines"]] == ["error", "error"]
    assert all(line["output_tokens"] > 0 for line in simulator.invoice()["lines"])


@pytest.mark.parametrize("fault", ["garbage_json", "truncated_json"])
@pytest.mark.parametrize("stream", [False, True])
def test_broken_json(simulator: SimulatorProcess, fault: str, stream: bool) -> None:
    simulator.faults({"fault": {fault: True}})
    status, _, body = raw(simulator, {**BODY, "stream": stream})
    assert status == 200
    pieces = [part.removeprefix(b"data: ") for part in body.split(b"\n\n") if part] if stream else [body]
    broken = 0
    for piece in pieces:
        try:
            json.loads(piece)
        except ValueError:
            broken += piece != b"[DONE]"
    assert broken == 1


def test_usage_faults(chat: openai.OpenAI, simulator: SimulatorProcess) -> None:
    simulator.fault(no_usage=True, times=2)
    assert chat.chat.completions.create(model="sim-frontier", messages=USER).usage is None
    assert b"usage" not in raw(simulator, BODY)[2]
    assert [line["usage_reported"] for line in simulator.invoice()["lines"]] == [False, False]
    simulator.fault(usage_null_choices=True)
    assert b'"choices":null' in raw(simulator, BODY)[2]


def test_forced_answers(
    chat: openai.OpenAI, claude: anthropic.Anthropic, simulator: SimulatorProcess
) -> None:
    simulator.fault(answer="Grüße 🎉 日本", times=2)
    assert text_of(chat) == "Grüße 🎉 日本"
    answer = chat.chat.completions.create(model="sim-frontier", messages=USER)
    assert answer.choices[0].message.content == "Grüße 🎉 日本"
    simulator.fault(finish_reason="content_filter", times=1)
    answer = chat.chat.completions.create(model="sim-frontier", messages=USER)
    assert answer.choices[0].finish_reason == "content_filter"
    simulator.fault(refuse=True)
    answer = chat.chat.completions.create(model="sim-frontier", messages=USER)
    assert answer.choices[0].message.content is None
    assert (answer.choices[0].message.refusal or "").startswith("I'm sorry")
    assert claude.messages.create(model="sim-claude", max_tokens=90, messages=USER).stop_reason == "refusal"


FRAMINGS: list[dict[str, Any]] = [
    {"split_bytes": 1},
    {"split_bytes": 7},
    {"line_ending": "\r\n"},
    {"line_ending": "\r"},
    {"bom": True},
    {"comments": True},
    {"multi_line_data": True},
    {"no_space": True},
    {"split_bytes": 3, "line_ending": "\r\n", "bom": True, "comments": True, "multi_line_data": True},
]


@pytest.mark.parametrize("framing", FRAMINGS, ids="+".join)
def test_framing_changes_bytes_and_not_meaning(simulator: SimulatorProcess, framing: dict[str, Any]) -> None:
    simulator.fault(answer="Grüße 🎉 日本, order 12345.", **framing)
    _, _, body = raw(simulator, BODY)
    text = body.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events = []
    for block in text.split("\n\n"):
        data = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if data and data != ["[DONE]"]:
            events.append(json.loads("\n".join(data)))
    deltas = [row["delta"].get("content") or "" for event in events for row in event["choices"]]
    assert "".join(deltas) == "Grüße 🎉 日本, order 12345."


def test_framing_marks_are_on_the_wire(simulator: SimulatorProcess) -> None:
    simulator.fault(bom=True, comments=True, no_space=True, line_ending="\r\n")
    _, _, body = raw(simulator, BODY)
    assert body.startswith(b"\xef\xbb\xbf: simulated comment 1\r\n\r\nid:1\r\nevent:message\r\n")
    assert b"\r\ndata:{" in body
    assert b"\n" not in body.replace(b"\r\n", b"")


def test_content_type_size_and_headers(simulator: SimulatorProcess) -> None:
    simulator.fault(wrong_content_type=True, headers={"x-odd": "1"}, huge_body_bytes=300_000)
    _, headers, body = raw(simulator, BODY)
    assert (headers["content-type"], headers["x-odd"]) == ("text/html", "1")
    assert len(body) > 300_000


def test_rules_match_by_count_model_text_and_endpoint(simulator: SimulatorProcess) -> None:
    simulator.faults({"match": {"nth": [2], "model": "sim-frontier"}, "fault": {"status": 500}})
    assert [raw(simulator, BODY)[0] for _ in range(3)] == [200, 500, 200]
    simulator.clear_faults()
    simulator.faults(
        {"match": {"contains": "elephant"}, "fault": {"status": 503}},
        {"match": {"endpoint": "messages"}, "fault": {"status": 500}},
        {"match": {"model": "sim-nano", "stream": False}, "times": 1, "fault": {"status": 429}},
    )
    assert raw(simulator, BODY)[0] == 200
    assert raw(simulator, {**BODY, "messages": [{"role": "user", "content": "an elephant"}]})[0] == 503
    nano = {"model": "sim-nano", "messages": USER}
    assert [raw(simulator, nano)[0] for _ in range(2)] == [429, 200]
    fired = [rule["fired"] for rule in simulator.call("GET", "/simulator/faults")["rules"]]
    assert fired == [1, 0, 1]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"fault": {"statsu": 500}}, "faults[0].fault.statsu"),
        ({"fault": {"status": "500"}}, "faults[0].fault.status"),
        ({"fault": {}, "times": 0}, "faults[0].times"),
        ({"fault": {}, "match": {"nth": [0]}}, "faults[0].match.nth"),
        ({}, "faults[0]"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(simulator: SimulatorProcess, rule: Any, place: str) -> None:
    host = simulator.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("POST", "/simulator/faults", json.dumps([rule]))
    response = connection.getresponse()
    assert response.status == 400
    assert json.loads(response.read())["error"]["message"].startswith(place)
    connection.close()


def test_base_rates_fail_some_and_the_same_ones_each_time(tmp_path: Any) -> None:
    (tmp_path / "sim.toml").write_text("[rates]\nerror_rate = 0.3\n")

    def statuses() -> list[int]:
        with SimulatorProcess({"config": tmp_path / "sim.toml", "seed": 5}) as process:
            return [raw(process, {"model": "sim-nano", "messages": USER})[0] for _ in range(40)]

    first = statuses()
    assert 4 <= sum(status != 200 for status in first) <= 22
    assert statuses() == first
