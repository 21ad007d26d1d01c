"""`smallfirst serve`: one gateway process over one state directory, from its lock to its last settlement."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import uvicorn

from smallfirst import limits
from smallfirst.classify.store import Artifacts
from smallfirst.config import load
from smallfirst.config.check import problems_at_start
from smallfirst.config.schema import Config
from smallfirst.errors import ConfigError, LedgerUnavailable, StateError
from smallfirst.gateway.app import Gateway
from smallfirst.gateway.budget.exposed import families
from smallfirst.gateway.budget.opening import begin_budgets, open_budgets
from smallfirst.gateway.budget.webhook import Webhooks
from smallfirst.gateway.cache.cached import Cache
from smallfirst.gateway.cache.opening import open_parts
from smallfirst.gateway.channel import Served
from smallfirst.gateway.evidence import Evidence, noted
from smallfirst.gateway.follow import Follower, Note
from smallfirst.gateway.hand import Desk
from smallfirst.gateway.history import History
from smallfirst.gateway.listener import BoundedHttp
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.rates.local import LocalRates
from smallfirst.gateway.reload import reloaded
from smallfirst.gateway.running import Running, Shared
from smallfirst.gateway.stops import Stops
from smallfirst.gateway.supervisor import Supervisor, is_wanted
from smallfirst.gateway.upkeep import Upkeep
from smallfirst.gateway.watch import Watch
from smallfirst.ledger import Ledger
from smallfirst.ledger.records import Event
from smallfirst.models.embedded import EmbeddedModels
from smallfirst.models.embeddings_http import embedder_of
from smallfirst.models.heads import Heads
from smallfirst.models.label_head import Head, HeadServer
from smallfirst.models.transport import AiohttpTransport
from smallfirst.releases import Live, read_live
from smallfirst.routing.conversations import Conversations

_log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line adds to the configuration; None: as configured, or as the channel says."""

    host: str | None = None
    port: int | None = None
    release: str | None = None
    unproven: str = ""
    embedded: bool = True
    controller: bool = True


def serve(path: Path, options: Options, *, announce: Callable[[str, Served], None]) -> None:
    """Serves until SIGTERM or SIGINT. `announce` is told the address and what is served once calls are accepted.

    Raises `ConfigError`, `StateError` (another gateway, the port) and `ReleaseError` before anything is served.
    """
    config = _with_options(load(path), options)
    problems = problems_at_start(config)
    if problems:
        raise ConfigError("\n".join(problems))
    state = (path.parent / config.storage.path).resolve()
    ledger = Ledger.open(state, calls_days=config.storage.calls_days)
    try:
        note = noted(ledger.journal.append, lambda: int(time.time() * 1000))
        follower = Follower(state, os.environ, note, override=_override(state, options))
        served = follower.first(config)
        listener = _listen(config)
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_run(path, config, served, ledger, listener, options, announce, follower))
        finally:
            listener.close()
    finally:
        ledger.close()


async def _run(
    path: Path,
    config: Config,
    served: Served,
    ledger: Ledger,
    listener: socket.socket,
    options: Options,
    announce: Callable[[str, Served], None],
    follower: Follower,
) -> None:
    embedded = EmbeddedModels(config, ledger.state, base=path.parent, wanted=options.embedded)
    shared = _shared(ledger, follower.note, embedded)
    transport = shared.transport
    evidence = Evidence(ledger.state, follower.note)
    metrics = Metrics()
    cache = Cache(
        lambda: open_parts(
            config,
            ledger.state,
            os.environ,
            embedders=lambda name: embedder_of(name, desk.running.config, os.environ),
            books=desk.aside.books,
            counts=metrics.cache,
        ),
        metrics.cache,
    )
    desk = Desk(Running(config, served, shared), ledger, metrics, evidence, cache)
    begin_budgets(shared.budgets, shared.webhooks, desk.running.all_limits(), ledger.queries)
    server = _Server(_uvicorn_config(Gateway(desk, ready=lambda: not server.should_exit), config))

    async def follow() -> None:
        await follower.follow(desk, shared)

    async def keep() -> None:  # a loop of its own: a disk that is full must not hold up a rollback
        evidence.keep(desk.running)

    async def follow_stops() -> None:
        shared.stops.follow(desk.cut)

    every_s = limits.CHANNELS_EVERY_S
    also = (
        (limits.STOPS_EVERY_S, follow_stops),
        (every_s, follow),
        (every_s, keep),
        (every_s, cache.follow),
        (every_s, embedded.follow),
        (limits.CACHE_OUTCOMES_EVERY_S, desk.bad_hits.follow),
    )
    upkeep = Upkeep(desk, transport, also=also)
    supervisor = Supervisor(path, ledger.state, lambda: is_wanted(desk.running), enabled=options.controller)
    _gauges(desk, shared)
    live = served.live
    ledger.journal.append(
        _event("started", {"release": live.id, "unproven": live.unproven, "pid": os.getpid()})
    )
    ledger.start()

    def on_hangup() -> None:
        desk.running = reloaded(
            desk.running,
            path,
            shared,
            options_applied=lambda fresh: _with_options(fresh, options),
            served_by=follower.again,
        )
        shared.budgets.open(desk.running.all_limits(), at_ms=int(time.time() * 1000))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    host, port = listener.getsockname()[:2]
    try:
        embedded.start()
        upkeep.start()
        supervisor.start()
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked at again and again
        gc.set_threshold(10_000, 20, 50)  # calls leave few cycles behind
        started = asyncio.create_task(
            _announce_when_started(server, lambda: announce(f"http://{host}:{port}", served))
        )
        await server.serve(sockets=[listener])
        await started
    finally:
        await desk.aside.stop()
        await cache.close()
        await supervisor.stop()
        await upkeep.stop()
        follower.close()
        await embedded.stop()
        await shared.webhooks.stop()
        await transport.close()
        await shared.head_server.close()
        ledger.journal.append(_event("stopped", {"pid": os.getpid()}))


