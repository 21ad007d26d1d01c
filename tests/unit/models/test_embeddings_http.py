"""An embedder behind an OpenAI-compatible endpoint: the simulator's, and ones that misbehave."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from support.simulator import SimulatorProcess

from smallfirst.config.schema import Config, Model, Provider, Timeouts
from smallfirst.errors import ConfigError, UpstreamBroken, UpstreamUnreachable
from smallfirst.models.embeddings_http import HttpEmbedder, embedder_of


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as process:
        yield process


ENVIRON = {"KEY": "secret"}


def config(base_url: str, **provider: Any) -> Config:
    timeouts = Timeouts(first_byte_s=2)
    return Config(
        providers={
            "p": Provider(**{"base_url": base_url, "timeouts": timeouts, "api_key": "env:KEY"} | provider)
        },
        models={"embed": Model(provider="p", id="sim-embed")},
    )


def test_a_configured_model_embeds(simulator: SimulatorProcess) -> None:
    found = embedder_of("model:embed", config(f"{simulator.base_url}/v1"), ENVIRON)
    assert (found.name, found.slow, found.dimensions) == ("model:embed", True, 256)
    texts = [f"text {number}" for number in range(150)] + ["", "x" * 100_000]
    vectors = found.embed(texts)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(found.embed(texts[70:71])[0], vectors[70]), "in their order, over many requests"
    like = found.embed(["my invoice is wrong", "the invoice is wrong", "a purple cat"])
    assert like[0] @ like[1] > like[0] @ like[2]


def test_it_is_known_by_its_model_and_opened_once(simulator: SimulatorProcess) -> None:
    made = config(f"{simulator.base_url}/v1")
    found = embedder_of("model:embed", made, ENVIRON)
    assert embedder_of("model:embed", made, ENVIRON) is found
    assert len(found.sha256) == 64
    assert embedder_of("wordllama", None, {}).name == "wordllama"


def test_what_it_cannot_be_is_named() -> None:
    made = config("http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match=r"embedder 'model:nobody': model 'nobody' is not in \[models\]"):
        embedder_of("model:nobody", made, ENVIRON)
    with pytest.raises(ConfigError, match="model 'embed' is not in"):
        embedder_of("model:embed", None, {})
    with pytest.raises(ConfigError, match="provider 'p' is anthropic, and an OpenAI-compatible one"):
        embedder_of("model:embed", config("http://127.0.0.1:9", kind="anthropic"), ENVIRON)
    with pytest.raises(ConfigError, match="the embedder model:embed cannot be reached"):
        embedder_of("model:embed", made, ENVIRON)


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers whatever the test has put into `replies`, the last again and again."""

    replies: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[tuple[Any, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((body, self.headers))
        status, data = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Endpoint.replies, Endpoint.asked = [], []
    yield f"http://127.0.0.1:{server.server_port}/v1/embeddings"
    server.shutdown()
    server.server_close()
    thread.join()


def rows(*vectors: list[float]) -> bytes:
    told = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return json.dumps({"data": told[::-1], "model": "m"}).encode()


def opened(url: str, **headers: str) -> HttpEmbedder:
    return HttpEmbedder("model:e", url, "m", headers, timeout_s=2)


def test_rows_are_put_in_order_and_headers_sent(url: str) -> None:
    Endpoint.replies = [(200, rows([1, 0])), (200, rows([3, 4], [0, 2]))]
    found = opened(url, Authorization="Bearer k").embed(["a", ""])
    assert np.allclose(found, [[0.6, 0.8], [0, 1]])
    body, headers = Endpoint.asked[-1]
    assert body == {"model": "m", "input": ["a", " "], "encoding_format": "float"}
    assert headers["Authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("status", "data", "message"),
    [
        (500, b"{}", "the embedder model:e answered 500"),
        (401, b"{}", "the embedder model:e answered 401"),
        (200, b"{}", "sent no embeddings"),
        (200, b"<html>", "sent no embeddings"),
        (200, rows([1, 0], [0, 1]), "sent 2 embeddings for 1 texts"),
        (200, rows(), "sent 0 embeddings for 1 texts"),
    ],
)
def test_what_is_no_embedding_is_said(url: str, status: int, data: bytes, message: str) -> None:
    Endpoint.replies = [(200, rows([1, 0])), (status, data)]
    found = opened(url)
    with pytest.raises(UpstreamBroken, match=message):
        found.embed(["a"])


def test_vectors_of_other_lengths_are_refused(url: str) -> None:
    Endpoint.replies = [(200, rows([1, 0])), (200, rows([1, 0], [1, 0, 0])), (200, rows([1, 0, 0]))]
    found = opened(url)
    for texts in (["a", "b"], ["a"]):
        with pytest.raises(UpstreamBroken, match="numbers"):
            found.embed(texts)


def test_an_endpoint_that_is_gone_is_unreachable(url: str) -> None:
    Endpoint.replies = [(200, rows([1, 0]))]
    found = opened(url)
    found._url = "http://127.0.0.1:9/v1/embeddings"
    with pytest.raises(UpstreamUnreachable, match="the embedder model:e cannot be reached"):
        found.embed(["a"])
    assert found.embed([]).shape == (0, 2)
