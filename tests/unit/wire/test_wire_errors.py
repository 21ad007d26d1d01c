"""Errors as each SDK expects them, and what an upstream said, passed on or translated."""

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from smallfirst import errors as tree
from smallfirst.wire import errors
from smallfirst.wire.sse import SseDecoder

OPENAI_BODY = b'{"error": {"message": "slow down", "type": "requests", "param": null, "code": "rate_limit_exceeded", "x": 1.50}}'
ANTHROPIC_BODY = (
    b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
)


def rendered(error: tree.CallError, dialect: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    status, headers, body = errors.render(error, dialect=dialect, request_id="call-1")
    return status, {name.decode(): value.decode() for name, value in headers}, json.loads(body)


def test_openais_shape() -> None:
    status, headers, body = rendered(tree.BadRequest("n: Expected `int` <= 16", param="n"), "openai")
    told = {
        "message": "n: Expected `int` <= 16",
        "type": "invalid_request_error",
        "param": "n",
        "code": "invalid_request",
    }
    assert (status, body) == (400, {"error": told})
    assert headers == {
        "content-type": "application/json",
        "x-should-retry": "false",
        "x-request-id": "call-1",
        "request-id": "call-1",
    }


def test_anthropics_shape() -> None:
    status, _, body = rendered(tree.UnknownModel("no such model"), "anthropic")
    told = {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no such model"},
        "request_id": "call-1",
    }
    assert (status, body) == (404, told)


@pytest.mark.parametrize(
    ("error", "openais", "anthropics"),
    [
        (tree.BadKey("x"), (401, "invalid_request_error"), (401, "authentication_error")),
        (tree.NotAllowed("x"), (403, "permission_error"), (403, "permission_error")),
        (tree.BodyTooLarge("x"), (413, "invalid_request_error"), (413, "request_too_large")),
        (tree.BudgetExceeded("x"), (429, "insufficient_quota"), (429, "rate_limit_error")),
        (
            tree.RateLimited("x", scope_kind="key", counted="requests", retry_after_s=1),
            (429, "requests"),
            (429, "rate_limit_error"),
        ),
        (
            tree.RateLimited("x", scope_kind="key", counted="output_tokens"),
            (429, "tokens"),
            (429, "rate_limit_error"),
        ),
        (tree.Overloaded("x"), (503, "server_error"), (529, "overloaded_error")),
        (tree.LedgerUnavailable("x"), (503, "server_error"), (529, "overloaded_error")),
        (tree.UpstreamBroken("x"), (502, "server_error"), (502, "api_error")),
        (tree.UpstreamTimeout("x"), (504, "server_error"), (504, "timeout_error")),
        (tree.UpstreamUnavailable("x"), (503, "server_error"), (529, "overloaded_error")),
        (tree.UpstreamRefused("x", status=529, body=b"?"), (503, "server_error"), (529, "overloaded_error")),
        (
            tree.UpstreamRefused("x", status=429, body=b"?"),
            (429, "rate_limit_error"),
            (429, "rate_limit_error"),
        ),
        (tree.UpstreamRefused("x", status=500, body=b"?"), (500, "server_error"), (500, "api_error")),
        (
            tree.UpstreamRefused("x", status=418, body=b"?"),
            (418, "invalid_request_error"),
            (418, "invalid_request_error"),
        ),
    ],
)
def test_each_dialects_own_words(
    error: tree.CallError, openais: tuple[int, str], anthropics: tuple[int, str]
) -> None:
    status, _, body = rendered(error, "openai")
    assert (status, body["error"]["type"]) == openais
    status, _, body = rendered(error, "anthropic")
    assert (status, body["error"]["type"]) == anthropics


def test_retries_are_said() -> None:
    _, headers, _ = rendered(tree.Overloaded("busy", retry_after_s=0.25), "openai")
    assert (headers["x-should-retry"], headers["retry-after-ms"], headers["retry-after"]) == (
        "true",
        "250",
        "1",
    )
    assert "retry-after" not in rendered(tree.Overloaded("busy"), "openai")[1]


def test_a_refusal_in_the_clients_dialect_passes_as_it_was_said() -> None:
    refused = tree.UpstreamRefused("slow down", status=429, body=OPENAI_BODY, retry_after_s=2)
    status, _, body = errors.render(refused, dialect="openai", request_id="r")
    assert (status, body) == (429, OPENAI_BODY)
    refused = tree.UpstreamRefused("Overloaded", status=529, body=ANTHROPIC_BODY)
    status, _, body = errors.render(refused, dialect="anthropic", request_id="r")
    assert (status, body) == (529, ANTHROPIC_BODY)


def test_a_refusal_in_the_other_dialect_is_translated() -> None:
    status, headers, body = rendered(
        tree.UpstreamRefused("slow down", status=429, body=OPENAI_BODY, retry_after_s=2), "anthropic"
    )
    told = {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": "call-1",
    }
    assert (status, headers["retry-after"], body) == (429, "2", told)
    status, _, body = rendered(tree.UpstreamRefused("Overloaded", status=529, body=ANTHROPIC_BODY), "openai")
    assert (status, body["error"]["message"], body["error"]["type"]) == (503, "Overloaded", "server_error")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"detail":"x"}', b'{"error":"x"}', OPENAI_BODY[:-3], b"\xff", b"[" * 10**5]
)
def test_a_refusal_in_no_dialect_is_told_in_the_clients(body: bytes) -> None:
    for dialect in ("openai", "anthropic"):
        _, _, told = rendered(tree.UpstreamRefused("x", status=400, body=body), dialect)
        assert told["error"]["message"] == "x"