def _shared(ledger: Ledger, note: Note, embedded: EmbeddedModels) -> Shared:
    heads = Heads(Artifacts(ledger.state), _load_head)
    transport = AiohttpTransport()
    webhooks = Webhooks(transport, os.environ, note)
    return Shared(
        state=ledger.state,
        ledger=ledger,
        transport=transport,
        embedded=embedded,
        heads=heads,
        head_server=HeadServer(heads.get),
        environ=os.environ,
        budgets=open_budgets(ledger.queries, webhooks, note),
        webhooks=webhooks,
        stops=Stops(ledger.state),
        rates=LocalRates(),
        history=History(ledger.queries.output_tokens_quantile),
        conversations=Conversations(),
        watch=Watch(lambda detail: _alarm(ledger, detail)),
    )


class _Server(uvicorn.Server):
    """uvicorn without its way with signals: it would raise them again once it has stopped, before our ledger is closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _announce_when_started(server: uvicorn.Server, announce: Callable[[], None]) -> None:
    while not server.started:
        if server.should_exit:
            return
        await asyncio.sleep(0.01)
    announce()


def _uvicorn_config(app: Gateway, config: Config) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(config.server.drain_s)),
        backlog=2048,
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on this platform
        return None
    return uvloop.new_event_loop


def _listen(config: Config) -> socket.socket:
    """The listening socket, bound before anything else is started."""
    host, port = config.server.host, config.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StateError(
            f"cannot listen on {host}:{port}: {error.strerror}; another program may use it: server.port or --port chooses another"
        ) from error
    listener.setblocking(False)
    return listener


def _override(state: Path, options: Options) -> Live | None:
    """What the command line serves instead of what is live."""
    if options.release is not None:
        return Live(release=options.release, unproven=options.unproven)
    if options.unproven:
        return msgspec.structs.replace(read_live(state), unproven=options.unproven)
    return None


def _with_options(config: Config, options: Options) -> Config:
    server = config.server
    if options.host is not None:
        server = msgspec.structs.replace(server, host=options.host)
    if options.port is not None:
        server = msgspec.structs.replace(server, port=options.port)
    return msgspec.structs.replace(config, server=server)


def _load_head(path: Path) -> Head:
    from smallfirst.classify.label_head import load_head  # numpy and an embedder: only where there is a head

    return load_head(path)


def _gauges(desk: Desk, shared: Shared) -> None:
    metrics, ledger, embedded = desk.metrics, desk.ledger, shared.embedded
    metrics.gauges.update(desk.cache.gauges())
    metrics.gauges["smallfirst_calls_in_flight"] = ("Calls under way", lambda: desk.in_flight)
    metrics.gauges["smallfirst_aside_waiting"] = (
        "Calls that are to be answered again, off their clients' path",
        lambda: desk.aside.waiting,
    )
    metrics.gauges["smallfirst_journal_unimported_bytes"] = (
        "Journal not yet in the store",
        lambda: ledger.journal.unimported_bytes,
    )
    metrics.gauges["smallfirst_embedded_ready"] = ("Embedded models that answer", lambda: embedded.ready)
    metrics.gauges["smallfirst_label_heads_ready"] = (
        "Label heads that are loaded",
        lambda: shared.heads.loaded,
    )
    metrics.gauges["smallfirst_unproven"] = (
        "1 while an unproven release is served",
        lambda: float(bool(desk.running.serving.unproven)),
    )
    metrics.gauges["smallfirst_canary_share"] = (
        "The share of conversations that a canary answers",
        lambda: desk.running.canary.share if desk.running.canary is not None else 0.0,
    )
    metrics.gauges["smallfirst_lapsed_tasks"] = (
        "Tasks that go to their frontier since the evidence for their release has lapsed",
        lambda: len(desk.running.live.lapsed),
    )
    metrics.gauges["smallfirst_frontier_share_alarms"] = (
        "How often more of a tenant's calls than promised, or than usual, were found to go to the frontier",
        lambda: shared.watch.alarms,
    )
    metrics.more.append(
        lambda: families(shared.budgets, desk.running.all_limits(), shared.webhooks, shared.stops)
    )
    metrics.endpoints = lambda: [
        *desk.running.answerer.catalogue.endpoints_by_url.values(),
        *embedded.endpoints,
    ]


def _alarm(ledger: Ledger, detail: dict[str, object]) -> None:
    told = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in detail.items()
    )
    _log.warning("more goes to the frontier than was promised, or than is usual: %s", told)
    with contextlib.suppress(LedgerUnavailable):  # it is in the log
        ledger.journal.append(_event("frontier-share", detail))


def _event(kind: str, detail: dict[str, object]) -> Event:
    return Event(at_ms=int(time.time() * 1000), kind=kind, detail=detail)
