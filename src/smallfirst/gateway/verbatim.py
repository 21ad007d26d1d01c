"""Any other path of a provider's API, relayed verbatim: recorded, and its price unknown until smallfirst understands the path.

What a request may reach is fixed by the configuration (`[[relay]]`: a path prefix and a provider); nothing in the request chooses a host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from yarl import URL

from smallfirst.answering.account import Plan
from smallfirst.chat import Usage
from smallfirst.config.schema import Relay
from smallfirst.errors import BadRequest, NotAllowed, UnknownRoute, UpstreamBroken, UpstreamError
from smallfirst.gateway.account import CallAccount
from smallfirst.gateway.client import Client
from smallfirst.gateway.hand import CallInHand, Desk
from smallfirst.gateway.headers import cache_headers
from smallfirst.gateway.identity import Caller
from smallfirst.ledger.records import Attempt, AttemptStatus
from smallfirst.models import Catalogue
from smallfirst.models.endpoints import Endpoint
from smallfirst.models.reply import request_id, sendable
from smallfirst.models.transport import Exchange, Outgoing

_FORWARDED = (
    b"content-type",
    b"accept",
    b"anthropic-version",
    b"anthropic-beta",
    b"openai-beta",
    b"idempotency-key",
)
_CLIENT_DECIDES = frozenset({"content-type", "accept", "anthropic-version", "anthropic-beta"})
_NOT_PASSED = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers", "transfer-encoding",
        "upgrade", "content-length", "content-encoding", "set-cookie", "server", "date", "age",
    }
)  # fmt: skip
# vLLM's: which adapters it has is not for its clients to change.
_OPERATORS = ("load_lora_adapter", "unload_lora_adapter")
_MAX_ID_CHARS = 256
_METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH"})


def relay_of(path: str, relays: tuple[Relay, ...]) -> Relay | None:
    """The relay with the longest prefix of `path`, whole segments only."""
    fitting = [
        relay for relay in relays if path == relay.prefix or path.startswith(relay.prefix.rstrip("/") + "/")
    ]
    return max(fitting, key=lambda relay: len(relay.prefix), default=None)


def outgoing(client: Client, endpoint: Endpoint, own_headers: dict[str, str], body: bytes) -> Outgoing:
    """The same request to the provider, with the provider's own key.

    Raises `BadRequest` for a path that could be read as another one, `UnknownRoute` for a method that is not relayed.
    """
    scope = client.scope
    path: str = scope["path"]
    if ".." in path or "//" in path or "\\" in path or not path.isprintable():
        raise BadRequest(
            "this path is not relayed: it holds `..`, `//`, a backslash or an unprintable character"
        )
    if scope["method"] not in _METHODS:
        raise UnknownRoute(f"{scope['method']} is not relayed")
    if path.rstrip("/").endswith(_OPERATORS):
        raise UnknownRoute(f"{path[:128]} is not relayed: `smallfirst adapters deploy` and `undeploy` ask it")
    raw_path = scope.get("raw_path", path.encode()).decode("ascii", "replace").split("?")[0]
    base = str(endpoint.base_url)
    if base.endswith("/v1") and raw_path.startswith("/v1/"):
        raw_path = raw_path.removeprefix("/v1")
    query = scope["query_string"].decode("latin-1")
    url = URL(base + raw_path + (f"?{query}" if query else ""), encoded=True)
    return Outgoing(url, _headers(client.headers, own_headers), body, scope["method"])


def _headers(sent: Mapping[bytes, bytes], own: dict[str, str]) -> dict[str, str]:
    """Ours, with what the client decides in its own words."""
    merged = {name.lower(): value for name, value in own.items()}
    for name in _FORWARDED:
        if name in sent and (name.decode() in _CLIENT_DECIDES or name.decode() not in merged):
            merged[name.decode()] = sent[name].decode("latin-1")
    return merged


def answered_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The provider's headers, without those that belong to its own connection, or are ours to say."""
    return [
        (name.lower().encode(), value.encode("latin-1", "replace"))
        for name, value in headers.items()
        if name.lower() not in _NOT_PASSED
        and not name.lower().startswith("x-smallfirst-")
        and sendable(value)
    ]


def endpoint_of(relay: Relay, catalogue: Catalogue) -> Endpoint:
    """Where the relay's provider is reached now."""
    return catalogue.provider_endpoints(relay.provider).choose()


async def relay_call(desk: Desk, relay: Relay, client: Client) -> None:
    """One call of a path that is passed on as it is."""
    dialect = desk.running.config.providers[relay.provider].kind
    call = CallInHand(
        desk,
        client,
        route=client.scope["path"][:256],
        dialect="anthropic" if dialect == "anthropic" else "openai",
    )
    await call.guard(_relay(call, relay))


