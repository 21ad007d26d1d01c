"""smallfirst itself, with all that it does for a call switched on: keys, budgets, ledger, metrics."""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.entrants.entrant import Entrant, Server, Site
from benchmarks.ticket import LABEL

KEY = "sf-benchmark-0123456789abcdef0123456789abcdef"
TASK = "ticket-triage"
_PROGRAM = Path(sys.executable).with_name("smallfirst")


def smallfirst_config(site: Site) -> str:
    """`smallfirst.toml`: two models, a tenant and key with budgets, one label task. The place to adjust."""
    return f"""\
frontier = "large"

[server]
port = {site.port}

[storage]
path = "state"

[providers.upstream]
base_url = "{site.upstream.base_url}"
api_key = "env:UPSTREAM_KEY"

[providers.frontier]
base_url = "{site.upstream.frontier_url}"
api_key = "env:UPSTREAM_KEY"

[models.small]
provider = "upstream"
prices = [{{ since = "2026-01-01", input = 0.1, output = 0.4 }}]

[models.large]
provider = "frontier"
prices = [{{ since = "2026-01-01", input = 2.0, output = 8.0 }}]

[tenants.helpdesk]
budget = {{ usd_per_day = 100000 }}

[keys.benchmark]
secret = "env:BENCHMARK_KEY"
tenant = "helpdesk"
budget = {{ usd_per_day = 50000 }}

[tasks.{TASK}]
ladder = ["small", "large"]
contract = {{ type = "label", labels = ["{LABEL}", "delivery", "refund", "other"] }}
budget = {{ usd_per_day = 50000 }}
"""


def release_commands(config: Path) -> list[list[str]]:
    """What is run before `serve`, so that the label task climbs its ladder; without, the frontier answers."""
    program = str(_PROGRAM)
    reason = "benchmark: the upstream is a fixed answer"
    return [
        [program, "release", "build", "--config", str(config)],
        [program, "release", "promote", "--config", str(config), "--unproven", reason],
    ]


def _serve(model: str, *, released: bool) -> Callable[[Site], Server]:
    def serve(site: Site) -> Server:
        if not _PROGRAM.exists():
            raise RuntimeError("smallfirst is not installed in the environment that runs the benchmark")
        config = site.folder / "smallfirst.toml"
        config.write_text(smallfirst_config(site))
        env = {"UPSTREAM_KEY": "unused", "BENCHMARK_KEY": KEY}
        return Server(
            [str(_PROGRAM), "serve", "--config", str(config)],
            model=model,
            env=env,
            headers={"authorization": f"Bearer {KEY}"},
            ready_path="/health",
            before=release_commands(config) if released else [],
        )

    return serve


SMALLFIRST = Entrant(
    key="smallfirst",
    name="smallfirst, unrouted",
    does="key, tenant, budgets, ledger rows of call and attempt, metrics; the model asked for answers",
    serve=_serve("small", released=False),
)

SMALLFIRST_LABEL = Entrant(
    key="smallfirst-label",
    name="smallfirst, routed label task",
    does="as unrouted, and the task's ladder, its cheap rung asked, the answer checked against the labels",
    serve=_serve(f"task/{TASK}", released=True),
)

SMALLFIRST_STREAM = Entrant(
    key="smallfirst-stream",
    name="smallfirst, streaming 60 chunks",
    does="as unrouted, and usage read from the stream as it passes",
    serve=_serve("small", released=False),
    stream=True,
    baseline="bare-stream",
)
