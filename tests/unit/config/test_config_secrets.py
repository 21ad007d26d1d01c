"""Secrets are looked up by reference and never shown, whatever goes wrong."""

from __future__ import annotations

import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.config.secrets import (
    header_looks_secret,
    is_reference,
    is_secret_header,
    looks_secret,
    resolve,
    resolve_headers,
    secret,
    without_credentials,
)
from smallfirst.errors import ConfigError

PATH = "providers.p.api_key"


def test_a_reference_is_looked_up_without_the_blank_space_around_the_value() -> None:
    assert resolve("env:A_1", {"A_1": " value\n"}, path=PATH) == "value"


@pytest.mark.parametrize(
    ("ref", "environ", "message"),
    [
        ("env:A", {}, "the environment variable A is not set"),
        ("env:A", {"A": ""}, "the environment variable A is empty"),
        ("env:A", {"A": " \n"}, "the environment variable A is empty"),
        (
            "env:A",
            {"A": "canary\nx"},
            "the environment variable A holds a character that no HTTP header can carry",
        ),
        (
            "env:A",
            {"A": "canaré"},
            "the environment variable A holds a character that no HTTP header can carry",
        ),
        ("canary", {}, 'expected a reference such as "env:OPENAI_API_KEY"; what stands there is not shown'),
        (
            "env:canary-x",
            {},
            'expected a reference such as "env:OPENAI_API_KEY"; what stands there is not shown',
        ),
    ],
)
def test_what_cannot_be_looked_up_says_the_variable_and_never_the_value(
    ref: str, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(ref, environ, path=PATH)
    assert str(caught.value) == f"{PATH}: {message}"
    assert caught.value.path == PATH
    assert "canar" not in "".join(traceback.format_exception_only(caught.value))


def test_headers_are_looked_up_where_they_refer() -> None:
    headers = {"X-Team": "a", "Authorization": "env:A"}
    assert resolve_headers(headers, {"A": "Bearer x"}, path="h") == {
        "X-Team": "a",
        "Authorization": "Bearer x",
    }
    with pytest.raises(ConfigError, match=r"^h\.Authorization: the environment variable A is not set$"):
        resolve_headers(headers, {}, path="h")


def test_a_secret_prints_as_its_reference() -> None:
    found = secret("env:A", {"A": "canary"}, path=PATH)
    assert found.reveal() == "canary"
    assert f"{found} {found!r} {[found]}" == "env:A env:A [env:A]"
    with pytest.raises(TypeError, match="is not pickled"):
        pickle.dumps(found)


@given(st.text())
def test_only_a_reference_is_one(text: str) -> None:
    assert is_reference(text) == (text.startswith("env:") and text[4:].isidentifier() and text.isascii())


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefgh1jklmnop",
        "key=sk-ant-api03-abcdefghijklmnop",
        "gsk_abcdefghijklmnop1",
        "xai-abcdefghijklmnop1",
        "AIzaSyabcdefgh1jklmnop",
        "Bearer abcdefgh",
        "Basic YTpi1234",
        "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6",
    ],
)
def test_keys_look_secret(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "env:OPENAI_API_KEY_FOR_PROJECT_123456",
        "gpt-5",
        "task-management-assistant-2",
        "sk-and-then-only-words",
        "keyboard-shortcuts-of-2026",
        "openai/gpt-4o-mini",
        "high",
        "2026-07-01",
        "https://a.example/v1",
    ],
)
def test_names_do_not_look_secret(text: str) -> None:
    assert not looks_secret(text)


def test_headers_that_carry_credentials_are_known() -> None:
    for name in (
        "Authorization",
        "Proxy-Authorization",
        "x-api-key",
        "api-key",
        "X-Auth-Token",
        "Cookie",
        "apikey",
    ):
        assert is_secret_header(name), name
    for name in ("X-Team", "HTTP-Referer", "OpenAI-Organization", "anthropic-beta", "X-Keyboard"):
        assert not is_secret_header(name), name


def test_an_address_is_shown_without_credentials() -> None:
    assert without_credentials("https://u:canary@h:1/v1?key=canary#canary") == "https://***@h:1/v1"
    assert without_credentials("https://h/v1") == "https://h/v1"


def test_identifiers_in_headers_are_no_secrets() -> None:
    assert not header_looks_secret("OpenAI-Organization", "org-a1b2c3d4e5f6a7b8c9d0e1f2")
    assert header_looks_secret("X-Other", "a1b2c3d4e5f6a7b8c9d0e1f2a3b4")
    assert header_looks_secret("OpenAI-Project", "sk-proj-a1b2c3d4e5f6a7b8")
    assert header_looks_secret("X-Api-Key", "x")
    assert not header_looks_secret("X-Api-Key", "env:A")