def test_the_sdks_raise_what_they_should() -> None:
    status, headers, body = errors.render(tree.Overloaded("busy"), dialect="anthropic", request_id="r")
    client = anthropic.Anthropic(api_key="k", base_url="http://localhost")
    response = httpx2.Response(
        status, headers=headers, content=body, request=httpx2.Request("POST", "http://localhost")
    )
    raised = client._make_status_error_from_response(response)
    assert isinstance(raised, anthropic.InternalServerError)
    assert (raised.request_id, raised.type) == ("r", "overloaded_error")
    status, headers, body = errors.render(tree.BadKey("no"), dialect="openai", request_id="r")
    response = httpx2.Response(
        status, headers=headers, content=body, request=httpx2.Request("POST", "http://localhost")
    )
    told = openai.OpenAI(api_key="k", base_url="http://localhost")._make_status_error_from_response(response)
    assert isinstance(told, openai.AuthenticationError)
    assert (told.code, told.request_id) == ("invalid_api_key", "r")


def test_in_a_stream() -> None:
    broken = tree.UpstreamBroken("cut off")
    (event,) = SseDecoder().feed(errors.render_in_stream(broken, "openai"))
    assert event.event == ""
    assert json.loads(event.data)["error"]["message"] == "cut off"
    (event,) = SseDecoder().feed(errors.render_in_stream(broken, "anthropic"))
    assert event.event == "error"
    assert json.loads(event.data) == {"type": "error", "error": {"type": "api_error", "message": "cut off"}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (OPENAI_BODY, "slow down"),
        (ANTHROPIC_BODY, "Overloaded"),
        (b'{"error":"plain"}', "plain"),
        (b'{"object":"error","message":"vllm"}', "vllm"),
        (b'{"detail":[{"msg":"x"}]}', "[{'msg': 'x'}]"),
        (b'{"error":{"message":{"odd":1}}}', "{'odd': 1}"),
        (b"<html>\n <b>502</b>\r\n\x1b[31m</html>", "<html> <b>502</b> [31m</html>"),
        (b"\xff\xfe", "��"),
        (b"", ""),
        (b"null", ""),
        (b"{}", ""),
        (b'{"error":null}', ""),
    ],
)
def test_what_an_upstream_said(body: bytes, message: str) -> None:
    assert errors.upstream_message(body, "openai") == message


def test_what_is_logged_is_bounded() -> None:
    assert (
        len(errors.upstream_message(json.dumps({"error": {"message": "x" * 10**6}}).encode(), "openai"))
        <= 2000
    )
    assert len(errors.upstream_message(b"x" * 10**6, "openai")) <= 2000
    assert errors.upstream_message(b"[" * 10**6, "openai").startswith("[")
