"""A real vLLM passes the tests that the embedded model passes: the same thing with another URL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.embedded import WEIGHTS
from support.openai_endpoint_suite import Endpoint, OpenAIEndpointSuite
from support.vllm import VllmProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with VllmProcess(tmp_path_factory.mktemp("vllm")) as vllm:
        yield Endpoint(
            base_url=vllm.base_url,
            model=WEIGHTS,
            key=vllm.key,
            engine="vllm",
            context_tokens=vllm.context_tokens,
            running_metric="vllm:num_requests_running",
        )


class TestVllmEndpoint(OpenAIEndpointSuite):
    """The same tests as `TestEmbeddedEndpoint` in tests/e2e/test_embedded.py."""
