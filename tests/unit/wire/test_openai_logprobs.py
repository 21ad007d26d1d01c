"""What the first token might have been."""

import json

import pytest

from smallfirst.wire.openai_logprobs import first_token


def reply(logprobs: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "1"}, "logprobs": logprobs}]}).encode()


def test_the_chosen_token_and_the_others() -> None:
    token = {"token": "1", "logprob": -0.1, "bytes": [49], "top_logprobs": [{"token": "2", "logprob": -2.5}]}
    assert first_token(reply({"content": [token, token]})) == (("2", -2.5), ("1", -0.1))
    repeated = token | {"top_logprobs": [{"token": "1", "logprob": -0.2}]}
    assert first_token(reply({"content": [repeated]})) == (("1", -0.2),)


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": None}, {"content": []}, {"tokens": ["1"], "token_logprobs": [-0.1]}, 3, "x"],
)
def test_what_is_not_told_is_nothing(logprobs: object) -> None:
    assert first_token(reply(logprobs)) == ()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"choices":[]}', b"nonsense", b'{"choices":[{}]}'])
def test_what_is_no_completion_is_nothing(data: bytes) -> None:
    assert first_token(data) == ()
