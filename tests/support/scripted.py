"""An OpenAI-compatible upstream that answers as a function says, for what the simulator does not do (log-probabilities, say)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = Callable[[dict[str, Any]], tuple[int, Mapping[str, Any]]]
"""From a request's body to a status and a response's body."""


class ScriptedUpstream:
    """Listens on a free port; a context manager that stops it again. `bodies` are the requests, in the order in which they came."""

    def __init__(self, answer: Answer) -> None:
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                status, told = answer(body)
                data = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def completion(text: str, *, first: Mapping[str, float] | None = None) -> dict[str, Any]:
    """A chat completion of one token. `first`: what the token might have been, with log-probabilities."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "length",
    }
    if first is not None:
        told = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in first.items()]
        chosen = {"token": text, "logprob": first.get(text, -0.1), "bytes": None}
        choice["logprobs"] = {"content": [chosen | {"top_logprobs": told}]}
    usage = {"prompt_tokens": 90, "completion_tokens": 1, "total_tokens": 91}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [choice],
        "usage": usage,
    }