async def _relay(call: CallInHand, relay: Relay) -> None:
    call.admit()
    caller = call.identify()
    caller.check_model(relay.prefix)
    await call.let_in(caller, "")
    body = await call.body()
    catalogue = call.running.answerer.catalogue
    endpoint = endpoint_of(relay, catalogue)
    sent = outgoing(call.client, endpoint, catalogue.provider_headers(relay.provider), body)
    call.draft.prompt_bytes = len(body)
    call.draft.decision = {"by": "relay"}
    provider = call.running.config.providers[relay.provider]
    plan = _plan(call, relay, caller, method=sent.method)
    account = call.account(caller, "")
    account.reserve(plan)
    relayed = _Relayed(call, plan, account, endpoint)
    endpoint.breaker.begin()
    endpoint.in_flight += 1
    try:
        call.client.watch()
        exchange = await call.running.answerer.transport.send(sent, provider.timeouts)
        async with asyncio.timeout(provider.timeouts.total_s):  # a client may stay and take nothing
            await relayed.run(exchange)
    except UpstreamError as error:
        relayed.finish(
            "timeout"
            if error.kind == "timeout"
            else "unreachable"
            if error.kind == "unreachable"
            else "broken",
            0,
            str(error),
        )
        if not call.client.started:
            raise
        # Left unfinished on purpose: the server then closes the connection, and the client sees that the answer was cut.
        call.settle("cut", 200, error.code)
    except TimeoutError:
        relayed.finish("cancelled", 0, "the client did not take its answer in time")
        call.settle("cancelled", 200, "client_stalled")
    except asyncio.CancelledError:
        relayed.finish("cancelled", 0)
        raise
    except BaseException as fault:
        relayed.finish("broken", 0, f"a fault of ours ({type(fault).__name__})")
        raise
    finally:
        endpoint.in_flight -= 1


def _plan(call: CallInHand, relay: Relay, caller: Caller, *, method: str) -> Plan:
    """The one attempt. Raises `NotAllowed` where a budget cannot count it."""
    free = relay.free or method in ("GET", "DELETE")  # what only reads or removes is free with every provider
    limits = call.running.limits(caller, "")
    if limits and not free:
        raise NotAllowed(
            f"what {relay.prefix} costs is not known here, so {limits[0].purse.words} cannot be kept: where there is one, "
            "only GET, DELETE and relays with `free = true` pass"
        )
    return Plan(
        seq=0,
        kind="relay",
        rung=0,
        model=relay.prefix,
        provider=relay.provider,
        reserved_usage=Usage(),
        reserved_nusd=0 if free else None,
        simulated=call.running.config.providers[relay.provider].simulated,
    )


class _Relayed:
    """The one attempt of a relayed call."""

    def __init__(self, call: CallInHand, plan: Plan, account: CallAccount, endpoint: Endpoint) -> None:
        self._call = call
        self._plan = plan
        self._account = account
        self._endpoint = endpoint
        self._started_ms = call.clock.ms()
        self._ttft_ms: float | None = None
        self._upstream_id = ""
        self._done = False

    async def run(self, exchange: Exchange) -> None:
        """Passes the response on as it comes, one chunk behind, so that the call is settled before its last byte goes out."""
        call, client = self._call, self._call.client
        self._ttft_ms = call.clock.ms() - self._started_ms
        call.draft.ttft_ms = call.clock.ms()
        call.draft.overhead_ms = self._started_ms
        self._upstream_id = request_id(exchange.headers)[:_MAX_ID_CHARS]
        try:
            if not 200 <= exchange.status <= 599:
                raise UpstreamBroken(f"answered with {exchange.status}, which is no final HTTP status")
            told = answered_headers(exchange.headers)
            told += [(b"x-smallfirst-call", call.draft.id.encode()), *cache_headers(call.draft)]
            await client.start_stream(call.with_limits(told), exchange.status)
            last = b""
            async for chunk in exchange.chunks():
                if last:
                    await client.send(last)
                last = chunk
            self.finish("ok" if exchange.status < 400 else "refused", exchange.status)
            call.settle("ok" if exchange.status < 400 else "error", exchange.status)
            await client.end_stream(last)
        finally:
            exchange.close()

    def finish(self, status: AttemptStatus, http_status: int, reason: str = "") -> None:
        if self._done:
            return
        self._done = True
        breaker = self._endpoint.breaker
        if status in ("ok", "refused") and http_status < 500:
            breaker.success()
        elif status == "cancelled":
            breaker.abandon()
        else:
            breaker.failure()
        plan, clock = self._plan, self._call.clock
        attempt = Attempt(
            seq=0,
            kind="relay",
            rung=0,
            model=plan.model,
            provider=plan.provider,
            status=status,
            started_ms=round(self._started_ms, 3),
            latency_ms=round(clock.ms() - self._started_ms, 3),
            endpoint=self._endpoint.name,
            upstream_id=self._upstream_id,
            http_status=http_status,
            ttft_ms=self._ttft_ms,
            reason=reason[:500],
            cost_nusd=0 if status in ("refused", "unreachable") else plan.reserved_nusd,
            simulated=plan.simulated,
        )
        self._account.settle(plan, attempt)
