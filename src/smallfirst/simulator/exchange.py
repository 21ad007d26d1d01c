"""One request from its arrival to its line in the invoice: the story of a simulated call."""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from urllib.parse import parse_qsl

from .api_error import ApiError
from .completion import Completion
from .connection import ClientGoneError, Connection
from .delivery import Delivery
from .dialect import Call, Dialect, Reply
from .faults import NO_FAULT, Fault
from .latency import draw_pace
from .meter import Meter
from .prices import Usage
from .prompt import Prompt, compact, fingerprint
from .simulator import Simulator

_BODY_BYTES_MAX = 64 * 1024 * 1024
_SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "cookie")
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>\n"


class Exchange:
    """Serves one request and settles it exactly once, whatever happens to it."""

    def __init__(self, simulator: Simulator, dialect: Dialect, connection: Connection) -> None:
        scope = connection.scope
        self._simulator = simulator
        self._dialect = dialect
        self._connection = connection
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        shown = {name: "***" if name in _SECRET_HEADERS else value for name, value in self._headers.items()}
        self._record = simulator.activity.open(dialect.endpoint, dialect.name, shown)
        self._fault: Fault = NO_FAULT
        self._input = Usage()
        self._meter: Meter | None = None  # from the moment that the request is admitted
        self._settled = False

    async def run(self) -> None:
        """Serve the request; at the end it is settled and nothing of it is left running."""
        self._simulator.exchanges.add(self._connection)
        try:
            await self._serve()
        except ApiError as error:
            await self._refuse(error)
        except ClientGoneError:
            self._settle("cut" if self._connection.stopped else "cancelled")
        finally:
            self._settle("cut")
            self._connection.close()
            self._simulator.exchanges.discard(self._connection)

    async def _serve(self) -> None:
        simulator, dialect, connection = self._simulator, self._dialect, self._connection
        raw = await connection.body(_BODY_BYTES_MAX)
        simulator.activity.keep_body(self._record, raw)
        key = self._authenticate()
        prompt = self._parse(raw)
        self._fault = self._draw_fault(prompt, raw)
        await self._fail_early(prompt)
        pace = draw_pace(
            simulator.settings.latency, simulator.composer.rng(prompt, "pace", self._record.number)
        )
        await connection.pause(pace.headers_s)
        self._meter = Meter(connection, pace)
        reply = self._reply(key, prompt)
        delivery = Delivery(dialect, connection, self._meter, self._record, self._settle)
        if prompt.stream and dialect.billed:
            await delivery.stream(reply, self._response_headers("text/event-stream; charset=utf-8"))
        else:
            await delivery.whole(reply, self._response_headers("application/json"))

    def _reply(self, key: str, prompt: Prompt) -> Reply:
        """The answer to ``prompt``, all of it, with the usage that it will have if nothing interrupts it."""
        simulator = self._simulator
        completion = simulator.composer.compose(prompt, self._fault) if self._dialect.billed else Completion()
        self._input = simulator.cache.admit(key, prompt) if self._dialect.billed else Usage()
        made = {"output_tokens": completion.output_tokens, "reasoning_tokens": completion.reasoning_tokens}
        return Reply(
            request_id=self._record.request_id,
            created_s=int(time.time()),
            prompt=prompt,
            completion=completion,
            usage=replace(self._input, **made),
            fault=self._fault,
            rng=simulator.composer.rng(prompt, "chunks"),
        )

    def _authenticate(self) -> str:
        """The caller's key, by the header that its dialect uses (or as a bearer token)."""
        bearer = self._headers.get("authorization", "").removeprefix("Bearer ").strip()
        own = {"azure": "api-key", "anthropic": "x-api-key"}.get(self._dialect_name)
        key = (self._headers.get(own) if own else None) or bearer
        wanted = self._simulator.settings.api_key
        if not key or (wanted is not None and not hmac.compare_digest(key.encode(), wanted.encode())):
            raise ApiError(401, "invalid x-api-key" if self._dialect_name == "anthropic" else None)
        return key

    @property
    def _dialect_name(self) -> str:
        shared = self._dialect.endpoint == "models" and "anthropic-version" in self._headers
        return "anthropic" if shared else self._dialect.name

    def _parse(self, raw: bytes) -> Prompt:
        """The prompt, of a model that is sold here; ``ApiError`` 400 or 404 otherwise."""
        scope = self._connection.scope
        try:
            body = json.loads(raw) if scope["method"] == "POST" else {}
        except (ValueError, RecursionError) as problem:
            raise ApiError(400, "We could not parse the JSON body of your request.") from problem
        if not isinstance(body, dict):
            raise ApiError(400, "The body of the request must be a JSON object.")
        self._record.model = _printable(body.get("model", ""))
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        prompt = self._dialect.parse(Call(body, self._headers, scope.get("path_params", {}), query))
        model = self._simulator.settings.aliases.get(prompt.model, prompt.model)
        self._record.model, self._record.stream = _printable(model), prompt.stream
        if prompt.endpoint != "models" and not self._sells(model, prompt.endpoint):
            message = f"The model '{model}' does not exist or you do not have access to it."
            code = "DeploymentNotFound" if self._dialect.name == "azure" else "model_not_found"
            raise ApiError(
                404, f"model: {model}" if self._dialect.name == "anthropic" else message, code=code
            )
        said = ("\x1f".join(segment.tokens) for segment in prompt.segments)
        return replace(prompt, model=model, identity=fingerprint(model, *said))

    def _sells(self, model: str, endpoint: str) -> bool:
        price = self._simulator.prices.get(model)
        return price is not None and price.kind == ("embedding" if endpoint == "embeddings" else "chat")

    def _draw_fault(self, prompt: Prompt, raw: bytes) -> Fault:
        """The fault ordered for this request, or one drawn by the base rates."""
        fault = self._simulator.faults.take(prompt.endpoint, prompt.model, prompt.stream, raw)
        rates = self._simulator.settings.rates
        if fault is not NO_FAULT or not (rates.error_rate or rates.cut_rate) or not self._dialect.billed:
            return fault
        rng = Random(fingerprint(self._simulator.settings.seed, "rates", self._record.number))
        if rng.random() < rates.error_rate:
            return Fault(status=rng.choice((429, 500, 503, 529)))
        return Fault(cut_after_chunks=rng.randint(0, 6)) if rng.random() < rates.cut_rate else fault

    async def _fail_early(self, prompt: Prompt) -> None:
        """The faults that come before anything is generated, and so are free."""
        fault = self._fault
        if fault.hang_before_headers is not False:
            await self._connection.pause(
                None if fault.hang_before_headers is True else fault.hang_before_headers
            )
        if fault.status is not None:
            raise ApiError(fault.status, fault.message, error_type=fault.error_type)
        if fault.error_event_after_chunks is not None and not prompt.stream:
            raise ApiError(500, fault.message, error_type=fault.error_type)

    async def _refuse(self, error: ApiError) -> None:
        """Answer with an error: in the dialect's own shape, or as a proxy in front of it would."""
        fault = self._fault
        text = compact(error.body(self._dialect_name, self._record.request_id))
        kind = "application/json"
        if error.status == fault.status and fault.body != "dialect":
            text = {"html": _HTML.format(error.message), "empty": ""}.get(fault.body, fault.body)
            kind = "text/html" if fault.body == "html" else "text/plain"
        body = b"" if error.status in (204, 304) else text.encode("utf-8", "replace")
        headers = self._response_headers(kind)
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        if fault.retry_after_ms is not None:
            headers["retry-after-ms"] = f"{fault.retry_after_ms:g}"
        if error.status == 413:
            headers["connection"] = "close"
        self._record.status, self._record.started_at = error.status, time.time()
        self._settle("error")
        await self._connection.start(error.status, {**headers, "content-length": str(len(body))})
        await self._connection.end(body)

    def _response_headers(self, content_type: str) -> dict[str, str]:
        wrong = self._fault.wrong_content_type
        kind = "text/html" if wrong is True else wrong or content_type
        ids = {"x-request-id": self._record.request_id}
        if self._dialect_name == "anthropic":
            ids = {"request-id": self._record.request_id}
        elif self._dialect_name == "openai":
            ids |= {"openai-version": "2020-10-01", "x-ratelimit-limit-requests": "10000"}
        return {"content-type": kind, "x-simulated": "true", **ids, **self._fault.headers}

    def _settle(self, outcome: str, *, usage_reported: bool = False) -> None:
        """Close the books on this request; the first outcome counts."""
        if self._settled:
            return
        self._settled = True
        record, meter = self._record, self._meter
        if meter:
            record.output_tokens, record.reasoning_tokens = meter.output_tokens, meter.reasoning_tokens
        self._simulator.activity.close(record, outcome)
        if self._dialect.billed:
            made = {"output_tokens": record.output_tokens, "reasoning_tokens": record.reasoning_tokens}
            self._simulator.invoice.charge(
                replace(self._input, **made),
                request_id=record.request_id,
                client_request_id=record.client_request_id,
                endpoint=record.endpoint,
                dialect=record.dialect,
                model=record.model,
                at=datetime.fromtimestamp(record.received_at, UTC).isoformat(),
                stream=record.stream,
                outcome=outcome,
                usage_reported=usage_reported,
            )


def _printable(name: object) -> str:
    """A model's name as it can be put on an invoice, whatever was sent."""
    return str(name)[:200].encode("utf-8", "replace").decode()
