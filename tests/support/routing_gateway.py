"""A gateway whose tasks have routers, one way of routing each, and what a test asks of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.gateway import CONFIG, GatewayProcess
from support.routed import fit, give, thresholds
from support.simulator import SimulatorProcess
from support.tickets import tickets, trained

from smallfirst.classify.store import Artifacts, Described
from smallfirst.errors import StateError
from smallfirst.ledger import Ledger
from smallfirst.ledger.queries import StoredEvent
from smallfirst.ledger.records import Call
from smallfirst.routing.fitted import NO_BOUND
from smallfirst.routing.thresholds import ALWAYS

SMALL, OWN, FRONTIER = {"model": "sim-frontier-mini"}, {"model": "sim-nano"}, {"model": "sim-frontier"}
KEYS = {
    "acme": "sf-test-key",
    "rival": "sf-rival-key",
    "capped": "sf-capped-key",
    "flooded": "sf-flooded-key",
}

ROUTED = """
[providers.own]
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
engine = "vllm"
simulated = true
timeouts = {{ connect_s = 1, first_byte_s = 2, between_bytes_s = 2, total_s = 20 }}

[providers.heads]
kind = "head"

[models.own]
provider = "own"
id = "sim-nano"
prices = [{{ since = "2026-01-01", input = 0.03, output = 0.15 }}]

[models.own-second]
provider = "own"
id = "sim-frontier-mini"
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6 }}]

[models.brief]
provider = "sim"
id = "sim-frontier-mini"
context_tokens = 2000
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6 }}]

[models.toolless]
provider = "sim"
id = "sim-frontier-mini"
tools = false
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6 }}]

[models.hardly-cheaper]
provider = "sim"
id = "sim-frontier-mini"
prices = [{{ since = "2026-01-01", input = 2.4, output = 9.9, cache_read = 0.24 }}]

[models.haiku]
provider = "sim-anthropic"
id = "sim-claude"
prices = [{{ since = "2026-01-01", input = 0.3, output = 1.5, cache_read = 0.03 }}]

[models.sort-head]
provider = "heads"
id = "sort"

[tasks.reply]
ladder = ["mini", "frontier"]
keep_bodies = true
margin = 0.2

[tasks.bare]
ladder = ["mini", "frontier"]
margin = 0.2

[tasks.masked]
ladder = ["mini", "frontier"]
keep_bodies = true
redact = ["INV-[0-9]{{6}}"]
margin = 0.2

[tasks.sort]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["sort-head", "frontier"]
margin = 0.2

[tasks.mail]
ladder = ["own", "frontier"]
router = {{ verify = true }}
margin = 0.2

[tasks.pick]
contract = {{ type = "label", labels = ["no", "maybe", "Hello"] }}
ladder = ["own", "own-second", "frontier"]
margin = 0.2

[tasks.passages]
ladder = ["mini", "frontier"]
router = {{ question_after = "QUESTION:", question_before = "END" }}
margin = 0.2

[tasks.brief]
ladder = ["brief", "frontier"]
margin = 0.2

[tasks.toolless]
ladder = ["toolless", "frontier"]
margin = 0.2

[tasks.dear]
ladder = ["hardly-cheaper", "frontier"]
margin = 0.2

[tasks.loose]
ladder = ["hardly-cheaper", "frontier"]
router = {{ sticky = false }}
margin = 0.2

[tasks.sampled]
ladder = [{{ model = "mini", sample = 0.5 }}, "frontier"]
margin = 0.2

[tasks.think]
ladder = ["haiku", "claude"]
margin = 0.2

[tasks.bounded]
ladder = ["mini", "frontier"]
router = {{ unknown_share = 0.05 }}
margin = 0.2

[tasks.remote]
ladder = ["mini", "frontier"]
router = {{ embedder = "model:embed", timeout_s = 0.5 }}
margin = 0.2

[tenants.rival]

[tenants.flooded]

[tenants.capped]
budget = {{ frontier_usd_per_day = 0.001 }}

[keys.rival]
secret = "env:RIVAL_KEY"
tenant = "rival"

[keys.capped]
secret = "env:CAPPED_KEY"
tenant = "capped"

[keys.flooded]
secret = "env:FLOODED_KEY"
tenant = "flooded"
"""

TWO = ("mini", "frontier")
PLAIN = {
    "reply": TWO,
    "bare": TWO,
    "masked": TWO,
    "brief": ("brief", "frontier"),
    "toolless": ("toolless", "frontier"),
    "dear": ("hardly-cheaper", "frontier"),
    "loose": ("hardly-cheaper", "frontier"),
    "sampled": TWO,
    "think": ("haiku", "claude"),
    "bounded": TWO,
}
ENDPOINT_SHA256 = hashlib.sha256(b"endpoint\x00sim-embed\x00256").hexdigest()
DOUBTS = 0.9999
"""More than any answer is sure of: it is always doubted."""


class RoutedGateway(GatewayProcess):
    """Its routers are there before it starts; `recorded` reads its ledger."""

    def __init__(self, folder: Path, simulator: SimulatorProcess) -> None:
        secrets = {f"{tenant.upper()}_KEY": key for tenant, key in KEYS.items() if tenant != "acme"}
        config = (CONFIG + ROUTED).format(sim=simulator.base_url)
        patient = config.replace("first_byte_s = 2", "first_byte_s = 20")  # megabytes, on a busy machine
        super().__init__(folder, patient, environ=secrets)
        give_routers(self.state)

    def recorded(self, call: str) -> Call:
        """The call, once the importer has it."""
        return self._read(lambda ledger: ledger.queries.call(call))

    def events(self, kind: str) -> list[StoredEvent]:
        with Ledger.read(self.state) as ledger:
            return [event for event in ledger.queries.events(limit=1000) if event.kind == kind]

    def _read(self, what: Callable[[Any], Any]) -> Any:
        deadline = time.monotonic() + 10
        while True:
            try:
                with Ledger.read(self.state) as ledger:
                    return what(ledger)
            except StateError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def give_routers(state: Path) -> None:
    """Two fits and a head: the tasks differ in their thresholds."""
    two, three = fit(TWO), fit(("own", "own-second", "frontier"))
    for task, ladder in PLAIN.items():
        give(state, two, task, ladder)
    marks = {"question_after": "QUESTION:", "question_before": "END"}
    give(state, two, "passages", TWO, **marks)
    give(state, two, "mail", ("own", "frontier"), verify=True, thresholds=thresholds([ALWAYS], [0.5]))
    give(
        state,
        three,
        "pick",
        ("own", "own-second", "frontier"),
        thresholds=thresholds([ALWAYS] * 2, [DOUBTS, 0.9]),
    )
    endpoint = {"embedder": "model:embed", "embedder_sha256": ENDPOINT_SHA256}
    give(
        state,
        two,
        "remote",
        TWO,
        **endpoint,
        unknown_below=-1.0,
        bound=NO_BOUND,
        thresholds=thresholds([ALWAYS], [0.0]),
    )
    head = trained(tickets())
    sha256 = Artifacts(state).save(head.data, Described(at_ms=1, kind="head", task="sort"))
    give(
        state,
        two,
        "sort",
        ("sort-head", "frontier"),
        heads=(sha256, ""),
        thresholds=thresholds([ALWAYS], [0.5]),
    )


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def explained(response: Any) -> dict[str, Any]:
    """What the explain header tells."""
    return json.loads(response.headers["x-smallfirst-explain"])
