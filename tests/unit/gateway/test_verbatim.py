"""What a relayed path may ask for, however it is written."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from smallfirst.errors import UnknownRoute
from smallfirst.gateway.client import Client
from smallfirst.gateway.verbatim import outgoing
from smallfirst.models.endpoints import Endpoint

GPU = Endpoint("http://10.0.0.7:8000/v1")


def client(raw_path: str) -> Client:
    scope: Any = {
        "method": "POST",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": b"",
        "headers": [],
    }
    return Client(scope, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/v1/load_lora_adapter/",
        "/v1/%6Coad_lora%5Fadapter",
        "/vllm/v1/unload_lora_adapter",
    ],
)
def test_what_a_server_serves_is_not_for_clients_to_change(path: str) -> None:
    with pytest.raises(UnknownRoute, match="adapters deploy"):
        outgoing(client(path), GPU, {}, b"{}")


def test_other_paths_are_passed_on() -> None:
    sent = outgoing(client("/v1/load_lora_adapters_list"), GPU, {}, b"{}")
    assert str(sent.url) == "http://10.0.0.7:8000/v1/load_lora_adapters_list"
