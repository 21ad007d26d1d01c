"""One simulator and one gateway for all tests of a module; the SDKs, pointed at the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest
from support.cached import CACHED_ENVIRON, CACHED_TASKS, Asker
from support.gateway import CONFIG, KEY, GatewayProcess
from support.routing_gateway import KEYS, RoutedGateway
from support.simulator import SimulatorProcess


@pytest.fixture(scope="module")
def _simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as process:
        yield process


@pytest.fixture
def simulator(_simulator: SimulatorProcess) -> SimulatorProcess:
    """The upstream, without faults."""
    _simulator.clear_faults()
    return _simulator


@pytest.fixture(scope="module")
def gateway(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """A gateway that serves the candidate of `support.gateway.CONFIG`, unproven."""
    config = CONFIG.format(sim=_simulator.base_url)
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), config) as process:
        yield process


@pytest.fixture(scope="session")
def _upstream() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as process:
        yield process


@pytest.fixture(scope="session")
def cached(_upstream: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose tasks have exact caches; one for all modules."""
    config = CONFIG.format(sim=_upstream.base_url) + CACHED_TASKS
    with GatewayProcess(tmp_path_factory.mktemp("cached"), config, environ=CACHED_ENVIRON) as process:
        yield process
        assert "Traceback" not in process.log_text()


@pytest.fixture
def asking(cached: GatewayProcess, upstream: SimulatorProcess) -> Asker:
    """Asks the cached tasks; nothing has been asked upstream yet."""
    return Asker(cached, upstream)


@pytest.fixture(scope="session")
def routed(_upstream: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoutedGateway]:
    """A gateway whose tasks have routers; one for all modules."""
    with RoutedGateway(tmp_path_factory.mktemp("routed"), _upstream) as process:
        yield process
        assert "Traceback" not in process.log_text()


@pytest.fixture
def upstream(_upstream: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """What the routed gateway asks, without faults."""
    _upstream.reset()
    yield _upstream
    _upstream.reset()


@pytest.fixture
def asker(routed: RoutedGateway) -> Iterator[openai.OpenAI]:
    """The official SDK, pointed at the routed gateway."""
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["acme"], max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture
def claude_asker(routed: RoutedGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=routed.url, api_key=KEYS["acme"], max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture
def client(gateway: GatewayProcess, simulator: SimulatorProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=20) as made:
        yield made
        simulator.clear_faults()
        for model in (
            "frontier",
            "claude",
            "azure",
        ):  # forgets the failures in a row that would open a breaker for the next test
            made.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "hi"}], max_tokens=5
            )


@pytest.fixture
def claude(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=20) as made:
        yield made
